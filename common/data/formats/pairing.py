"""Finds the image that an annotation file of its own belongs to, where each image has such a file.

    images/train/1.jpg      train/images/1.jpg      JPEGImages/1.jpg        1.jpg
    labels/train/1.txt      train/labels/1.txt      Annotations/1.xml       1.txt

Folders that are named for what lies in them, such as `images` and `labels`, do not count: what is
left of two paths has to be the same, or one the end of the other. If nothing fits so, a name that
only one image has is enough.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from common.data.formats.finding_files import split_in
from common.data.manifest import SUBSETS
from common.data.tree import IMAGE_SUFFIXES, suffix

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

_IMAGE_WORDS = "images|image|imgs|img|jpegimages|photos|pictures|frames"
_LABEL_WORDS = "labels|label|annotations|annotation|xmls|xml|txts|txt"
_WORD = re.compile(
    rf"^(?:{_IMAGE_WORDS}|{_LABEL_WORDS})(?:[-_. ]|$)|[-_. ](?:{_IMAGE_WORDS}|{_LABEL_WORDS})$"
)
_MASK_WORDS = "masks|mask|segmentationclass|segmentationobject|panoptic|semantic"
_HOLDS_IMAGES = re.compile(rf"(?:^|.*[-_. ])(?:{_IMAGE_WORDS})(?:[-_. ].*|$)")
_HOLDS_LABELS = re.compile(rf"(?:^|.*[-_. ])(?:{_LABEL_WORDS})(?:[-_. ].*|$)")
_HOLDS_MASKS = re.compile(rf"(?:^|.*[-_. ])(?:{_MASK_WORDS})(?:[-_. ].*|$)")
# Of more images with the same name, none can be told from the others, and each costs time.
_MOST_ALIKE = 64
# So many of the last folders of a path that a list says are compared.
_DEEPEST = 12


class Match(NamedTuple):
    """What `Images.find` found.

    Attributes:
        files: The images; several only if they lie in one folder, such as `1.jpg` and `1.png`.
        sure: By place and name, not by name alone.
    """

    files: list[str]
    sure: bool


class Images:
    """The images of an archive by their names and places."""

    def __init__(self, tree: Tree) -> None:
        self._paths = set(tree.images)
        # A folder around everything says nothing.
        folders = {path.rpartition("/")[0] for path in tree.files}
        top = posixpath.commonpath(folders) if folders else ""
        self._skip = len(top) + 1 if top else 0
        self._by_place: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in tree.images:
            for alike in (self._by_place[self._place(path)], self._by_stem[stem(path)]):
                if len(alike) <= _MOST_ALIKE:
                    alike.append(path)

    def find(self, label: str, named: str = "") -> Match:
        """Return the images that an annotation file is for, if they can be told.

        Args:
            label: Path of the annotation file.
            named: What it calls its image, if it does: a name or a path, perhaps of elsewhere, with
                or without the suffix. Without it, the image has the annotation file's name.
        """
        named = unicodedata.normalize("NFC", named.strip().replace("\\", "/")).rpartition("/")[2]
        wanted = stem(named) if suffix(named) in IMAGE_SUFFIXES else named or stem(label)
        folder, _, _ = self._place(label).rpartition("/")
        ends = folder.split("/") if folder else []
        for start in range(len(ends) + 1):
            alike = self._by_place.get("/".join([*ends[start:], wanted]), [])
            if found := _nearest(alike, label, named):
                return Match(found, sure=True)
        alike = self._by_stem.get(wanted, [])
        if len(alike) > _MOST_ALIKE:
            return Match([], sure=False)
        below = "/".join([*ends, wanted])
        deeper = [p for p in alike if self._place(p).endswith(f"/{below}")] if ends else []
        if len(deeper) == 1:
            return Match(deeper, sure=True)
        split = split_in(folder)
        alike = [p for p in alike if split is None or split_of(p) in {None, split}]
        if len(alike) > 1:
            # A mask or another picture of labels may have the image's name.
            alike = [path for path in alike if not in_label_folder(path)]
        return Match(alike if len(alike) == 1 else [], sure=False)

    def _place(self, path: str) -> str:
        return place(path[self._skip :])

    def listed(self, folders: Iterable[str], written: str) -> str | None:
        """Return the image that a line of a list means, if there is one.

        Args:
            folders: Where its path may start, the likeliest first; empty for the top.
            written: A path, perhaps with folders of another machine in front.
        """
        parts = [part for part in clean(written).split("/") if part != ".."][-_DEEPEST:]
        if not parts or stem(parts[-1]) not in self._by_stem:
            return None
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            for folder in folders:
                if (path := join(folder, end)) in self._paths:
                    return path
        alike = [p for p in self._by_stem.get(stem(parts[-1]), []) if p.endswith(f"/{parts[-1]}")]
        return alike[0] if len(alike) == 1 else None


def _nearest(alike: list[str], label: str, named: str) -> list[str]:
    """Return which of the images at the same place is meant; none if that cannot be told."""
    if len(alike) > _MOST_ALIKE:
        return []
    if named:
        alike = [path for path in alike if path.rpartition("/")[2] == named] or alike
    if len(alike) > 1:
        shape = _shape(label)
        # A picture of the labels may lie beside them, under the same name.
        swapped = [p for p in alike if _shape(p) == shape and not in_label_folder(p)]
        beside = [p for p in alike if p.rpartition("/")[0] == label.rpartition("/")[0]]
        alike = swapped or beside or alike
    return alike if len({path.rpartition("/")[0] for path in alike}) == 1 else []


def place(path: str) -> str:
    """Return the folders that mean something, in lower case, and the name without its suffix."""
    folders = _meaning(path.rpartition("/")[0])
    return f"{folders}/{stem(path)}" if folders else stem(path)


# Most files lie in the folder of the file before.
@lru_cache(maxsize=256)
def _meaning(folder: str) -> str:
    return "/".join(rest for name in folder.lower().split("/") if (rest := _WORD.sub("", name)))


def _shape(path: str) -> list[str]:
    return [_WORD.sub("*", folder.lower()) for folder in path.split("/")[:-1]]


def in_label_folder(path: str) -> bool:
    """Whether the innermost folder that is named for what it holds is so for annotations."""
    for folder in reversed(path.lower().split("/")[:-1]):
        if _HOLDS_IMAGES.fullmatch(folder):
            return False
        if _HOLDS_LABELS.fullmatch(folder) or _HOLDS_MASKS.fullmatch(folder):
            return True
    return False


def unlabeled(tree: Tree, labeled: Container[str]) -> Iterator[str]:
    """Yield the images without annotations; a mask or another picture of labels is none."""
    return (path for path in tree.images if path not in labeled and not in_label_folder(path))


def label_root(path: str) -> str:
    """Return the innermost folder around that is named for annotation files, else the outermost."""
    folders = path.split("/")[:-1]
    for end in range(len(folders), 0, -1):
        if _HOLDS_LABELS.fullmatch(folders[end - 1].lower()):
            return "/".join(folders[:end])
    return folders[0] if folders else ""


def parents(path: str) -> list[str]:
    """Return the folders that a file is in, innermost first; the last is empty, for the top."""
    folders = path.split("/")[:-1]
    return ["/".join(folders[:end]) for end in range(len(folders), -1, -1)]


def stem(path: str) -> str:
    """Return the name of a file without its last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def split_of(path: str) -> Subset | None:
    """Return the split that the folders of a file say."""
    return _split_of_folder(path.rpartition("/")[0])


