"""JSON documents of a few long lists, written element by element in bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Lists:
    """Lists, each in a file of its own until they are put together.

    Args:
        folder: For the files.
        stem: What their names begin with.
        keys: Of the lists.

    Attributes:
        size: Bytes of all lists so far.
    """

    def __init__(self, folder: Path, stem: str, keys: Sequence[str]) -> None:
        self._paths = {key: folder / f"{stem}-{key}.part" for key in keys}
        self._files = {key: path.open("wb") for key, path in self._paths.items()}
        self._counts = dict.fromkeys(keys, 0)
        self.size = 0

    def count(self, key: str) -> int:
        """Return how long a list is."""
        return self._counts[key]

    def add(self, key: str, value: Any) -> int:
        """Append to a list, and return how long it is."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        self.size += self._files[key].write(b",\n" + text if self._counts[key] else text)
        self._counts[key] += 1
        return self._counts[key]

    def document(self, others: Mapping[str, Any]) -> list[bytes | Path]:
        """Return the pieces of an object with the lists and other values. Ends the lists."""
        pieces: list[bytes | Path] = []
        for key, path in self._paths.items():
            self._files[key].close()
            pieces += [(b",\n" if pieces else b"{") + json.dumps(key).encode() + b":[", path, b"]"]
        for key, value in others.items():
            text = json.dumps({key: value}, ensure_ascii=False, separators=(",", ":"))
            pieces.append(b",\n" + text[1:-1].encode())
        return [*pieces, b"}\n"]
