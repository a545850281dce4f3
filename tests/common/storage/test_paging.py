"""Page sizes and page tokens."""

from __future__ import annotations

import base64

import pytest

from common.errors import InvalidInput
from common.reasons import Reason
from common.storage import paging


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 50), (1, 1), (50, 50), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_a_page_has_a_bounded_size(asked, given):
    """As the protos promise."""
    assert paging.check_page_size(asked) == given


def test_a_negative_page_size_is_refused():
    """The error names the field."""
    with pytest.raises(InvalidInput, match="page_size is -1") as caught:
        paging.check_page_size(-1)

    assert caught.value.reason == Reason.FIELD_OUT_OF_RANGE
    assert caught.value.field == "page_size"


@pytest.mark.parametrize("after", ["1", "12", "123", "9223372036854775807-ümlaut"])
def test_a_token_leads_on(after):
    """Of any length, without signs that an address would need to escape."""
    token = paging.write_token("tasks/-", after)

    assert paging.read_token(token, "tasks/-") == after
    assert token.replace("-", "").replace("_", "").isalnum()


def test_no_token_is_the_first_page():
    """As AIP-158 has it."""
    assert paging.read_token("", "tasks/detection") == ""


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "not base64!",
        "ümlaut",
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b'["tasks/-"]').decode(),
        base64.urlsafe_b64encode(b'["tasks/-", 5]').decode(),
        base64.urlsafe_b64encode(b'{"parent": "tasks/-"}').decode(),
        base64.urlsafe_b64encode(b"[" * 384).decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
    ids=lambda token: token[:12] + str(len(token)),
)
def test_what_is_no_token_is_refused(token):
    """Whatever it is."""
    with pytest.raises(InvalidInput, match="none that this method returned") as caught:
        paging.read_token(token, "tasks/-")

    assert caught.value.reason == Reason.PAGE_TOKEN_INVALID
    assert caught.value.field == "page_token"


def test_a_token_belongs_to_its_parent():
    """The message names both."""
    token = paging.write_token("tasks/detection", "5-a")

    with pytest.raises(InvalidInput, match=r"tasks/detection.*tasks/-") as caught:
        paging.read_token(token, "tasks/-")

    assert caught.value.reason == Reason.PAGE_TOKEN_INVALID
