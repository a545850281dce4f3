"""A picture for each object, in which what is not black is the object.

    images/1.jpg            images/1.jpg            1/images/1.png          images/1.jpg
    masks/1_0.png           masks/1/cat_1.png       1/masks/3f0a….png       masks/cat/1_0.png
    masks/1_1_cat.png       masks/1/dog_2.png       1/masks/b27c….png       masks/dog/1_0.png

The pictures of objects lie somewhere in a folder named for masks. They belong to the image that one
of the folders inside of it is named like, or that their own name begins with, followed by a number;
or else to the only image beside the folder of masks.

The class is a further folder inside of it, or the words of the name besides the number. If most
pictures name none, all are of one class, `object`. An image with a folder of masks that is empty,
or with a single picture that is all black, shows no object.

Shape letters: H height, W width.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from common.data.formats import Format, Reading, Record, check_class_count, mask_pixels, tables
from common.data.formats.drawn_objects import ONLY_CLASS, Gatherer, lists_outlines
from common.data.formats.finding_files import split_in
from common.data.formats.mask_survey import counts_of
from common.data.formats.pairing import in_label_folder, settle_splits, split_of, stem
from common.data.images import ImageError
from common.data.tree import IMAGE_SUFFIXES, suffix
from common.errors import InvalidInput
from common.masks import rle
from common.objects.drafts import Draft
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

_HOLDS_MASKS = re.compile(
    r"(?:.*[-_. ])?(?:instances?|objects?|segmentations?|segs?|gt|ground[-_ ]?truth)(?:[-_. ].*)?"
)
_SEPARATORS = "-_. "
_PARTS = re.compile(r"[-_. ]+")
# Words that say that it is an object, not which.
_GENERAL = {
    *("mask", "masks", "object", "objects", "obj", "instance", "instances", "inst", "seg"),
    *("segment", "label", "labels", "gt", "id", "no", "nr", "part", "l", "m"),
}
_WORD = r"[^\W\d_]+(?:[-_. ][^\W\d_]+)*"
_WORDS = re.compile(rf"{_WORD}[-_. ]+\d+|\d+[-_. ]+{_WORD}")
_SAMPLE = 24
# With more values, a picture in two of them was resized or stored with loss.
_MANY = 12
_LEAST_BRIGHT = 32


class _Piece(NamedTuple):
    """The picture of an object.

    Attributes:
        image: Path of the image that shows it.
        mask: Path of the picture.
        name: Of the class; empty if nothing says it.
    """

    image: str
    mask: str
    name: str


class _Pieces:
    """The pictures of objects in an archive.

    Attributes:
        of_image: By the image, in the order of paths.
        lonely: Those without an image.
        empty: Images with a folder for masks that has none.
        images: All pictures that are none of labels.
    """

    def __init__(self, tree: Tree) -> None:
        pictures = [path for path in tree.images if suffix(path) in IMAGE_SUFFIXES]
        self._stems = {stem(path) for path in pictures}
        roots = {path: end for path in pictures if (end := self._mask_folder(path)) is not None}
        self.images = [path for path in pictures if path not in roots]
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_place: dict[str, list[str]] = defaultdict(list)
        for path in self.images:
            self._by_stem[stem(path)].append(path)
            folder = path.rpartition("/")[0]
            for place in {folder, folder.rpartition("/")[0]}:
                self._by_place[place].append(path)
        found: list[_Piece] = []
        self.lonely: list[str] = []
        for path, end in roots.items():
            piece = self._piece(path, path.split("/"), end)
            if piece is None:
                self.lonely.append(path)
            else:
                found.append(piece)
        if 2 * sum(bool(piece.name) for piece in found) < len(found):
            found = [piece._replace(name="") for piece in found]
        self.of_image: dict[str, list[_Piece]] = defaultdict(list)
        for piece in sorted(found, key=lambda piece: (piece.image, _natural(piece.mask))):
            self.of_image[piece.image].append(piece)
        self.empty = sorted(set(self._labeled_as_empty(tree)) - self.of_image.keys())

    @property
    def count(self) -> int:
        """How many there are with an image."""
        return sum(map(len, self.of_image.values()))

    def _piece(self, path: str, parts: list[str], end: int) -> _Piece | None:
        inner, name = parts[end:-1], stem(path)
        for folder in inner:
            if image := self._nearest(self._by_stem.get(folder, []), path):
                words = [one for one in inner if one != folder]
                return _Piece(image, path, _class_of(words) or _class_in(name))
        if name not in self._by_stem:
            # The longest beginning, since names of images may have numbers at their end, too.
            for place in range(len(name) - 1, 0, -1):
                if name[place] in _SEPARATORS and name[:place] in self._by_stem:
                    rest = name[place + 1 :]
                    image = self._nearest(self._by_stem[name[:place]], path)
                    if image and any(letter.isdigit() for letter in rest):
                        return _Piece(image, path, _class_of(inner) or _class_of([rest]))
        around = "/".join(parts[: end - 1])
        beside = self._by_place.get(around, []) if around else []
        if len(beside) == 1:
            return _Piece(beside[0], path, _class_of(inner) or _class_in(name))
        return None

    def _mask_folder(self, path: str) -> int | None:
        """Return how many folders of a path lead to the innermost named for masks; None without."""
        folders = path.split("/")[:-1]
        for end in range(len(folders), 0, -1):
            name = folders[end - 1]
            if name in self._stems and any(letter.isdigit() for letter in name):
                continue  # for an image called so, such as `image_1`
            if in_label_folder(f"{name}/") or _HOLDS_MASKS.fullmatch(name.lower()):
                return end
            if not in_label_folder(f"labels/{name}/"):
                return None  # it is named for images
        return None

    def _nearest(self, alike: list[str], path: str) -> str | None:
        """Return which image of the same name is meant: that in the same split and folders."""
        if len(alike) > 1:
            split = split_of(path)
            alike = [one for one in alike if split is None or split_of(one) in {None, split}]
        if len(alike) > 1:
            shared = [len(posixpath.commonpath([one, path])) for one in alike]
            nearest = max(shared)
            alike = [one for one, length in zip(alike, shared, strict=True) if length == nearest]
        return alike[0] if len(alike) == 1 else None

    def _labeled_as_empty(self, tree: Tree) -> Iterator[str]:
        for folder in tree.empty_folders:
            end = self._mask_folder(f"{folder}/")
            if end is None:
                continue
            parts = folder.split("/")
            if end == len(parts):
                beside = self._by_place.get("/".join(parts[:-1]), []) if end > 1 else []
                yield from beside if len(beside) == 1 else []
            elif image := self._nearest(self._by_stem.get(parts[-1], []), f"{folder}/"):
                yield image


_pieces_of: WeakKeyDictionary[Tree, _Pieces] = WeakKeyDictionary()


def _pieces(tree: Tree) -> _Pieces:
    if tree not in _pieces_of:
        _pieces_of[tree] = _Pieces(tree)
    return _pieces_of[tree]


class ObjectMasks(Format):
    """The layout above."""

    name = "object_masks"
    description = (
        "a black picture for each object with the object in white, in a folder named masks, named "
        "like its image with a number behind (masks/1_0.png and masks/1_1.png for images/1.jpg) "
        "or in a folder named like its image"
    )
    layout = """images/1.jpg        or      1/images/1.png
