"""Instance segmentation: a mask, a box and a class for each object in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats.coco import Coco
from common.data.formats.instance_index import InstanceIndex
from common.data.formats.object_masks import ObjectMasks
from common.data.formats.yolo import Yolo
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
        """COCO or YOLO with outlines, a mask for each object, or one that numbers objects."""
        return (Coco(outlines=True), Yolo(outlines=True), ObjectMasks(), InstanceIndex())

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.segmentation.instance.learner import (  # noqa: PLC0415 - brings torch with it
            InstanceLearner,
        )

        return InstanceLearner()
