"""A folder for each class, with or without folders for train, val and test around them.

    cats/1.jpg                      train/cats/1.jpg
    dogs/2.jpg                      test/dogs/2.jpg

Folders around all this, and files beside the class folders such as README.txt, do not matter.
`cats/train/1.jpg` is read too. The classes are the names of the class folders in the order of
their characters, so that `10` comes before `2`, as in torchvision. An image deeper in a class
folder belongs to that class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.data.formats import Format, Reading, Record
from common.data.tree import suffix
from common.errors import InvalidInput
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

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

# Tables beside a single folder of images are likelier to say the classes than the folder's name.
_TABLES = (".csv", ".tsv")


@dataclass(slots=True)
class _Folder:
    """A folder with images somewhere in it."""

    path: str
    folders: dict[str, _Folder] = field(default_factory=dict)


class ImageFolder(Format):
    """The layout above."""

    name = "image_folder"
    description = "a folder for each class, by themselves or in folders named train, val and test"

    def detect(self, tree: Tree) -> str | None:
        """Say so if there are class folders."""
        names = sorted({name for name, _ in _class_folders(tree).values()})
        if not names or (len(names) == 1 and any(suffix(path) in _TABLES for path in tree.files)):
            return None
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        return f"its images lie in folders such as {shown}"

    def read(self, tree: Tree, report: Report) -> Reading:
        """Label every file in a class folder with it."""
        folders = _class_folders(tree)
        if not folders:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There is no class folder with images in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        classes = sorted({name for name, _ in folders.values()})
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
        return Reading(classes, records)


def _class_folders(tree: Tree) -> dict[str, tuple[str, Subset | None]]:
    """Return the class and the split of each class folder, by its path with a final slash."""
    root = _Folder("")
    for path in tree.images:
        folder = root
        for name in path.split("/")[:-1]:
            folder = folder.folders.setdefault(name, _Folder(f"{folder.path}{name}/"))
    # Down to where the folders part: what is above them says nothing.
    while len(root.folders) == 1 and next(iter(root.folders.values())).folders:
        root = next(iter(root.folders.values()))
    if _holds_splits(root):
        return {
            folder.path: (name, SUBSET_OF[split.lower()])
            for split, split_folder in root.folders.items()
            if split.lower() in SUBSET_OF
            for name, folder in split_folder.folders.items()
        }
    if _only_splits(root):
        return {}  # folders for the splits, but none for classes
    if all(_only_splits(folder) for folder in root.folders.values()):
        return {
            folder.path: (name, SUBSET_OF[split.lower()])
            for name, class_folder in root.folders.items()
            for split, folder in class_folder.folders.items()
        }
    return {folder.path: (name, None) for name, folder in root.folders.items()}


def _only_splits(root: _Folder) -> bool:
    return bool(root.folders) and all(name.lower() in SUBSET_OF for name in root.folders)


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
