"""A large XML file, read part by part, so that memory holds one of its parts at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from common.settings import MIB

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from common.data.tree import Tree

MAX_XML_BYTES = 512 * MIB

# The parser holds a tag with all of its attributes; that of a mask may be long.
_MAX_TAG_BYTES = 16 * MIB
_MAX_ELEMENTS = 1_000_000
_MAX_DEPTH = 50


class XmlError(Exception):
    """A file is no XML of the kind that is needed; the message says why."""


def parts(tree: Tree, path: str, root: str) -> Iterator[tuple[Element, Element | None]]:
    """Yield what is in the elements of the root, which themselves are never held whole.

    Args:
        tree: Where the file is.
        path: Its path.
        root: What the root has to be called.

    Yields:
        An element of the root, and one that is directly in it. Once all of these have been yielded,
        the first comes once more, with None.

    Raises:
        XmlError: The file cannot be read from here on.
    """
    if tree.size(path) > MAX_XML_BYTES:
        raise XmlError(f"has {tree.size(path)} bytes; {MAX_XML_BYTES} are allowed")
    open_elements: list[Element] = []
    count = 0
    try:
        with tree.open(path) as file:
            for event, element in iterparse(_Tags(file), events=("start", "end"), forbid_dtd=True):
                if event == "start":
                    open_elements.append(element)
                    count += 1
                    if len(open_elements) == 1 and element.tag != root:
                        raise XmlError(f"starts with <{element.tag[:50]}> instead of <{root}>")
                    if count > _MAX_ELEMENTS or len(open_elements) > _MAX_DEPTH:
                        raise XmlError("has too many elements inside of one another")
                    continue
                open_elements.pop()
                if len(open_elements) == 2:
                    yield open_elements[1], element
                elif len(open_elements) == 1:
                    yield element, None
                if 1 <= len(open_elements) <= 2:
                    open_elements[-1].remove(element)
                    count = 0
    except DefusedXmlException as error:
        raise XmlError("declares a document type or entities, which are not read") from error
    except (ParseError, ValueError, LookupError) as error:
        raise XmlError(f"is no XML: {error}") from error


class _Tags:
    """A file whose tags are not too long for the parser, which holds each of them whole."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._length = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read as a file does."""
        data = self._file.read(size)
        start = data.rfind(b"<")
        self._length = self._length + len(data) if start < 0 else len(data) - start
        if self._length > _MAX_TAG_BYTES:
            raise XmlError(f"has a tag of more than {_MAX_TAG_BYTES} bytes")
        return data
