"""What belongs to YOLO label files besides them: the names of the classes, and the splits.

    path: ../datasets/fish          names:
    train: train/images               0: fish
    val: [valid/images, more]         3: shark
    test: test.txt                  nc: 2

The YAML file may have any name. Its paths were right on another machine, so they are looked for
from its folder, from those around, and without their first folders; never outside of the archive.
Darknet and LabelImg write the names line by line instead, in `obj.names` or `classes.txt`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from common.data.formats import check_class_count
from common.data.formats.finding_files import split_in
from common.data.formats.pairing import Images, clean, join, parents, place, stem, text_of
from common.data.tree import IMAGE_SUFFIXES, suffix
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

_MAX_CONFIG_BYTES = MIB
# Of all files that name classes; a data set may have one in each of many folders.
_MAX_ALL_CONFIG_BYTES = 16 * MIB
_MAX_LIST_BYTES = 64 * MIB
_MAX_NAME_LENGTH = 200
_MAX_DEPTH = 20
_MAX_PATHS = 1000

_NAME_FILES = {"classes.txt", "class_names.txt", "names.txt", "predefined_classes.txt"}
_NAME_SUFFIXES = {".names", ".labels"}
_KEYS: dict[str, Subset] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_NOTHING = {"", "~", "null", "none"}
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says of the label files around it.

    Attributes:
        path: Of the file; empty if there is none.
        names: Of the classes, by the number in label files; empty if they are unknown.
        base: Folder from which the paths start, as written.
        paths: Folders and lists of the images of each split, as written.
        keypoints: Lines have key points behind their box, and are no outlines.
    """

    path: str = ""
    names: dict[int, str] = field(default_factory=dict)
    base: str = ""
    paths: dict[Subset, list[str]] = field(default_factory=dict)
    keypoints: bool = False


UNNAMED = Config()


class Configs:
    """The files that name classes, by the folders that they are for."""

    def __init__(self, tree: Tree, report: Report) -> None:
        self._yaml: dict[str, list[Config]] = defaultdict(list)
        self._text: dict[str, list[Config]] = defaultdict(list)
        self._nameless: dict[str, list[Config]] = defaultdict(list)
        self._of_folder: dict[str, Config] = {}
        self._elsewhere: Config | None = None
        size = 0
        for path in tree.files:
            if suffix(path) in {".yaml", ".yml"}:
                config, found = _read_yaml(tree, path, report), self._yaml
            elif is_name_file(path):
                config, found = _read_lines(tree, path, report), self._text
            else:
                continue
            if config is not None:
                check_class_count(len(config.names), path)
                size += tree.size(path)
                _check_size(size, path)
                found = found if config.names else self._nameless
                found[path.rpartition("/")[0]].append(config)

    def of(self, label: str) -> Config:
        """Return what is known of a label file, from the nearest folder around or else elsewhere.

        A YAML file is trusted more than a list of names.

        Raises:
            InvalidInput: Several files are as near, and differ.
        """
        folder = label.rpartition("/")[0]
        if folder not in self._of_folder:
            self._of_folder[folder] = self._find(label)
        return self._of_folder[folder]

    def _find(self, label: str) -> Config:
        for found in (self._yaml, self._text):
            for folder in parents(label):
                if folder in found:
                    return _only(found[folder])
        if self._elsewhere is None:
            others = self._yaml or self._text or self._nameless
            every = [config for configs in others.values() for config in configs]
            self._elsewhere = _only(every) if every else UNNAMED
        return self._elsewhere


def _check_size(size: int, path: str) -> None:
    if size > _MAX_ALL_CONFIG_BYTES:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"The files that name classes, up to {path}, have more than {_MAX_ALL_CONFIG_BYTES} "
            "bytes. Keep one for all label files, in a folder above them.",
            maximum=_MAX_ALL_CONFIG_BYTES,
        )


