"""Object detection: a box and a class for each object in an image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from common.data.formats.coco import Coco
from common.data.formats.csv_boxes import CsvBoxes
from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from common.objects import annotation as notes
from common.objects import drafts
from common.objects.checks import check_objects
from common.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.findings import Report
    from common.data.formats import Format
    from common.data.images import ImageInfo
    from common.training.learner import Learner


class DetectionTask(Task):
    """An annotation is what `common.objects.annotation` says."""

    name = "detection"

    @property
    def formats(self) -> Sequence[Format]:
        """COCO, YOLO, Pascal VOC, or a table."""
        return (Coco(), Yolo(), PascalVoc(), CsvBoxes())

    def complete(
        self, annotation: drafts.Draft, file: str, info: ImageInfo, report: Report
    ) -> dict[str, Any]:
        """Put boxes into the image; those that cannot be used are left out and named."""
        return notes.write(drafts.complete(annotation, file, info, report))

    def check(
        self, classes: Sequence[str], annotations: Sequence[Mapping[str, Any]], report: Report
    ) -> None:
        """Report classes with few objects, and images with very many."""
        check_objects(classes, annotations, report)

    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """Count the objects of each class."""
        return Counter(one["label"] for one in annotation["objects"])

    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """Replace labels; objects of other classes are gone, the image stays."""
        return {
            "objects": [
                one | {"label": index_of[one["label"]]}
                for one in annotation["objects"]
                if one["label"] in index_of
            ]
        }

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.detection.learner import (  # noqa: PLC0415 - brings torch with it
            DetectionLearner,
        )

        return DetectionLearner()
