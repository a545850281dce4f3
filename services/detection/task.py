"""Object detection: a box and a class for each object in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats.coco import Coco
from common.data.formats.csv_boxes import CsvBoxes
from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from common.objects.task import ObjectTask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.data.formats import Format
    from common.training.learner import Learner


class DetectionTask(ObjectTask):
    """Objects have boxes."""

    name = "detection"

    @property
    def formats(self) -> Sequence[Format]:
        """COCO, YOLO, Pascal VOC, or a table."""
        return (Coco(), Yolo(), PascalVoc(), CsvBoxes())

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.detection.learner import (  # noqa: PLC0415 - brings torch with it
            DetectionLearner,
        )

        return DetectionLearner()
