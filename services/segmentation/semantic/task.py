"""Semantic segmentation: a class for each pixel of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.coco_semantic import CocoSemantic
from common.data.formats.colour_masks import ColourMasks
from common.data.formats.index_masks import IndexMasks
from common.masks.checks import check_pixels
from common.task import Task
from services.segmentation.semantic import annotation as notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        """Masks of numbers, of two values, or of colours; or outlines of COCO, filled."""
        return self.formats_for(None)

    def formats_for(self, void_index: int | None) -> Sequence[Format]:
        """Return `formats`, told which value is void."""
        return (
            IndexMasks(void_index),
            BinaryMasks(void_index),
            ColourMasks(void_index),
            CocoSemantic(),
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

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.segmentation.semantic.learner import (  # noqa: PLC0415 - brings torch with it
            SemanticLearner,
        )

        return SemanticLearner()
