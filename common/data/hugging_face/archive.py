"""The tables of an archive in a layout of the hub, with what their columns are."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from common.data.formats.finding_files import Finder, split_in
from common.data.formats.image_folder import SUBSET_OF
from common.data.hugging_face import boxes, card, roles
from common.data.hugging_face.metadata import MetadataTable, is_metadata
from common.data.hugging_face.row_files import RowFiles
from common.data.hugging_face.table import Table, TableError
from common.data.images import ImageError, probe
from common.data.tree import suffix
from common.errors import Unsupported
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from common.data.hugging_face.features import Names
    from common.data.hugging_face.parquet import ParquetTable
    from common.data.hugging_face.roles import Roles
    from common.data.manifest import Subset
    from common.data.tree import Tree

PARQUET = ".parquet"

_START_BYTES = 256 * 1024
_MAX_PIXELS = 1 << 62  # only the header is read
# Beside a split and a number, files may be called for what they are not of a data set's.
_SUBSETS: tuple[Subset, ...] = ("train", "val", "test")


@dataclass(slots=True)
class Source:
    """A table that labels images.

    Attributes:
        table: Its rows.
        roles: What its columns are.
        names: Of classes, by where their numbers stand.
        split: As it is named, or the folders around it are.
    """

    table: Table
    roles: Roles
    names: Names
    split: Subset | None = None


@dataclass(slots=True)
class Archive:
    """What there is.

    Attributes:
        sources: In the order of their paths.
        ignored: Tables without images, or of another configuration.
        broken: Tables that cannot be read, with why.
        box_format: How boxes are written, what shows it, and whether another way may be meant;
            None until somebody has looked.
    """

    sources: list[Source] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    box_format: tuple[boxes.BoxFormat, str, bool] | None = None


_archives: WeakKeyDictionary[Tree, Archive] = WeakKeyDictionary()


def is_candidate(path: str) -> bool:
    """Whether a file is called like a table of the hub."""
    return suffix(path) == PARQUET or is_metadata(path)


def of(tree: Tree) -> Archive:
    """Return what tables there are; each format asks for it, once to detect and once to read.

    Raises:
        InvalidInput: The request names a column or a configuration that there is not.
        Unsupported: There are parquet files, and nothing here can read them.
    """
    if tree not in _archives:
        _archives[tree] = _look(tree)
    return _archives[tree]


def _look(tree: Tree) -> Archive:
    found = Archive()
    finder = Finder(tree)
    said = _card(tree, found)
    for path in filter(is_candidate, tree.files):
        split = said.split(path) if said.patterns and suffix(path) == PARQUET else ""
        if split is None:
            found.ignored.append(path)
            continue
        try:
            table = _open(tree, path, finder)
            names = said.names | table.names
            known = roles.find(table.columns, names, tree.told, path)
        except TableError as error:
            found.broken.append(f"{path}: {error}")
            continue
        if known is None:
            found.ignored.append(path)
            continue
        table.split = split
        found.sources.append(Source(table, known, names, _subset(path, split, tree.told)))
    _attach(tree, found.sources)
    return found


def _card(tree: Tree, found: Archive) -> card.Card:
    paths = [path for path in tree.files if path.rpartition("/")[2] == card.CARD]
    if not paths:
        return card.Card()
    path = min(paths, key=lambda one: (one.count("/"), one))
    if tree.size(path) > card.MAX_CARD_BYTES:
        found.broken.append(f"{path}: it has {tree.size(path)} bytes")
        return card.Card()
    text = tree.read(path).decode("utf-8", errors="replace")
    try:
        return card.parse(text, path.removesuffix(card.CARD), tree.told.get("config", ""))
    except ValueError as error:
        found.broken.append(f"{path}: {error}")
        return card.Card()


def _open(tree: Tree, path: str, finder: Finder) -> Table:
    if suffix(path) != PARQUET:
        return MetadataTable(tree, path, finder)
    if importlib.util.find_spec("pyarrow") is None:
        raise Unsupported(
            Reason.SOURCE_UNSUPPORTED,
            f"{path} is a parquet file, which this server was not set up to read. Have the "
            "operator install nocode-vision[hugging_face], or pack images with a metadata.jsonl.",
        )
    # Only here, since it takes a tenth of a second and 60 MB.
    from common.data.hugging_face.parquet import ParquetTable  # noqa: PLC0415

    return ParquetTable(tree, path, finder)


def _subset(path: str, split: str, told: Mapping[str, str]) -> Subset | None:
    """Return what a table is for, as the request or its name says."""
    for subset in _SUBSETS:
        wanted = told.get(f"{subset}_split")
        if wanted and (split == wanted or (not split and _is_named(path, wanted))):
            return subset
    named = SUBSET_OF.get(split.lower()) or split_in(split or path.removesuffix(suffix(path)))
    return None if told.get(f"{named}_split") else named  # which another table is


def _is_named(path: str, split: str) -> bool:
    """Whether a file is called like a split, perhaps with a number, or lies in a folder so."""
    *folders, name = path.split("/")
    return split in folders or name.rpartition(".")[0].partition("-0")[0] == split


def _attach(tree: Tree, sources: list[Source]) -> None:
    """Make the images in rows files of the tree."""
    holding: list[ParquetTable] = []
    columns: dict[str, list[str]] = {}
    for source in sources:
        table, known = source.table, source.roles
        if suffix(table.path) != PARQUET:
            continue
        masks = known.objects.masks if known.objects else None
        named = dict.fromkeys(one for one in (known.image, known.mask, masks) if one)
        columns[table.path] = list(named)
        holding.append(table)  # type: ignore[arg-type]  # it is, by its suffix
    if holding:
        tree.attach(RowFiles(holding, columns, tree.folder))


def size_of(tree: Tree, path: str) -> tuple[int, int]:
    """Return width and height of an image by its header; 0 if that does not say them soon."""
    try:
        with tree.open(path) as file:
            info = probe(file.read(_START_BYTES), max_pixels=_MAX_PIXELS)
    except ImageError:
        return 0, 0
    return info.width, info.height


def values(
    source: Source, columns: set[str], broken: list[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows as far as the table can be read; what cannot be is added to `broken`."""
    try:
        yield from source.table.rows(sorted(columns))
    except TableError as error:
        broken.append(f"{source.table.path}: {error}")