def _only(configs: list[Config]) -> Config:
    for other in configs[1:]:
        if other.names != configs[0].names:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{shorten(configs[0].path)} and {shorten(other.path)} name the classes "
                "differently, and nothing says which is meant. Keep the right one only, in the "
                "folder of the label files or above.",
            )
    return max(configs, key=lambda config: len(config.paths))


def is_name_file(path: str) -> bool:
    """Whether a file lists names of classes, by its own name."""
    name = path.rpartition("/")[2].lower()
    return name in _NAME_FILES or suffix(path) in _NAME_SUFFIXES


def _read_lines(tree: Tree, path: str, report: Report) -> Config | None:
    if tree.size(path) > _MAX_CONFIG_BYTES:
        report.add("ANNOTATION_FILES_UNREADABLE", f"{path}: it has {tree.size(path)} bytes")
        return None
    names = _names(text_of(tree, path).splitlines())
    return Config(path, names) if names else None


def _read_yaml(tree: Tree, path: str, report: Report) -> Config | None:
    """Return what a YAML file says; None if it is about something else."""
    if tree.size(path) > _MAX_CONFIG_BYTES:
        report.add("ANNOTATION_FILES_UNREADABLE", f"{path}: it has {tree.size(path)} bytes")
        return None
    text = text_of(tree, path)
    if "names" not in text:
        return None
    try:
        content = parse_yaml(text)
    except ValueError as error:
        report.add("ANNOTATION_FILES_UNREADABLE", f"{path}: {error}")
        return None
    if not isinstance(content, dict) or "names" not in content:
        return None
    names = _names(content["names"])
    if not names and (named := _sibling(tree, path, content["names"])):
        names = _names(text_of(tree, named).splitlines())
    base = content.get("path", "")
    paths: dict[Subset, list[str]] = defaultdict(list)
    for key, subset in _KEYS.items():
        written = content.get(key)
        for one in written if isinstance(written, list) else [written]:
            if isinstance(one, str) and one.strip().lower() not in _NOTHING:
                paths[subset].append(one)
    if sum(map(len, paths.values())) > _MAX_PATHS:
        report.add("SPLIT_FILES_IGNORED", f"{path}: more than {_MAX_PATHS} paths")
        paths = {}
    return Config(path, names, base if isinstance(base, str) else "", paths, "kpt_shape" in content)


