"""Findings as they are shown."""

from string import Formatter

import pytest

from common.data.findings import ERROR, FINDINGS, INFO, MAX_EXAMPLES, WARNING, Report


@pytest.mark.parametrize("finding", FINDINGS)
def test_messages(finding):
    """A whole sentence that says what was done or should be."""
    severity, message = FINDINGS[finding]

    assert severity in {INFO, WARNING, ERROR}
    assert message[0].isupper()
    assert message.endswith(".")


def test_report_counts_all_and_keeps_some():
    report = Report()
    for number in range(50):
        report.add("EXIF_ROTATED", f"{number}.jpg")
    report.add("EXIF_ROTATED", (f"x{number}.jpg" for number in range(50)))

    (finding,) = report.findings()

    assert finding.count == 100
    assert list(finding.examples) == [f"{number}.jpg" for number in range(MAX_EXAMPLES)]


def test_nothing_added_is_no_finding():
    report = Report()
    report.add("EXIF_ROTATED", [])

    assert report.findings() == []


def test_most_severe_first():
    report = Report()
    for finding in ("EXIF_ROTATED", "EXACT_DUPLICATES", "IMAGE_EMPTY_FILE", "CONFLICTING_LABELS"):
        report.add(finding, "x")

    found = [finding.id for finding in report.findings()]

    assert found == ["IMAGE_EMPTY_FILE", "CONFLICTING_LABELS", "EXACT_DUPLICATES", "EXIF_ROTATED"]


def test_values_are_filled_in():
    report = Report()
    report.add("IMAGE_TOO_LARGE", "x.png", max_pixels=100)

    assert "more than 100 pixels" in report.findings()[0].message
    assert [field for _, field, _, _ in Formatter().parse(FINDINGS["IMAGE_TOO_LARGE"][1]) if field]


def test_long_names_are_cut():
    """A message to a client stays small."""
    report = Report()
    report.add("EXIF_ROTATED", "x" * 5000)

    assert len(report.findings()[0].examples[0]) == 300


def test_an_unknown_finding_is_an_error():
    """It would never be shown, so a slip of the pen must not pass."""
    with pytest.raises(KeyError, match="EXIF_ROTADED"):
        Report().add("EXIF_ROTADED", [])
