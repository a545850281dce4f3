"""What tasks that find objects have in common, as far as no torch is needed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from common.data.exporting.coco import CocoExporter
from common.data.exporting.yolo import YoloExporter
from common.objects import annotation as notes
from common.objects import drafts
from common.objects.checks import MANY_OBJECTS, check_objects
from common.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from common.data.exporting import DatasetExporter
    from common.data.findings import Report
    from common.data.images import ImageInfo

# More objects of an image hide each other; the largest are drawn.
_MOST_DRAWN = 300


class ObjectTask(Task):
    """An annotation is what `common.objects.annotation` says."""

    masks: ClassVar[bool] = False
    """Whether each object has a mask."""

    def complete(
        self, annotation: drafts.Draft, file: str, info: ImageInfo, report: Report
    ) -> dict[str, Any]:
        """Put objects into the image; those that cannot be used are left out and named.

        An image with very many objects is named, too.
        """
        objects = drafts.complete(annotation, file, info, report, masks=self.masks)
        if len(objects) > MANY_OBJECTS:
            report.add("CROWDED_IMAGES", f"{file}: {len(objects)}")
        return notes.write(objects)

    def check(
        self, classes: Sequence[str], annotations: Sequence[Mapping[str, Any]], report: Report
    ) -> None:
        """Report classes with few objects, and objects that are marked."""
        check_objects(classes, annotations, report)

    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """Count the objects of each class."""
        return Counter(one["label"] for one in annotation["objects"])

    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """Replace labels; objects of other classes are gone, the image stays.

        Objects that only their class told apart are one where classes become one.
        """
        objects = [
            one | {"label": index_of[one["label"]]}
            for one in annotation["objects"]
            if one["label"] in index_of
        ]
        if len(set(index_of.values())) < len(index_of):
            seen: set[object] = set()
            objects = [one for one in objects if one.get("crowd") or not _seen(one, seen)]
        return {"objects": objects}

    @property
    def exporters(self) -> Sequence[DatasetExporter]:
        """COCO and YOLO, with outlines if objects have masks."""
        return (CocoExporter(), YoloExporter(outlines=self.masks))

    def draw(
        self,
        picture_HW3: np.ndarray[Any, Any],
        size: tuple[int, int],
        annotation: Mapping[str, Any],
        class_names: Sequence[str],
    ) -> np.ndarray[Any, Any]:
        """Draw masks, the smallest on top, and boxes; those that do not count are dashed."""
        # Only here: imports need none of it otherwise.
        from common.masks import drawing, rle  # noqa: PLC0415
        from common.objects.drawing import DrawnBox, draw_boxes  # noqa: PLC0415
        from common.palette import colour_of  # noqa: PLC0415

        objects = sorted(notes.read(annotation), key=lambda one: one.area or one.box_area)
        objects = objects[-_MOST_DRAWN:]
        width, height = size
        masks = [
            (rle.trusted(one.mask, height, width), colour_of(one.label))
            for one in objects
            if one.mask
        ]
        if masks:
            picture_HW3 = drawing.draw_masks(picture_HW3, masks)
        across, down = picture_HW3.shape[1] / width, picture_HW3.shape[0] / height
        boxes = [
            DrawnBox(
                (one.box[0] * across, one.box[1] * down, one.box[2] * across, one.box[3] * down),
                class_names[one.label],
                colour_of(one.label),
                dashed=one.crowd or one.difficult,
            )
            for one in objects
        ]
        return draw_boxes(picture_HW3, boxes)


def _seen(one: Mapping[str, Any], seen: set[object]) -> bool:
    """Whether an object is one of those seen before; from now on it is."""
    key = (one["label"], one.get("mask") or tuple(one["box"]))
    known = key in seen
    seen.add(key)
    return known
