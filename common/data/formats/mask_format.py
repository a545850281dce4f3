"""What the formats of masks in files of their own have in common.

All look at the same set of masks, the likeliest of the archive, and exactly one of them takes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.data.findings import Report
from common.data.formats import (
    Format,
    Reading,
    Record,
    check_class_count,
    class_tables,
    mask_pixels,
    tables,
)
from common.data.formats.mask_files import given_splits
from common.data.formats.mask_survey import Kind, Look, survey
from common.data.formats.published_masks import published_as
from common.data.images import ImageError
from common.errors import InvalidInput
from common.masks.drafts import MaskDraft, fit
from common.masks.label_maps import VOID
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from common.data.formats.class_lines import ClassRow
    from common.data.formats.class_tables import ClassTable
    from common.data.formats.mask_files import MaskSet
    from common.data.formats.mask_pixels import MaskPixels
    from common.data.images import ImageInfo
    from common.data.tree import Tree
    from common.masks.label_maps import Labels

_MOST_GUESSED_COLOURS = 64


class Labeler(ABC):
    """Tells the classes of pixels."""

    @abstractmethod
    def __call__(self, pixels: MaskPixels, where: str, report: Report) -> Labels:
        """Return the class of each pixel, int16 (H, W), `VOID` where it has none.

        Args:
            pixels: A mask.
            where: Its path.
            report: Told of pixels that should have a class.

        Raises:
            ValueError: The mask is not of this kind.
        """


@dataclass(frozen=True, slots=True)
class MaskFile(MaskDraft):
    """A mask in a file.

    Attributes:
        tree: Where it is; open as long as the mask may be asked for.
        path: Of the mask.
        labeler: Tells the classes of its pixels.
    """

    tree: Tree
    path: str
    labeler: Labeler

    def load(self, file: str, info: ImageInfo, report: Report) -> Labels | None:
        """Decode the file."""
        del file
        most = max(mask_pixels.MAX_MASK_PIXELS, info.width * info.height)
        try:
            pixels = mask_pixels.read(self.tree, self.path, max_pixels=most)
            labels_HW = self.labeler(pixels, self.path, report)
        except ImageError as error:
            report.add("MASKS_UNREADABLE", f"{self.path}: {error.message}")
            return None
        except ValueError as error:
            report.add("MASKS_UNREADABLE", f"{self.path}: {error}")
            return None
        return fit(labels_HW, self.path, info, report)


@dataclass(frozen=True, slots=True)
class Choice:
    """The masks to read.

    Attributes:
        masks: The set.
        look: What a sample of it shows.
        kind: What it is, names of classes considered.
        table: The nearest that names the classes of such masks, if there is any.
    """

    masks: MaskSet
    look: Look
    kind: Kind
    table: ClassTable | None


class MaskFormat(Format):
    """A way in which masks say the classes of pixels.

    Args:
        void_index: The value of pixels of which nobody says what they show; the only one then. If
            None, these are of classes called so, such as `void` or `unlabeled`, and of the value
            255 unless a class has it.
    """

    kind: ClassVar[Kind]
    published: ClassVar[str] = ""
    """The data set whose masks these are, by their names; empty for masks in general."""

    accepts: ClassVar[frozenset[Kind]]
    """What can be read so if the user says it is."""

    shown: ClassVar[str]
    """What masks have, for a person."""

    def __init__(self, void_index: int | None = None) -> None:
        self.void_index = void_index

    def detect(self, tree: Tree) -> str | None:
        """Say so if the likeliest set of masks is of this kind."""
        for choice in _choices(tree, self.void_index):
            mine = published_as(tree, choice.masks) == self.published
            if mine and choice.kind in (self.accepts if self.published else {self.kind}):
                pair = choice.masks.pairs[0]
                return f"{pair.mask} has {self.shown} of each pixel of {pair.image}"
            return None
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Pair images and masks; the masks are decoded later, one by one."""
        choice = self._choose(tree, report)
        masks = choice.masks
        tables.check_row_count(len(masks.pairs), max_records, masks.name, "masks")
        classes, labeler = self.classes(tree, choice, report)
        survey(tree).files.report_others(masks, report, unmasked="IMAGES_WITHOUT_MASK")
        split = given_splits(tree, masks, report)
        return Reading(
            classes,
            [
                Record(pair.image, MaskFile(tree, pair.mask, labeler), split.get(pair.image))
                for pair in masks.pairs
            ],
            # Whether a class occurs is only seen when the masks are decoded.
            frozenset(range(len(classes))),
        )

    @abstractmethod
    def classes(self, tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
        """Return the classes in the order of their indices, and what tells them apart.

        Raises:
            InvalidInput: They are too many.
        """

    def _choose(self, tree: Tree, report: Report) -> Choice:
        for choice in _choices(tree, self.void_index, report, others=True):
            if choice.kind in self.accepts or choice.look.kind in self.accepts:
                return choice
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"There are no masks with {self.shown} of each pixel in the archive, which has "
            f"{tree.describe()}. The format {self.name} needs {self.description}.",
        )


def _choices(
    tree: Tree, void_index: int | None, report: Report | None = None, *, others: bool = False
) -> Iterator[Choice]:
    """Yield the sets of masks that can be read, the likeliest first.

    Args:
        tree: The files.
        void_index: See `MaskFormat`.
        report: Told of tables of classes that cannot be read; without it, tables that contradict
            each other do not matter.
        others: With sets that are for another purpose by their name, and photos.
    """
    found = survey(tree)
    for masks in found.files.sets:
        look = found.look(tree, masks)
        if look.kind == Kind.OTHER or (masks.is_other and not others):
            continue
        colours = look.kind == Kind.COLOURS
        try:
            table = class_tables.find(tree, masks.folders, report or Report(), colours=colours)
        except InvalidInput:
            if report is not None:
                raise
            table = None
        many = look.lossy or len(look.values) > _MOST_GUESSED_COLOURS
        if colours and table is None and many and not others:
            continue
        yield Choice(masks, look, kind_of(look, table, void_index), table)


def kind_of(look: Look, table: ClassTable | None, void_index: int | None) -> Kind:
    """Masks of two values have the numbers of classes if the table has these or more than two."""
    if look.kind != Kind.BINARY:
        return look.kind
    if void_index in look.values:
        return Kind.INDEX
    if table is None or look.lossy:
        return Kind.BINARY
    named = look.values <= {row.value for row in table.rows}
    count = sum(not is_void(row, void_index) for row in table.rows)
    return Kind.INDEX if named or count > 2 else Kind.BINARY


def is_void(row: ClassRow, void_index: int | None) -> bool:
    """Whether nobody says what the pixels of a row show."""
    if void_index is not None:
        return row.value == void_index
    return class_tables.means_void(row.name)


def number(
    rows: Iterable[ClassRow], void_index: int | None, where: str, report: Report
) -> tuple[list[str], dict[int, int]]:
    """Return the classes of rows, and the index of each row's class, or `VOID`, by its value."""
    index_of: dict[str, int] = {}
    label_of: dict[int, int] = {}
    for row in rows:
        if is_void(row, void_index):
            label_of[row.value] = VOID
            continue
        if row.name in index_of:
            report.add("CATEGORY_NAMES_REPEATED", f"{where}: {row.name}, also {row.value}")
        label_of[row.value] = index_of.setdefault(row.name, len(index_of))
    check_class_count(len(index_of), where)
    return list(index_of), label_of
