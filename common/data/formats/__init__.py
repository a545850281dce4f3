"""Data set formats, one module each: from the files of an archive to labeled images.

A format looks at names and annotation files only; whether an image can be decoded is seen later,
by the import, for all formats alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree


@dataclass(frozen=True, slots=True)
class Record:
    """A labeled file; the fields are those of `manifest.Entry`.

    What its annotation is depends on the task: `Task.complete` makes of it that of the manifest,
    once the image is known.
    """

    file: str
    annotation: Any
    split: Subset | None = None
    columns: dict[str, str] = field(default_factory=dict)


MAX_CLASSES = 10_000
"""Of a data set. A model's last layer and a confusion matrix grow with their number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a format makes of an archive.

    Attributes:
        classes: In the order of their indices.
        records: The files. One may be listed more than once, one record behind the other.
        unused: Indices of classes that are named and no more: no record shows them.
        derived: How labels are made of what the files say, if these say something else; a sentence
            for a person.
    """

    classes: list[str]
    records: list[Record]
    unused: frozenset[int] = frozenset()
    derived: str = ""


class Format(ABC):
    """A way in which people lay out labeled images."""

    name: ClassVar[str]
    """As in `ImportDatasetRequest.format`, e.g. `image_folder`."""

    description: ClassVar[str]
    """How to lay out files for it, on one line, for a person."""

    layout: ClassVar[str] = ""
    """An example: lines of paths, with what is in the files."""

    detected: ClassVar[str] = ""
    """By what files are known to be of the format; a sentence."""

    kept: ClassVar[str] = ""
    """What is read; a sentence."""

    dropped: ClassVar[str] = ""
    """What is in such files, or may be, but is not used; a sentence."""

    @abstractmethod
    def detect(self, tree: Tree) -> str | None:
        """Say why the files look like this format, or None if they do not."""

    @abstractmethod
    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Find the classes and the labeled files; report what is odd.

        Args:
            tree: The files.
            report: Told.
            max_records: What an annotation file may list at most.

        Raises:
            InvalidInput: The files cannot be read as this format at all, or have more classes than
                `MAX_CLASSES` or more records than `max_records`.
        """


def check_class_count(class_count: int, example: str) -> None:
    """Return if a data set may have so many classes.

    Args:
        class_count: How many there are, so far.
        example: Where the one too many was found, e.g. `labels.csv, row 10002`.

    Raises:
        InvalidInput: They are more than `MAX_CLASSES`.
    """
    if class_count > MAX_CLASSES:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"There are more than {MAX_CLASSES} classes, the most that are allowed, counted up to "
            f"{example}. If each image seems to have a class of its own, name the column or the "
            "folders of the class.",
            maximum=MAX_CLASSES,
        )


def choose(formats: Sequence[Format], named: str, tree: Tree) -> Format:
    """Return the format called `named`, or the only one that the files look like."""
    return choose_with_reason(formats, named, tree)[0]


def choose_with_reason(formats: Sequence[Format], named: str, tree: Tree) -> tuple[Format, str]:
    """Return what `choose` does, and why; without a reason if it is named.

    To detect takes about as long as to read, for large annotation files: it is done once.

    Raises:
        InvalidInput: None is called so; or the name is empty and no format, or more than one, fits,
            or there is no image.
    """
    if named:
        return by_name(formats, named), ""
    fitting = [(entry, reason) for entry in formats if (reason := entry.detect(tree))]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InvalidInput(
            Reason.FORMAT_AMBIGUOUS,
            "The archive could be "
            + ", or ".join(f"{entry.name} ({reason})" for entry, reason in fitting)
            + ". Say which in the field format.",
            field="format",
            formats=",".join(entry.name for entry, _ in fitting),
        )
    if not tree.images:
        raise InvalidInput(
            Reason.FORMAT_UNKNOWN,
            f"There is no image in the archive, which has {tree.describe()}. Pack the images "
            "together with their labels.",
        )
    raise InvalidInput(
        Reason.FORMAT_UNKNOWN,
        f"The layout of the archive, with {tree.describe()}, is none that is known. Lay it out as "
        + _list(formats),
        field="format",
    )


def by_name(formats: Sequence[Format], name: str) -> Format:
    """Return the format called `name`.

    Raises:
        InvalidInput: There is none; the message lists those there are.
    """
    for entry in formats:
        if entry.name == name:
            return entry
    raise InvalidInput(
        Reason.FORMAT_UNKNOWN,
        f"format is {shorten(name)!r}. Leave it empty, or send one of these: " + _list(formats),
        field="format",
        value=shorten(name),
    )


def _list(formats: Sequence[Format]) -> str:
    return "; ".join(f"{entry.name}: {entry.description}" for entry in formats) + "."
