"""Reads a large JSON file piece by piece, so that memory holds one of its parts at a time.

Annotation files are an object with a few long lists. Python's own parser would need many times the
file's size for them.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from common.data.formats import tables
from common.errors import InvalidInput
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from common.data.tree import Tree

# The 860,000 objects of COCO's train2017 take 450 MB.
MAX_JSON_BYTES = 512 * MIB
# A part in memory may take 20 times as much as its text.
_MAX_PART_LENGTH = 16 * MIB
_CHUNK_LENGTH = MIB
_SPACE = " \t\n\r"


class JsonError(Exception):
    """A file is no JSON, or not one of the kind that is needed; the message says where and why."""


class Part(NamedTuple):
    """A part of the object that a file is.

    Attributes:
        key: Where it is.
        place: In the list that is there, from 0; -1 to say that a list begins; None if it is none.
        value: As Python's parser gives it; NaN and infinite numbers are let through.
    """

    key: str
    place: int | None
    value: Any


def check_size(tree: Tree, path: str) -> None:
    """Return if a file is not too large to have been meant as annotations.

    Raises:
        InvalidInput: It is larger than `MAX_JSON_BYTES`.
    """
    if tree.size(path) > MAX_JSON_BYTES:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{path} has {tree.size(path)} bytes; an annotation file may have {MAX_JSON_BYTES}. "
            "Split it in several files, or leave out outlines of objects where no mask is needed.",
            maximum=MAX_JSON_BYTES,
        )


def parts(tree: Tree, path: str) -> Iterator[Part]:
    """Yield each value of the object in a file, and of a list each element.

    Raises:
        JsonError: The file is no JSON from here on, or no object, or a part is too long to be held.
    """
    encoding = tables.encoding_of(tree, path)
    with io.TextIOWrapper(tree.open(path), encoding, errors="replace") as file:
        text = Text(file)
        text.take("{")
        if text.peek() == "}":
            text.take("}")
        else:
            while True:
                key = text.value()
                if not isinstance(key, str):
                    raise text.error("a name is missing")
                text.take(":")
                if text.peek() == "[":
                    yield Part(key, -1, None)
                    for place, element in enumerate(elements(text)):
                        yield Part(key, place, element)
                else:
                    yield Part(key, None, text.value())
                if text.take(",}") == "}":
                    break
        if text.peek():
            raise text.error("something follows the end")


def elements(text: Text) -> Iterator[Any]:
    """Yield each element of the list that comes next."""
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


class Text:
    """A text of JSON of which only what comes next is in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._decoder = json.JSONDecoder()
        self._held = ""
        self._at = 0
        self._ended = False
        # Of the text before what is held: its lines, and how much of the last of them.
        self._lines = 0
        self._column = 0

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._read():
                return ""

    def take(self, allowed: str) -> str:
        """Go on behind the next character, which has to be one of these, and return it."""
        found = self.peek()
        if not found or found not in allowed:
            wanted = " or ".join(allowed)
            raise self.error(f"{wanted} is missing" if found else f"it ends before {wanted}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        self._forget()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._held, self._at)
                # A number may go on behind what is held, as 1 does if `e+` is the last of it.
                if end + 2 < len(self._held) or not self._read():
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                # It may only be cut; to look again at twice the length keeps this linear.
                if len(self._held) >= _MAX_PART_LENGTH or not self._read(len(self._held)):
                    self._at = min(error.pos, len(self._held))
                    reason = error.msg[0].lower() + error.msg[1:]
                    raise self.error(reason) from None
            except RecursionError:
                raise self.error("it is nested too deeply") from None
            except ValueError:  # of Python, which parses no whole number of thousands of digits
                raise self.error("a number is too long") from None

    def error(self, reason: str) -> JsonError:
        """Say what is wrong with what comes next."""
        before = self._held[: self._at]
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") - 1 if lines else self._column + len(before)
        return JsonError(f"line {self._lines + lines + 1}, column {column + 1}: {reason}")

    def _read(self, length: int = 0) -> bool:
        """Hold more of the text; return whether there is more."""
        if self._at >= len(self._held):
            self._forget()
        more = "" if self._ended else self._more(max(length, _CHUNK_LENGTH))
        self._ended = not more
        self._held += more
        return bool(more)

    def _more(self, length: int) -> str:
        try:
            return self._file.read(length)
        except UnicodeError as error:
            raise self.error(str(error)) from error

    def _forget(self) -> None:
        if self._at < _CHUNK_LENGTH // 2 and self._at < len(self._held):
            return  # to cut off little, often, would take long
        before = self._held[: self._at]
        lines = before.count("\n")
        self._column = len(before) - before.rfind("\n") - 1 if lines else self._column + len(before)
        self._lines += lines
        self._held = self._held[self._at :]
        self._at = 0
