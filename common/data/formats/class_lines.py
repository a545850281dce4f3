"""What a file says of the classes of masks: their names, with the value or the colour of each.

A text has a class on each line, in one of these ways:

    road                  0 road          road: 0         road 128 64 128     road:128,64,128::
    sky                   1: sky          sky, 1          128 64 128 road     0 road 128 64 128

Of lines that only name classes, the first has the value 0. JSON and YAML have a list of names or of
objects with a name, or say the name of each value, the value of each name, or the colour of each
name; perhaps further inside, under a key such as `classes` or `names`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

NAME_KEYS = ("name", "class_name", "class", "label", "category", "title", "label_name", "classes")
VALUE_KEYS = (
    *("id", "index", "value", "pixel value", "pixel_value", "pixel", "class_id", "label_id"),
    *("class id", "label id", "class_index", "idx", "number"),
)
COLOUR_KEYS = ("color", "colour", "rgb", "color_rgb", "rgb_color", "hex")
RED_KEYS, GREEN_KEYS, BLUE_KEYS = ("r", "red"), ("g", "green"), ("b", "blue")

MAX_VALUE = 65_535
_MAX_NAME_LENGTH = 200
_MAX_LINE_LENGTH = 300
_AROUND = ("classes", "names", "labels", "categories", "label_names", "class_names", "label_map")
_MAX_DEPTH = 4

_GAP = r"[\s,;|:=]+"
_INT = r"(\d{1,5})"
_LISTS_IMAGES = re.compile(r"\S+\.(?:jpe?g|png|bmp|tiff?|webp)(?:\s|,|;|$)", re.IGNORECASE)
# How lines may be written, and what the parts are: name, value, red, green, blue. The first that
# all lines of a text have is meant.
_STYLES = tuple(
    (re.compile(pattern), places)
    for pattern, places in (
        # As in labelmap.txt of VOC and CVAT; the colour may be missing.
        (r"(.+?):(?:(\d{1,3}),(\d{1,3}),(\d{1,3}))?:[^:]*:[^:]*", "nrgb"),
        (rf"{_INT}{_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}}){_GAP}(\D.*)", "vrgbn"),
        (rf"(\d{{1,3}}){_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}}){_GAP}(\D.*)", "rgbn"),
        (rf"{_INT}{_GAP}(\D.*?){_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}})", "vnrgb"),
        (rf"(\D.*?){_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}}){_GAP}(\d{{1,3}})", "nrgb"),
        (rf"{_INT}{_GAP}(\S.*)", "vn"),
        (rf"(\S.*?)\s*[\t,;|:=]\s*{_INT}", "nv"),
        (r"(.+)", "n"),
    )
)
_HEX = re.compile(r"#?([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?")
_RGB = re.compile(r"\D*(\d{1,3})\D+(\d{1,3})\D+(\d{1,3})(?:\D+\d{1,3})?\D*")


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class.

    Attributes:
        name: Never empty.
        value: Of its pixels.
        colour: Of its pixels, where masks are drawn in colours.
    """

    name: str
    value: int
    colour: Colour | None = None


def of_text(text: str) -> list[ClassRow]:
    """Read lines; none of them if they do not look like classes."""
    # What is behind a hash alone is a comment; a name may well have one inside.
    lines = [line for raw in text.splitlines() if (line := raw.strip()) and line[0] != "#"]
    if any(len(line) > _MAX_LINE_LENGTH or _LISTS_IMAGES.match(line) for line in lines):
        return []
    # The last one fits every line.
    pattern, places = next(
        (pattern, places)
        for pattern, places in _STYLES
        if all(pattern.fullmatch(line) for line in lines)
    )
    matches = [match for line in lines if (match := pattern.fullmatch(line))]
    rows = []
    for number, match in enumerate(matches):
        part = dict(zip(places, match.groups(), strict=True))
        row = _row(part["n"].strip("\"' \t"), part.get("v"), _ints(part, "rgb"), number)
        if row is not None:
            rows.append(row)
    return rows


