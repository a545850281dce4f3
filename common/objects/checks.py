"""What is odd about a data set of objects as a whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from common.data.checks import MOST_IMBALANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from common.data.findings import Report

LEAST_OBJECTS = 10
"""A class with fewer is hardly learned, and its average precision says next to nothing."""

MANY_OBJECTS = 100
"""COCO's evaluation looks at so many detections of a class in an image, unless there are more."""

LEAST_SIDE_PX = 4
"""What is smaller than this in the network's input, the longer side, is hardly seen by it."""

_FINDING_OF = {
    "truncated": "OBJECTS_TRUNCATED",
    "difficult": "OBJECTS_DIFFICULT",
    "crowd": "OBJECTS_CROWD",
}


def check_objects(
    classes: Sequence[str], annotations: Iterable[Mapping[str, Any]], report: Report
) -> None:
    """Report what kinds of objects there are: few, rare, marked."""
    count_of: Counter[int] = Counter()
    marked: Counter[str] = Counter()
    for annotation in annotations:
        objects = annotation["objects"]
        for one in objects:
            count_of[one["label"]] += 1
            marked.update(mark for mark in _FINDING_OF if mark in one)
    few = [index for index in range(len(classes)) if count_of[index] < LEAST_OBJECTS]
    report.add(
        "FEW_OBJECTS",
        (f"{classes[index]}: {count_of[index]}" for index in few),
        minimum=LEAST_OBJECTS,
    )
    by_count = count_of.most_common()
    if len(by_count) > 1 and (ratio := by_count[0][1] // by_count[-1][1]) >= MOST_IMBALANCE:
        shown = (f"{classes[index]}: {count}" for index, count in (by_count[0], by_count[-1]))
        report.add("OBJECT_IMBALANCE", shown, count=1, ratio=ratio)
    for mark, finding_id in _FINDING_OF.items():
        report.add(finding_id, [], count=marked[mark])
