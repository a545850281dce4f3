"""What is odd about masks as a whole."""

from common.data.findings import FINDINGS, Report
from common.masks.checks import LEAST_PIXELS, check_pixels
from common.masks.findings import MASK_FINDINGS


def found(classes, *counts):
    report = Report()
    check_pixels(classes, counts, report)
    return {f.id: f for f in report.findings()}


def test_nothing_odd():
    assert found(["sky", "sea"], ({0: 5000, 1: 9000}, 0), ({0: 10}, 10)) == {}


def test_few_pixels():
    """All images together are counted."""
    some = ({0: 5000, 1: LEAST_PIXELS // 2}, 0)

    assert list(found(["sky", "sea"], some)["FEW_PIXELS"].examples) == ["sea: 500"]
    assert "FEW_PIXELS" not in found(["sky", "sea"], some, some)


def test_pixel_imbalance():
    finding = found(["sky", "kite"], ({0: 250_000, 1: 2000}, 0))["PIXEL_IMBALANCE"]

    assert "125 times" in finding.message
    assert list(finding.examples) == ["sky: 250000", "kite: 2000"]
    assert "PIXEL_IMBALANCE" not in found(["sky", "kite"], ({0: 198_000, 1: 2000}, 0))


def test_mostly_void():
    assert "60 %" in found(["sky", "sea"], ({0: 2000, 1: 2000}, 6000))["MOSTLY_VOID"].message
    assert "MOSTLY_VOID" not in found(["sky", "sea"], ({0: 2000, 1: 3000}, 5000))


def test_only_background():
    """A class that has no pixel does not count."""
    images = [({0: 9000, 1: 9000}, 0), ({0: 9000}, 5), ({0: 9000, 1: 0}, 0), ({1: 9000}, 0)]

    assert found(["Background", "cat"], *images)["IMAGES_ALL_BACKGROUND"].count == 2


def test_no_image():
    assert set(found(["a"])) == {"FEW_PIXELS"}


def test_in_the_table_of_findings():
    assert MASK_FINDINGS.items() <= FINDINGS.items()