def of_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[ClassRow]:
    """Read the rows of a table whose first line names the columns; none without a name.

    Besides the name, there has to be a column for the value, or one or three for the colour.
    """
    columns = [cell.strip().lower() for cell in header]
    name, value, colour = (_place(columns, keys) for keys in (NAME_KEYS, VALUE_KEYS, COLOUR_KEYS))
    rgb = [_place(columns, keys) for keys in (RED_KEYS, GREEN_KEYS, BLUE_KEYS)]
    if name is None or (value is None and colour is None and None in rgb):
        return []
    found = []
    for number, cells in enumerate(rows):
        row = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
        written: Any = [row[place] for place in rgb if place is not None]
        if len(written) < 3:
            written = row[colour] if colour is not None else None
        one = _row(row[name], row[value] if value is not None else None, _colour(written), number)
        if one is not None:
            found.append(one)
    return found


def of_json(content: Any, depth: int = 0) -> list[ClassRow]:
    """Read what JSON or YAML hold; nothing of a file that lists images or objects."""
    if isinstance(content, list):
        return _of_list(content)
    if not isinstance(content, dict) or {"annotations", "images"} & content.keys():
        return []
    if depth < _MAX_DEPTH:
        for key in _AROUND:
            inside = next((v for k, v in content.items() if str(k).lower() == key), None)
            if isinstance(inside, dict | list) and (rows := of_json(inside, depth + 1)):
                return rows
    items = [(str(key), value) for key, value in content.items()]
    if all(_is_int(key) and isinstance(value, str) for key, value in items):
        found = [_row(value, key, None, 0) for key, value in items]
    elif all(_is_int(value) for _, value in items):
        found = [_row(key, value, None, 0) for key, value in items]
    elif all(_is_int(key) and isinstance(value, dict) for key, value in items):
        found = [_of_dict({"id": key} | value, 0) for key, value in items]
    elif all(_colour(value) for _, value in items):
        found = [_row(key, None, _colour(value), i) for i, (key, value) in enumerate(items)]
    else:
        return []
    return [row for row in found if row is not None]


def _of_list(content: list[Any]) -> list[ClassRow]:
    if content and all(isinstance(one, str) for one in content):
        found = [_row(name, None, None, number) for number, name in enumerate(content)]
    elif all(isinstance(one, dict) for one in content):
        found = [_of_dict(one, number) for number, one in enumerate(content)]
    else:
        return []
    return [row for row in found if row is not None]


def _of_dict(one: dict[str, Any], number: int) -> ClassRow | None:
    part = {str(key).lower(): value for key, value in one.items()}
    name, value, colour = (
        next((part[key] for key in keys if part.get(key) is not None), None)
        for keys in (NAME_KEYS, VALUE_KEYS, COLOUR_KEYS)
    )
    if colour is None:
        colour = [
            next((part[key] for key in keys if key in part), None)
            for keys in (RED_KEYS, GREEN_KEYS, BLUE_KEYS)
        ]
    return _row(name, value, _colour(colour), number) if isinstance(name, str) else None


def _row(name: str, value: Any, colour: Colour | None, number: int) -> ClassRow | None:
    clean = unicodedata.normalize("NFC", name.strip())
    if not 0 < len(clean) <= _MAX_NAME_LENGTH:
        return None
    if value is not None and not _is_int(value):
        return None
    index = number if value is None else int(value)
    return ClassRow(clean, index, colour) if index <= MAX_VALUE else None


def _colour(written: Any) -> Colour | None:
    """Return a colour from three numbers, a text with them, or hexadecimal."""
    if isinstance(written, str):
        match = _RGB.fullmatch(written)
        if match is None:
            found = _HEX.fullmatch(written.strip())
            return tuple(bytes.fromhex(found[1])) if found else None  # type: ignore[return-value]
        written = match.groups()
    if not isinstance(written, list | tuple) or len(written) not in {3, 4}:
        return None
    numbers = [int(one) for one in written[:3] if _is_int(one)]
    if len(numbers) < 3 or max(numbers) > 255:
        return None
    return numbers[0], numbers[1], numbers[2]


def _ints(part: dict[str, Any], keys: str) -> Colour | None:
    return _colour([part.get(key) for key in keys])


def _is_int(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 0 <= value <= 10**9
    return isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value) is not None


def _place(columns: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((columns.index(key) for key in wanted if key in columns), None)