masks/1/cat_1.png           1/masks/a.png
masks/1/dog_2.png           1/masks/b.png"""
    detected = (
        "Several pictures for an image in a folder named for masks, each black but for one thing."
    )
    kept = (
        "The mask of each object; the class by a folder or a word in the name; splits by folders."
    )
    dropped = "Colours: what is not black is the object."

    def detect(self, tree: Tree) -> str | None:
        """Say so if most masks are those of single objects, and no file lists outlines."""
        found = _pieces(tree)
        if found.count <= len(found.lonely) or lists_outlines(tree):
            return None
        every = [piece for pieces in found.of_image.values() for piece in pieces]
        looks = [_has_two_values(tree, piece.mask) for piece in _sample(every)]
        seen = [look for look in looks if look is not None]
        if not seen or 5 * sum(seen) < 4 * len(seen):
            return None
        return f"{every[0].mask} has an object of {every[0].image}"

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Decode the pictures one by one; only where each object is remains."""
        found = _pieces(tree)
        if not found.count:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There are no pictures of single objects in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        labeled = sorted({*found.of_image, *found.empty})
        tables.check_row_count(len(labeled), max_records, "masks", "folders")
        report.add("MASKS_WITHOUT_IMAGE", found.lonely)
        report.add("IMAGES_WITHOUT_OBJECT_MASK", sorted(set(found.images) - set(labeled)))
        names = {piece.name or ONLY_CLASS for one in found.of_image.values() for piece in one}
        classes = sorted(names)
        check_class_count(len(classes), labeled[-1])
        if classes == [ONLY_CLASS]:
            report.add("OBJECT_CLASSES_UNNAMED", classes)
        by_folder = {image: _split(image, found.of_image.get(image)) for image in labeled}
        split = settle_splits(labeled, {}, by_folder, report)
        drafts = _Drafts(tree, {name: index for index, name in enumerate(classes)}, report)
        records = [
            Record(image, drafts.make(found.of_image.get(image, [])), split.get(image))
            for image in labeled
        ]
        used = {one.label for record in records for one in record.annotation.objects}
        return Reading(classes, records, frozenset(range(len(classes))) - used)


