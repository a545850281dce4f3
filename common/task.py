"""The interface that a service implements for each of its tasks.

A `Task` is light: importing its module imports no torch, so that imports, splits and the names of
things cost no memory. Its other half, the `Learner`, is made when a model is trained or called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.formats import Format
    from common.training.learner import Learner


class Task(ABC):
    """What differs between tasks, as far as no torch is needed."""

    name: ClassVar[str]
    """As in resource names, e.g. `classification`."""

    least_class_count: ClassVar[int] = 1
    """A data set with fewer classes is of no use to the task."""

    @property
    @abstractmethod
    def formats(self) -> Sequence[Format]:
        """The data set formats that can be imported for this task, likeliest first."""

    @abstractmethod
    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """Return the classes in an image's annotation with the number of their objects.

        Splits are stratified over the keys; `Dataset.class_counts` sums the values. A class of
        the whole image counts as one object.
        """

    @abstractmethod
    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any]:
        """Return the annotation with each class index replaced, once unused classes are gone."""

    @abstractmethod
    def learner(self) -> Learner:
        """Make the half of the task that needs torch; imports it."""
