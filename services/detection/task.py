"""Object detection: a box and a class for each object in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats.cityscapes_objects import CityscapesObjects
from common.data.formats.coco import Coco
from common.data.formats.csv_boxes import CsvBoxes
from common.data.formats.cvat import Cvat
from common.data.formats.datumaro import Datumaro
from common.data.formats.label_studio import LabelStudio
from common.data.formats.labelme import LabelMe
from common.data.formats.open_images import OpenImages
from common.data.formats.pictures import Boxed
from common.data.formats.supervisely import Supervisely
from common.data.formats.via import Via
from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from common.data.hugging_face.reader import HuggingFace
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
        """COCO, YOLO, Pascal VOC, a table, or what tools export."""
        return (
            Coco(),
            Yolo(),
            PascalVoc(),
            CsvBoxes(),
            CityscapesObjects(boxes=True),
            Boxed(Cvat()),
            Boxed(Datumaro()),
            Boxed(LabelMe()),
            Boxed(LabelStudio()),
            Boxed(OpenImages()),
            Boxed(Supervisely()),
            Boxed(Via()),
            Boxed(HuggingFace()),
        )

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.detection.learner import (  # noqa: PLC0415 - brings torch with it
            DetectionLearner,
        )

        return DetectionLearner()