_split_of_folder = lru_cache(maxsize=256)(split_in)


def clean(written: str) -> str:
    """Return a path as those of the archive are written, but for parts that lead upwards."""
    text = unicodedata.normalize("NFC", written.strip().replace("\\", "/"))
    return "/".join(part for part in text.split("/") if part not in {"", "."})


def join(folder: str, path: str) -> str:
    """Return the path of what lies in a folder; either may be empty."""
    return f"{folder}/{path}" if folder and path else folder or path


def text_of(tree: Tree, path: str) -> str:
    """Read a text in UTF-8 or, as some programs of Windows write it, UTF-16 or Windows-1252."""
    data = tree.read(path)
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def settle_splits(
    files: Iterable[str],
    listed: Mapping[str, set[Subset]],
    by_folder: Mapping[str, Subset | None],
    report: Report,
) -> dict[str, Subset]:
    """Return the split of each image that is in one; none at all unless there is train and another.

    Args:
        files: The labeled images.
        listed: The splits that a list or a setting puts an image in.
        by_folder: What folders say of those that none does.
        report: Told of images in several splits.
    """
    split: dict[str, Subset] = {}
    several = []
    for file in files:
        said: set[Subset | None] = set(listed.get(file, ())) or {by_folder.get(file)}
        if (first := next((subset for subset in SUBSETS if subset in said), None)) is not None:
            split[file] = first
        if len(said) > 1:
            several.append(file)
    found = Counter(split.values())
    if "train" not in found or len(found) < 2:
        return {}
    report.add("IMAGES_IN_SEVERAL_SPLITS", several)
    return split
