"""What is noticed about a data set as a whole; most of it is tested by imports."""

import pytest

from common.data import checks
from common.data.findings import Report


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        pytest.param([], [], id="no class"),
        pytest.param([30], [], id="one class, as detection often has"),
        pytest.param([30, 4], [], id="less than ten times as many"),
        pytest.param([30, 5, 3], ["c0: 30", "c2: 3"], id="ten times as many"),
        pytest.param([3, 3], [], id="equal"),
    ],
)
def test_imbalance_is_of_the_largest_and_the_smallest_class(counts, found):
    """However many classes there are."""
    report = Report()
    shown = [{index: 1} for index, count in enumerate(counts) for _ in range(count)]

    checks.check_classes([f"c{index}" for index in range(len(counts))], shown, [], report)

    findings = {finding.id: list(finding.examples) for finding in report.findings()}
    assert findings == ({"CLASS_IMBALANCE": found} if found else {})