def parse_yaml(text: str) -> Any:
    """Parse YAML to dicts, lists and strings; whatever stands in it remains text as written.

    So a class may be called `no` or `1.10`. Nothing in a text can make it large or deep: aliases,
    which multiply, are refused.

    Raises:
        ValueError: It is no YAML, or is refused.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has aliases, which are not read")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ValueError(f"it is deeper than {_MAX_DEPTH} levels")
        # This loader makes nothing but dicts, lists and strings.
        return yaml.load(text, Loader=_LOADER)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ValueError(f"{where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _names(written: Any) -> dict[int, str]:
    """Return the names by number, from a list or a dict; those that cannot be are left out."""
    if isinstance(written, list):
        pairs = [(str(number), name) for number, name in enumerate(written)]
    elif isinstance(written, dict):
        pairs = list(written.items())
        if pairs and not any(_is_number(k) for k, _ in pairs) and all(
            _is_number(v) for _, v in pairs
        ):  # fmt: skip
            pairs = [(number, name) for name, number in pairs]
    else:
        return {}
    names = {}
    for number, name in pairs:
        if _is_number(number) and isinstance(name, str):
            clean_name = unicodedata.normalize("NFC", name.strip())
            if 0 < len(clean_name) <= _MAX_NAME_LENGTH:
                names[int(number)] = clean_name
    return dict(sorted(names.items()))


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}", text) is not None


def _sibling(tree: Tree, path: str, written: Any) -> str | None:
    """Return the file of names beside a configuration that names it."""
    if not isinstance(written, str):
        return None
    named = join(path.rpartition("/")[0], clean(written).rpartition("/")[2])
    return named if named in tree and tree.size(named) <= _MAX_CONFIG_BYTES else None


class Splits:
    """Which split an image is in, by settings and lists."""

    def __init__(self, tree: Tree, images: Images, report: Report) -> None:
        self._tree = tree
        self._images = images
        self._report = report
        self._folders = {folder for path in tree.images for folder in parents(path)}

    def listed(self, configs: Iterable[Config], labels: Iterable[str]) -> dict[str, set[Subset]]:
        """Return the splits of the images that settings put in one, or else lists.

        Args:
            configs: Those in force.
            labels: The label files; lists are no such.
        """
        listed: dict[str, set[Subset]] = defaultdict(set)
        said: dict[str, set[Subset]] = defaultdict(set)
        read: set[tuple[str, Subset]] = set()
        for config in configs:
            for subset, written in config.paths.items():
                for one in written:
                    found = self._resolve(config, one)
                    if found is None:
                        self._report.add("SPLIT_FILES_IGNORED", f"{config.path}: {subset}: {one}")
                    elif found in self._folders:
                        said[found].add(subset)
                    elif (found, subset) not in read:
                        read.add((found, subset))
                        self._read_list(found, subset, listed)
        # A folder that is given for train and val alike says nothing.
        split_of = {folder: subsets for folder, subsets in said.items() if len(subsets) == 1}
        if split_of:
            for path in self._tree.images:
                # A folder in another says more than that around it.
                around = next((folder for folder in parents(path) if folder in split_of), None)
                if around is not None:
                    listed[path] |= split_of[around]
        if not listed:
            for path in sorted(set(self._lists()) - set(labels)):
                self._read_list(path, split_in(stem(path)) or "train", listed)
        return listed

    def _resolve(self, config: Config, written: str) -> str | None:
        for path in _candidates(config, written):
            if path in self._folders or (suffix(path) == ".txt" and path in self._tree):
                return path
        return None

    def _lists(self) -> Iterator[str]:
        """Yield the texts that are named like a split and start with a path of an image."""
        for path in self._tree.files:
            if suffix(path) == ".txt" and split_in(stem(path)):
                with self._tree.open(path) as file:
                    start = file.read(2000).decode("utf-8-sig", errors="replace")
                if suffix(start.strip().partition("\n")[0].strip()) in IMAGE_SUFFIXES:
                    yield path

    def _read_list(self, path: str, subset: Subset, listed: dict[str, set[Subset]]) -> None:
        if self._tree.size(path) > _MAX_LIST_BYTES:
            self._report.add("SPLIT_FILES_IGNORED", f"{path}: it has {self._tree.size(path)} bytes")
            return
        folders = parents(path)
        for number, line in enumerate(text_of(self._tree, path).splitlines(), start=1):
            if line.strip():
                file = self._images.listed(folders, line)
                if file is None:
                    self._report.add("SPLIT_ENTRIES_MISSING", f"{path}, line {number}: {line}")
                else:
                    listed[file].add(subset)


def _candidates(config: Config, written: str) -> Iterator[str]:
    """Yield where a path may lead, the likeliest first."""
    folder = config.path.rpartition("/")[0]
    for start in (config.base, ""):
        yield _resolved(folder, join(start, written))
    parts = [part for part in clean(written).split("/") if part not in {"", ".."}]
    for first in range(min(len(parts), 32)):
        end = "/".join(parts[first:])
        if first and "/" not in place(f"{end}/x"):
            return  # nothing is left but a folder named `images`, of which there may be many
        for around in parents(config.path):
            yield join(around, end)


def _resolved(folder: str, written: str) -> str:
    """Return where a path leads; what leads out of the archive stays at its top."""
    parts = folder.split("/") if folder else []
    for part in clean(written).split("/"):
        if part == "..":
            del parts[-1:]
        elif part:
            parts.append(part)
    return "/".join(parts)