class _Drafts:
    """Makes the drafts of images, one after the other."""

    def __init__(self, tree: Tree, index_of: dict[str, int], report: Report) -> None:
        self._tree = tree
        self._index_of = index_of
        self._report = report
        self._gatherer = Gatherer()

    def make(self, pieces: list[_Piece]) -> Draft:
        """Decode the pictures of an image's objects."""
        source = posixpath.commonpath([one.mask.rpartition("/")[0] for one in pieces] or [""])
        draft = Draft(source)
        sizes = set()
        for piece in pieces:
            mask_HW = self._decode(piece.mask)
            if mask_HW is None:
                draft.dropped += 1
                continue
            if len(pieces) == 1 and not mask_HW.any():
                continue  # which is how the image is labeled as empty
            sizes.add(mask_HW.shape)
            label = self._index_of[piece.name or ONLY_CLASS]
            where = piece.mask.removeprefix(f"{source}/")
            self._gatherer.add(draft, rle.encode(mask_HW), label, where)
        if len(sizes) == 1:
            draft.height, draft.width = sizes.pop()
        return draft

    def _decode(self, path: str) -> NDArray[np.bool_] | None:
        try:
            pixels = mask_pixels.read(self._tree, path)
        except ImageError as error:
            self._report.add("OBJECT_MASKS_UNREADABLE", f"{path}: {error.message}")
            return None
        array = pixels.array.max(axis=2) if pixels.coloured else pixels.array
        if not pixels.lossy and len(counts_of(pixels)) <= _MANY:
            inside_HW: NDArray[np.bool_] = array != 0
            return inside_HW
        self._report.add("MASKS_LOSSY", path)
        # What is hardly brighter than black is noise.
        highest = max(int(array.max()), _LEAST_BRIGHT)
        bright_HW: NDArray[np.bool_] = array > highest // 2
        return bright_HW


def _class_of(texts: Iterable[str]) -> str:
    """Return the last text that has words, without numbers and words that say nothing."""
    for text in reversed(list(texts)):
        words = [
            part
            for part in _PARTS.split(text)
            if part and not part.isdigit() and part.lower() not in _GENERAL
        ]
        if words and split_in(text) is None:
            return " ".join(words)
    return ""


def _class_in(name: str) -> str:
    """Return what a name says if it is words and a number; a name made by chance has both mixed."""
    return _class_of([name]) if _WORDS.fullmatch(name) else ""


def _natural(path: str) -> list[tuple[int, str]]:
    """Return a key that puts 2 before 10."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"([0-9]{1,18})", path)]


def _split(image: str, pieces: list[_Piece] | None) -> Subset | None:
    return split_of(image) or (split_of(pieces[0].mask) if pieces else None)


def _sample(pieces: list[_Piece]) -> list[_Piece]:
    return pieces[:: max(1, len(pieces) // _SAMPLE)][:_SAMPLE]


def _has_two_values(tree: Tree, path: str) -> bool | None:
    """Whether a picture is black and one other colour, but for loss; None if it is unreadable."""
    try:
        pixels = mask_pixels.read(tree, path)
    except ImageError:
        return None
    counts = counts_of(pixels)
    return len(counts) <= 2 or pixels.lossy
