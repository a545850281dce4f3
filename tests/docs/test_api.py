"""`docs/api.md` says what the protos say."""

from __future__ import annotations

import re

from common.reasons import Reason
from docs.api import IMAGE, PAGE, page
from nocode.vision.v1 import evaluation_pb2, job_pb2, model_pb2

TEXT = PAGE.read_text()


def test_it_is_up_to_date():
    """`make docs` writes it anew."""
    assert page(IMAGE.read_bytes()) == TEXT


def test_every_link_leads_to_a_heading():
    """As GitHub names headings; one of a name that occurs twice would be numbered."""
    headings = [
        re.sub(r"[^a-z0-9_-]", "", heading.lower())
        for heading in re.findall(r"^#+ (\S+)$", TEXT, re.MULTILINE)
    ]

    links = set(re.findall(r"\]\(#([^)]*)\)", TEXT))
    assert links <= set(headings)
    assert len(headings) == len(set(headings))


def test_every_part_has_its_comment():
    """From the contract: of methods, messages, fields, values."""
    assert "### JobService.CancelJob\n\n[CancelJobRequest](#canceljobrequest) → [Job](#job)" in TEXT
    assert "Asks a job to stop, and returns it." in TEXT
    assert "→ stream [Job](#job)" in TEXT
    for field in model_pb2.Model.DESCRIPTOR.fields:
        assert f"| `{field.name}` |" in TEXT
    assert "| `metrics` | map of string to double | The latest values" in TEXT
    for value in job_pb2.Job.State.keys():  # noqa: SIM118 - an enum of protobuf is no dict
        assert f"| `{value}` |" in TEXT
    for message in evaluation_pb2.DESCRIPTOR.message_types_by_name:
        assert f"\n### {message}\n" in TEXT
    # Cells that say nothing would be comments that were lost.
    assert not re.search(r"\|  +\|$", TEXT, re.MULTILINE)


def test_every_reason_is_listed():
    """Those that programs see."""
    assert all(f"- `{reason}`\n" in TEXT for reason in Reason)
