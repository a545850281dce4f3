"""A folder for each class, with or without folders for train, val and test around them.

    cats/1.jpg                      train/cats/1.jpg
    dogs/2.jpg                      test/dogs/2.jpg

Folders around all this, and files beside the class folders such as README.txt, do not matter; nor
do other folders beside the one that holds train and test.
`cats/train/1.jpg` is read too. The classes are the names of the class folders in the order of
their characters, so that `10` comes before `2`, as in torchvision. An image deeper in a class
folder belongs to that class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from common.data.formats import Format, Reading, Record, check_class_count
from common.data.tree import suffix
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

SUBSET_OF: dict[str, Subset] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names of folders and tables, in lower case, that mean a split."""

# Tables beside a single folder of images are likelier to say the classes than the folder's name;
# so are files of labelling tools.
_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".xml")
# Folders of a data set of masks, and files of a Supervisely project: they say the classes, too.
_PARTS = {"images", "annotations"}
_ANNOTATION = re.compile(r"(?:^|/)ann/[^/]+\.json$")


@dataclass(slots=True)
class _Folder:
    """A folder with images somewhere in it."""

    path: str
    folders: dict[str, _Folder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the classes are.

    Attributes:
        classes: Class and split of each class folder, by its path with a final slash.
        siblings: The folders beside class folders, with theirs, that have an image in them.
        parents: The folders in which these are.
    """

    classes: Mapping[str, tuple[str, Subset | None]]
    siblings: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls, classes: Mapping[str, tuple[str, Subset | None]], parents: Iterable[_Folder]
    ) -> _Layout:
        """Make one from the folders that class folders are in."""
        parents = list(parents)
        siblings = {folder.path for parent in parents for folder in parent.folders.values()}
        return cls(classes, siblings, {parent.path for parent in parents})


class ImageFolder(Format):
    """The layout above."""

    name = "image_folder"
    description = "a folder for each class, by themselves or in folders named train, val and test"
    layout = """train/cats/1.jpg        or      cats/1.jpg
train/dogs/2.jpg                dogs/2.jpg
test/cats/3.jpg                 dogs/3.jpg"""
    detected = "Images in folders that are not all named for train, val and test."
    kept = "The folder as the class; train, val and test as splits."
    dropped = "Files beside the class folders."

    def detect(self, tree: Tree) -> str | None:
        """Say so if there are class folders."""
        names = sorted({name for name, _ in _layout(tree).classes.values()})
        if not names or (len(names) == 1 and any(suffix(path) in _TABLES for path in tree.files)):
            return None
        if {name.lower() for name in names} == _PARTS or any(map(_ANNOTATION.search, tree.files)):
            return None
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        return f"its images lie in folders such as {shown}"

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:  # noqa: ARG002
        """Label every file in a class folder with it."""
        layout = _layout(tree)
        folders = layout.classes
        if not folders:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There is no class folder with images in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        classes = sorted({name for name, _ in folders.values()})
        check_class_count(len(classes), f"the folder {shorten(classes[-1])}")
        index_of = {name: index for index, name in enumerate(classes)}
        records = []
        for path in tree.files:
            # Every file of a class folder is taken, whatever its suffix: content decides.
            folder = next((folder for folder in _parents(path) if folder in folders), None)
            if folder is not None:
                name, split = folders[folder]
                records.append(Record(path, {"label": index_of[name]}, split))
        labeled = {record.file for record in records}
        report.add("IMAGES_WITHOUT_LABEL", (path for path in tree.images if path not in labeled))
        report.add("FOLDERS_IGNORED", _without_image(tree, layout))
        return Reading(classes, records)


def _without_image(tree: Tree, layout: _Layout) -> list[str]:
    """Return the folders beside the class folders that have files, but no image."""
    found = set()
    for path in tree.files:
        parents = ["", *_parents(path)]
        found |= {
            folder
            for parent, folder in pairwise(parents)
            if parent in layout.parents and folder not in layout.siblings
        }
    return sorted(folder.rstrip("/") for folder in found)


def _layout(tree: Tree) -> _Layout:
    """Find the class folders."""
    root = _Folder("")
    for path in tree.images:
        folder = root
        for name in path.split("/")[:-1]:
            folder = folder.folders.setdefault(name, _Folder(f"{folder.path}{name}/"))
    # Down to where the folders part: what is above them says nothing.
    while len(root.folders) == 1 and next(iter(root.folders.values())).folders:
        root = next(iter(root.folders.values()))
    if not _holds_splits(root) and not _is_split_in_classes(root):
        # What lies beside the splits, such as documentation, has no say in what the classes are.
        with_splits = [folder for folder in root.folders.values() if _brings_splits(folder)]
        if len(with_splits) == 1:
            root = with_splits[0]
    if _holds_splits(root):
        splits = {n: folder for n, folder in root.folders.items() if n.lower() in SUBSET_OF}
        classes = {
            folder.path: (name, SUBSET_OF[split.lower()])
            for split, split_folder in splits.items()
            for name, folder in split_folder.folders.items()
        }
        return _Layout.of(classes, splits.values())
    if _only_splits(root):
        return _Layout({})  # folders for the splits, but none for classes
    if _is_split_in_classes(root):
        classes = {
            folder.path: (name, SUBSET_OF[split.lower()])
            for name, class_folder in root.folders.items()
            for split, folder in class_folder.folders.items()
        }
        return _Layout.of(classes, [root])
    return _Layout.of({folder.path: (name, None) for name, folder in root.folders.items()}, [root])


def _only_splits(root: _Folder) -> bool:
    return bool(root.folders) and all(name.lower() in SUBSET_OF for name in root.folders)


def _is_split_in_classes(root: _Folder) -> bool:
    """Whether there are class folders, each with nothing but folders for the splits."""
    return all(_only_splits(folder) for folder in root.folders.values())


def _brings_splits(folder: _Folder) -> bool:
    """Whether a folder beside others holds splits without a doubt: train and another."""
    splits = {
        SUBSET_OF[name.lower()]
        for name, split_folder in folder.folders.items()
        if name.lower() in SUBSET_OF and split_folder.folders
    }
    return "train" in splits and len(splits) > 1


def _holds_splits(root: _Folder) -> bool:
    """Whether the folders in `root` are splits with class folders in them, and not classes."""
    if _only_splits(root):
        return any(folder.folders for folder in root.folders.values())
    # A class may well be called "train", next to "bus"; but not if it has folders of its own.
    return any(
        SUBSET_OF.get(name.lower()) == "train" and folder.folders
        for name, folder in root.folders.items()
    )


def _parents(path: str) -> Iterator[str]:
    """Yield the folders that a file is in, outermost first, each with a final slash."""
    end = path.find("/")
    while end >= 0:
        yield path[: end + 1]
        end = path.find("/", end + 1)
