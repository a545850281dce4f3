"""Rows that label images, whatever kind of file they are in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.data.hugging_face.features import Column, Names


class TableError(Exception):
    """A table, or what is left of it, cannot be read; the message says why."""


class Table(ABC):
    """A file with a row for each image.

    Attributes:
        path: In the archive.
        split: Name of the split that it is; empty if nothing says that.
        columns: By their names.
        names: Of classes, as the table says them itself.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.split = ""
        self.columns: dict[str, Column] = {}
        self.names: Names = {}

    @abstractmethod
    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each row, from 1, and its values in some columns.

        The value of an image is where it is as far as the table says that, not its bytes.

        Raises:
            TableError: The table is damaged from here on.
        """

    @abstractmethod
    def file(self, row: int, column: str, value: Any, place: int | None = None) -> str | None:
        """Return the path in the tree of an image; None if there is none.

        Args:
            row: Its number.
            column: Of images.
            value: What `rows` gives for it.
            place: Which it is, in a column of lists of images.
        """
