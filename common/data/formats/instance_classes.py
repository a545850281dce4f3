"""Finds out of which class the numbered objects of a mask are.

Shape letters: H height, W width.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from common.data.formats import class_lines, class_tables, mask_pixels, tables
from common.data.formats.mask_survey import Kind, pack, survey
from common.data.formats.pairing import stem, text_of
from common.data.images import ImageError
from common.data.tree import suffix
from common.errors import InvalidInput
from common.masks.instances import commonest
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from common.data.findings import Report
    from common.data.formats.mask_files import MaskSet, Pair
    from common.data.tree import Tree

_SUFFIXES = {".json", ".csv", ".tsv"}
_MAX_TEXT_BYTES = 16 * MIB
_MOST_ALIKE = 64
_MOST_DIGITS = 10
_MOST_NUMBER = 1 << 24
# Where a file lists objects, further inside.
_AROUND = ("objects", "instances", "segments", "segments_info", "shapes")
_CLASS_PICTURES = re.compile(r"semantic|class")
_SWAPPED = (("object", "class"), ("instance", "class"), ("instance", "semantic"))


class ClassTexts:
    """The files that say the classes of the objects of a single image.

    A `.json` gives a class for each number, or lists objects with `id` and `class`; a `.csv` has
    columns called so. A class may be a number, too.

    Args:
        tree: The files.
        names: Of the classes that are numbers, as far as anything names them.
        report: Told of files that cannot be read.
    """

    def __init__(self, tree: Tree, names: Mapping[int, str], report: Report) -> None:
        self._tree = tree
        self._names = names
        self._report = report
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in tree.files:
            if suffix(path) in _SUFFIXES and 0 < tree.size(path) <= _MAX_TEXT_BYTES:
                alike = self._by_stem[stem(path)]
                if len(alike) < _MOST_ALIKE:
                    alike.append(path)

    def classes(self, pair: Pair) -> dict[int, str]:
        """Return the names of the classes of numbers; of none if no file says them."""
        for name in dict.fromkeys((stem(pair.mask), stem(pair.image))):
            folders = [path.rpartition("/")[0] for path in (pair.mask, pair.image)]
            alike = self._by_stem.get(name, [])
            near = [path for path in alike if path.rpartition("/")[0] in folders]
            for path in near or (alike if len(alike) == 1 else []):
                if said := self._read(path):
                    return {number: self._name(one) for number, one in said.items()}
        return {}

    def _name(self, said: str) -> str:
        if not (said.isdecimal() and len(said) < _MOST_DIGITS):
            return said
        return self._names.get(int(said), f"class {said}")

    def _read(self, path: str) -> dict[int, str]:
        try:
            if suffix(path) == ".json":
                return _of_json(json.loads(text_of(self._tree, path)))
            return self._of_csv(path)
        # Deep nesting makes Python give up.
        except (ValueError, RecursionError, InvalidInput) as error:
            self._report.add("CLASS_TABLES_UNREADABLE", f"{path}: {error}")
            return {}

    def _of_csv(self, path: str) -> dict[int, str]:
        encoding = tables.encoding_of(self._tree, path)
        for delimiter in tables.DELIMITERS:
            cells = list(tables.rows(self._tree, path, encoding, delimiter))
            if cells and (rows := class_lines.of_table(cells[0], cells[1:])):
                return {row.value: row.name for row in rows}
        return {}


def _of_json(content: Any) -> dict[int, str]:
    if isinstance(content, dict):
        inside = next((content[key] for key in _AROUND if key in content), None)
        if isinstance(inside, dict | list):
            content = inside
    if isinstance(content, dict) and content:
        items = [(str(key), value) for key, value in content.items()]
        if all(key.isdecimal() and type(value) is int for key, value in items):
            return {int(key): str(value) for key, value in items if len(key) < _MOST_DIGITS}
    if isinstance(content, list):
        content = [_named(one) for one in content]
    return {row.value: row.name for row in class_lines.of_json(content)}


def _named(one: Any) -> Any:
    """Return an object whose class, where that is a number, has a name."""
    if not isinstance(one, dict):
        return one
    keys = ("class", "category", "label", "class_id", "category_id")
    key = next((key for key in keys if key in one), None)
    if (
        key is None
        or type(one[key]) is not int
        or any(name in one for name in ("name", "class_name"))
    ):
        return one
    return {"id": one.get("id", one.get("value")), "name": str(one[key])}


class ClassPictures:
    """Masks of classes beside those of objects.

    Attributes:
        names: Of the classes, in the order of their table.
    """

    def __init__(self, tree: Tree, masks: MaskSet, report: Report) -> None:
        self._tree = tree
        self._report = report
        self._mask_of: dict[str, str] = {}
        self._names: dict[bool, Mapping[int, str]] = {}
        self.names: list[str] = []
        self._masks: MaskSet | None = None
        chosen = self.name_of(tree, masks)
        for one in survey(tree).files.sets:
            if one.name == chosen:
                self._mask_of = {pair.image: pair.mask for pair in one.pairs}
                self._masks = one

    @staticmethod
    def name_of(tree: Tree, masks: MaskSet) -> str | None:
        """Return which set of masks says the classes of objects in another."""
        found = survey(tree)
        for old, new in _SWAPPED:
            name = re.sub(old, new, masks.name, flags=re.IGNORECASE)
            for one in found.files.sets:
                same = one.name.lower() == name.lower() and one.name != masks.name
                if same and _CLASS_PICTURES.search(one.name.lower()):
                    return one.name if found.look(tree, one).kind != Kind.OTHER else None
        return None

    def classes(self, pair: Pair, values_HW: NDArray[np.integer[Any]]) -> dict[int, str]:
        """Return for the number of each object the name of the class that its pixels have.

        Raises:
            ValueError: There is a mask of classes, but it cannot be used.
        """
        path = self._mask_of.get(pair.image)
        if path is None:
            return {}
        try:
            pixels = mask_pixels.read(self._tree, path)
        except ImageError as error:
            raise ValueError(f"its classes in {path}: {error.message}") from error
        others_HW = pack(pixels.array) if pixels.coloured else pixels.array
        if pixels.lossy:
            raise ValueError(f"its classes in {path} are stored with loss")
        if others_HW.shape != values_HW.shape:
            sizes = [f"{one_HW.shape[1]} × {one_HW.shape[0]}" for one_HW in (others_HW, values_HW)]
            raise ValueError(f"its classes in {path} have {sizes[0]} pixels, it has {sizes[1]}")
        if others_HW.min(initial=0) < 0 or others_HW.max(initial=0) >= _MOST_NUMBER:
            raise ValueError(f"its classes in {path} are no numbers of classes")
        names = self._names.get(pixels.coloured)
        if names is None:
            names = table_of(self._tree, self._masks, self._report, colours=pixels.coloured)
            self._names[pixels.coloured] = names
            self.names = list(dict.fromkeys([*self.names, *names.values()]))
        return {
            value: names.get(key) or (f"#{key:06x}" if pixels.coloured else f"class {key}")
            for value, key in commonest(values_HW, others_HW).items()
        }


def table_of(
    tree: Tree, masks: MaskSet | None, report: Report, *, colours: bool = False
) -> Mapping[int, str]:
    """Return the names of classes by their numbers or, packed in a number, their colours.

    Files named like a mask or an image are about this one alone, so that they do not count.
    """
    if masks is None:
        return {}
    own = {stem(path) for pair in masks.pairs for path in pair}
    table = class_tables.find(tree, masks.folders, report, colours=colours, but=own)
    rows = table.rows if table else ()
    if not colours:
        return {row.value: row.name for row in rows}
    packed = [(row.colour, row.name) for row in rows if row.colour is not None]
    return {(red << 16) | (green << 8) | blue: name for (red, green, blue), name in packed}
