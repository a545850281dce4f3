"""The interface that a service implements for each of its tasks.

A `Task` is light: importing its module imports no torch, so that imports, splits and the names of
things cost no memory. Its other half, the `Learner`, is made when a model is trained or called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from common.data.exporting import DatasetExporter
    from common.data.findings import Report
    from common.data.formats import Format
    from common.data.images import ImageInfo
    from common.training.learner import Learner


class Task(ABC):
    """What differs between tasks, as far as no torch is needed."""

    name: ClassVar[str]
    """As in resource names, e.g. `classification`."""

    least_class_count: ClassVar[int] = 1
    """A data set with fewer classes is of no use to the task."""

    counted: ClassVar[Literal["object_count", "pixel_count"]] = "object_count"
    """What `classes_of` counts, as in `Dataset.class_counts`. Splits share out pixels, too."""

    has_void: ClassVar[bool] = False
    """Whether pixels may be marked as such of which nobody says what they show."""

    @property
    @abstractmethod
    def formats(self) -> Sequence[Format]:
        """The data set formats that can be imported for this task, likeliest first."""

    def formats_for(self, void_index: int | None) -> Sequence[Format]:
        """Return `formats`, told which value in masks means void; None for what is usual.

        Only asked for another value than None of tasks with `has_void`.
        """
        del void_index
        return self.formats

    def complete(
        self, annotation: Any, file: str, info: ImageInfo, report: Report
    ) -> dict[str, Any] | None:
        """Make what the manifest holds of what a format has read, now that the image is known.

        Under `mask` there may be the bytes of a PNG. They are kept beside the image, and are there
        again wherever a `Learner` is given the annotation.

        Args:
            annotation: `Record.annotation`.
            file: Path of the image.
            info: Its size and orientation.
            report: Told what is odd.

        Returns:
            None if the image must be left out, which the report is told.
        """
        del file, info, report
        return dict(annotation)

    def check(  # noqa: B027 - most tasks have nothing to add
        self, classes: Sequence[str], annotations: Sequence[Mapping[str, Any]], report: Report
    ) -> None:
        """Report what only this task finds odd about a data set as a whole."""

    @abstractmethod
    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """Return the classes in an image's annotation with the number of their objects, or pixels.

        Which it is says `counted`. Splits are stratified over the keys; `Dataset.class_counts` sums
        the values. A class of the whole image counts as one object.
        """

    @abstractmethod
    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """Return the annotation with each class index replaced.

        What is of a class without a new index is gone; None if nothing remains to be said of the
        image.
        """

    def draw(
        self,
        picture_HW3: np.ndarray[Any, Any],
        size: tuple[int, int],
        annotation: Mapping[str, Any],
        class_names: Sequence[str],
    ) -> np.ndarray[Any, Any]:
        """Return a picture of an image with its labels on it; a class of the whole image is not.

        Args:
            picture_HW3: uint8 (height, width, 3), of any size.
            size: Width and height of the image itself, which the annotation is of.
            annotation: Of the image, as `complete` made it.
            class_names: By the indices in annotations.
        """
        del size, annotation, class_names
        return picture_HW3

    @property
    @abstractmethod
    def exporters(self) -> Sequence[DatasetExporter]:
        """The formats that data sets can be written in, likeliest first."""

    @abstractmethod
    def learner(self) -> Learner:
        """Make the half of the task that needs torch; imports it."""
