"""Instance segmentation: a mask, a box and a class for each object in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats.cityscapes_objects import CityscapesObjects
from common.data.formats.coco import Coco
from common.data.formats.cvat import Cvat
from common.data.formats.datumaro import Datumaro
from common.data.formats.instance_index import InstanceIndex
from common.data.formats.label_studio import LabelStudio
from common.data.formats.labelme import LabelMe
from common.data.formats.object_masks import ObjectMasks
from common.data.formats.open_images import OpenImages
from common.data.formats.pictures import Outlined
from common.data.formats.supervisely import Supervisely
from common.data.formats.via import Via
from common.data.formats.yolo import Yolo
from common.data.hugging_face.reader import HuggingFace
from common.objects.task import ObjectTask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.data.formats import Format
    from common.training.learner import Learner


class InstanceTask(ObjectTask):
    """Objects have masks, and boxes around these."""

    name = "instance-segmentation"
    masks = True

    @property
    def formats(self) -> Sequence[Format]:
        """Outlines in files, a mask for each object, or one that numbers objects."""
        return (
            Coco(outlines=True),
            Yolo(outlines=True),
            ObjectMasks(),
            InstanceIndex(),
            CityscapesObjects(),
            Outlined(Cvat()),
            Outlined(Datumaro()),
            Outlined(LabelMe()),
            Outlined(LabelStudio()),
            Outlined(OpenImages()),
            Outlined(Supervisely()),
            Outlined(Via()),
            Outlined(HuggingFace()),
        )

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.segmentation.instance.learner import (  # noqa: PLC0415 - brings torch with it
            InstanceLearner,
        )

        return InstanceLearner()
