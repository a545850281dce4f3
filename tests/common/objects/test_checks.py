"""What is odd about a data set of objects as a whole."""

from common.data.findings import Report
from common.objects.checks import LEAST_OBJECTS, check_objects


def annotation(*labels, **marks):
    return {"objects": [{"label": label, "box": [0, 0, 1, 1], **marks} for label in labels]}


def found(classes, annotations):
    report = Report()
    check_objects(classes, annotations, report)
    return {finding.id: finding for finding in report.findings()}


def test_classes_with_few_objects_are_named():
    findings = found(["many", "few"], [annotation(*[0] * LEAST_OBJECTS, 1, 1)])

    assert set(findings) == {"FEW_OBJECTS"}
    assert list(findings["FEW_OBJECTS"].examples) == ["few: 2"]


def test_classes_of_very_different_frequency_are_named():
    """By their objects: both occur in every image."""
    annotations = [annotation(*[0] * 25, 1, 1) for _ in range(5)]

    findings = found(["fish", "starfish"], annotations)

    assert set(findings) == {"OBJECT_IMBALANCE"}
    assert list(findings["OBJECT_IMBALANCE"].examples) == ["fish: 125", "starfish: 10"]
    assert "12 times" in findings["OBJECT_IMBALANCE"].message


def test_marks_are_counted():
    annotations = [
        annotation(*[0] * 10),
        annotation(0, 0, truncated=True),
        annotation(0, difficult=True, truncated=True),
        annotation(0, crowd=True),
    ]

    findings = found(["cell"], annotations)

    assert {name: finding.count for name, finding in findings.items()} == {
        "OBJECTS_TRUNCATED": 3,
        "OBJECTS_DIFFICULT": 1,
        "OBJECTS_CROWD": 1,
    }
