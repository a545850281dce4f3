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
    """A labeled file; the fields are those of `manifest.Entry`."""

    file: str
    annotation: dict[str, Any]
    split: Subset | None = None
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a format makes of an archive: the classes in order of their indices, and the files."""

    classes: list[str]
    records: list[Record]


class Format(ABC):
    """A way in which people lay out labeled images."""

    name: ClassVar[str]
    """As in `ImportDatasetRequest.format`, e.g. `image_folder`."""

    description: ClassVar[str]
    """How to lay out files for it, on one line, for a person."""

    @abstractmethod
    def detect(self, tree: Tree) -> str | None:
        """Say why the files look like this format, or None if they do not."""

    @abstractmethod
    def read(self, tree: Tree, report: Report) -> Reading:
        """Find the classes and the labeled files; report what is odd.

        Raises:
            InvalidInput: The files cannot be read as this format at all.
        """


def choose(formats: Sequence[Format], named: str, tree: Tree) -> Format:
    """Return the format called `named`, or the only one that the files look like.

    Raises:
        InvalidInput: None is called so; or the name is empty and no format, or more than one, fits.
    """
    if named:
        return by_name(formats, named)
    fitting = [(entry, reason) for entry in formats if (reason := entry.detect(tree))]
    if len(fitting) == 1:
        return fitting[0][0]
    if fitting:
        raise InvalidInput(
            Reason.FORMAT_AMBIGUOUS,
            "The archive could be "
            + ", or ".join(f"{entry.name} ({reason})" for entry, reason in fitting)
            + ". Say which in the field format.",
            field="format",
            formats=",".join(entry.name for entry, _ in fitting),
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
