"""`docs/weights.txt` is all that a mirror of published weights needs."""

from __future__ import annotations

from common.training.pretrained import _file_name
from docs.weights import PAGE, page
from services.detection.architectures import detectors


def test_it_is_up_to_date():
    """`make docs` writes it anew."""
    assert PAGE.read_text() == page()


def test_files_are_named_as_they_are_looked_for():
    """In the bucket, under `weights/`; none is named twice."""
    names = [url.rpartition("/")[2] for url in PAGE.read_text().splitlines()]

    assert len(names) == len(set(names))
    for entry in detectors:
        assert {_file_name(published) for published in entry.published} <= set(names)
