"""The manifest of a data set: one line an image, in index order.

Kept in the bucket as `tasks/{task}/datasets/{dataset}/manifest.jsonl`; the images themselves lie
in uncompressed tar shards and are read by offset, so that reading one image is one range request.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Subset = Literal["train", "val", "test"]
SUBSETS: tuple[Subset, ...] = ("train", "val", "test")


class Place(NamedTuple):
    """Where the bytes of a file are.

    Attributes:
        shard: Name of the tar in the data set's `shards/`, e.g. `00000.tar`.
        offset: Where they start in the shard.
        size: Their number.
    """

    shard: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a data set.

    Attributes:
        file: Path in the archive as uploaded, for people and for findings.
        shard: Name of the tar in the data set's `shards/`, e.g. `00000.tar`.
        offset: Where the image's bytes start in the shard.
        size: Number of those bytes.
        sha256: Of those bytes, in hexadecimal.
        width: In pixels, after EXIF rotation.
        height: In pixels, after EXIF rotation.
        annotation: What the task says of the image; for classification `{"label": index}`.
        split: The subset that the data itself puts the image in, if it does.
        duplicate_group: Images with the same number show (nearly) the same; None if alone.
        columns: Further columns of the data set's table, for `group_by`.
        mask: Where the PNG of its pixels' classes is, for tasks that have one.
    """

    file: str
    shard: str
    offset: int
    size: int
    sha256: str
    width: int
    height: int
    annotation: dict[str, Any]
    split: Subset | None = None
    duplicate_group: int | None = None
    columns: dict[str, str] = field(default_factory=dict)
    mask: Place | None = None


def write_line(entry: Entry) -> bytes:
    """Format an entry as a line of JSON."""
    return json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_lines(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Parse lines of JSON, in order."""
    for line in lines:
        entry = Entry(**json.loads(line))
        yield entry if entry.mask is None else replace(entry, mask=Place(*entry.mask))


def read_chunks(chunks: Iterable[bytes]) -> Iterator[Entry]:
    """Parse a manifest that arrives in pieces, cut anywhere; holds no more than a piece."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from read_lines(whole)
    if rest:
        yield from read_lines([rest])
