"""Semantic segmentation: a class for each pixel of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.data.formats.ade import Ade
from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.cityscapes import Cityscapes
from common.data.formats.coco_semantic import CocoSemantic
from common.data.formats.colour_masks import ColourMasks
from common.data.formats.cvat import Cvat
from common.data.formats.datumaro import Datumaro
from common.data.formats.index_masks import IndexMasks
from common.data.formats.label_studio import LabelStudio
from common.data.formats.labelme import LabelMe
from common.data.formats.open_images import OpenImages
from common.data.formats.pictures import Flattened
from common.data.formats.supervisely import Supervisely
from common.data.formats.via import Via
from common.data.hugging_face.semantic import HuggingFaceMasks
from common.masks.checks import check_pixels
from common.masks.drafts import resized
from common.masks.label_maps import VOID
from common.task import Task
from services.segmentation.semantic import annotation as notes
from services.segmentation.semantic.data_export import IndexMasksExporter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from common.data.exporting import DatasetExporter
    from common.data.findings import Report
    from common.data.formats import Format
    from common.data.images import ImageInfo
    from common.masks.drafts import MaskDraft
    from common.training.learner import Learner


class SemanticTask(Task):
    """An annotation is what `services.segmentation.semantic.annotation` says."""

    name = "semantic-segmentation"
    least_class_count = 2
    counted = "pixel_count"
    has_void = True

    @property
    def formats(self) -> Sequence[Format]:
        """Masks of numbers, of two values, or of colours; or outlines of objects, filled."""
        return self.formats_for(None)

    def formats_for(self, void_index: int | None) -> Sequence[Format]:
        """Return `formats`, told which value is void."""
        return (
            IndexMasks(void_index),
            BinaryMasks(void_index),
            ColourMasks(void_index),
            CocoSemantic(),
            Cityscapes(void_index),
            Ade(void_index),
            Flattened(Cvat()),
            Flattened(Datumaro()),
            Flattened(LabelMe()),
            Flattened(LabelStudio()),
            Flattened(OpenImages()),
            Flattened(Supervisely()),
            Flattened(Via()),
            HuggingFaceMasks(void_index),
        )

    def complete(
        self, annotation: MaskDraft, file: str, info: ImageInfo, report: Report
    ) -> dict[str, Any] | None:
        """Decode the mask; None if it cannot be used or says nothing."""
        labels_HW = annotation.load(file, info, report)
        if labels_HW is None:
            return None
        try:
            written = notes.write(labels_HW)
        except ValueError as error:
            report.add("MASKS_OF_TOO_MANY_CLASSES", f"{file}: {error}", maximum=notes.MAX_CLASSES)
            return None
        if not written["labels"]:
            report.add("MASKS_ALL_VOID", file)
            return None
        return written

    def check(
        self, classes: Sequence[str], annotations: Sequence[Mapping[str, Any]], report: Report
    ) -> None:
        """Report classes with few pixels, and images that say little."""
        counts = ((notes.pixel_counts(one), notes.void_count(one)) for one in annotations)
        check_pixels(classes, counts, report)

    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """Count the pixels of each class."""
        return notes.pixel_counts(annotation)

    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """Replace labels; pixels of other classes become void."""
        return notes.renumber(annotation, index_of)

    def draw(
        self,
        picture_HW3: np.ndarray[Any, Any],
        size: tuple[int, int],
        annotation: Mapping[str, Any],
        class_names: Sequence[str],
    ) -> np.ndarray[Any, Any]:
        """Tint the pixels of each class; of what is void, the picture stays as it is."""
        del size, class_names
        # Only here: imports need none of it otherwise.
        from common.masks import drawing  # noqa: PLC0415
        from common.palette import colour_of  # noqa: PLC0415

        height, width, _ = picture_HW3.shape
        labels_HW = resized(notes.read(annotation), width, height)
        shown = sorted(set(labels_HW.ravel().tolist()) - {VOID})
        masks = [(labels_HW == label, colour_of(label)) for label in shown]
        return drawing.draw_masks(picture_HW3, masks)

    @property
    def exporters(self) -> Sequence[DatasetExporter]:
        """Masks of numbers."""
        return (IndexMasksExporter(),)

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.segmentation.semantic.learner import (  # noqa: PLC0415 - brings torch with it
            SemanticLearner,
        )

        return SemanticLearner()
