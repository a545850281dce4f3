"""Finds the masks of an archive: pictures of labels, each with the image that it is for.

    images/train/1.jpg      train/images/1.jpg      JPEGImages/1.jpg            1.jpg
    masks/train/1.png       train/masks/1.png       SegmentationClass/1.png     1_mask.png

A picture is a mask by the innermost folder that is named for what it holds, or by the end of its
name. It belongs to the image of the same name, without such an end, whose folders are the same but
for those that are named for what they hold.

Masks may be there several times: in colours, by class, by object. Each such set has folders, or
ends of names, of its own.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from common.data.formats.finding_files import split_in
from common.data.formats.pairing import settle_splits, split_of, stem, text_of
from common.data.tree import IMAGE_SUFFIXES, suffix
from common.settings import MIB

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

_IMAGE_WORDS = (
    "images|image|imgs|img|jpegimages|photos|pictures|frames|leftimg8bit|inputs|rgb|originals"
)
_MASK_WORDS = (
    "masks|mask|labels|label|annotations|annotation|annots|annot|ann|anns|gt|gts|gtfine|gtcoarse|"
    "groundtruth|ground[-_ ]truth|truth|segmentations|segmentation|segmentationclass|"
    "segmentationclassraw|segmentationclassaug|segmentationclasspng|segmentationobject|seg|segs|"
    "segmaps|semantic|panoptic|instances?|instanceids|labelids|labeltrainids|trainannot|valannot|testannot|targets"
)
_HOLDS_IMAGES = re.compile(rf"(?:.*[-_. ])?(?:{_IMAGE_WORDS})(?:[-_. ].*)?")
_HOLDS_MASKS = re.compile(rf"(?:.*[-_. ])?(?:{_MASK_WORDS})(?:[-_. ].*)?")
# What is left of a folder's name without these says where in the data set it is.
_WORDS = re.compile(rf"(?:^|(?<=[-_. ]))(?:{_MASK_WORDS}|{_IMAGE_WORDS})(?=[-_. ]|$)")
_SPLIT_WORDS = re.compile(r"(?:train|training|val|valid|validation|dev|test|testing)(?:\d{4})?")
_MASK_END = re.compile(
    r"[-_. ](?:gtfine_|gtcoarse_)?(?:masks?|labels?|gt|seg|segmentation|groundtruth|labelids|"
    r"labeltrainids|instanceids|colou?r|l|ann|annotation)$",
    re.IGNORECASE,
)
_IMAGE_END = re.compile(r"[-_. ](?:leftimg8bit|image|img|rgb|sat)$", re.IGNORECASE)
# Pictures of labels that do not say the class of each pixel.
_OTHER = re.compile(
    r"instance|panoptic|object|depth|edge|boundar|overlay|visuali[sz]|preview|blend|disparity|"
    r"skeleton|heatmap"
)
_LOOKS = re.compile(r"colou?r|rgb|vis|palette")
_SEMANTIC = re.compile(r"semantic|class|labelids|trainids")
_MOST_ALIKE = 64
_MAX_LIST_BYTES = 64 * MIB


class Pair(NamedTuple):
    """An image and its mask."""

    image: str
    mask: str


class Found(NamedTuple):
    """An image, and whether it has the whole name of the mask."""

    image: str | None
    whole: bool


@dataclass(slots=True)
class MaskSet:
    """Masks that belong together.

    Attributes:
        name: The folders of the masks and the end of their names, for a person.
        pairs: In the order of the images.
        lonely: Masks without an image.
        repeated: Masks of images that have one already.
    """

    name: str
    pairs: list[Pair] = field(default_factory=list)
    lonely: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[str]:
        """The folders that the masks lie in."""
        return sorted({pair.mask.rpartition("/")[0] for pair in self.pairs})

    @property
    def rank(self) -> tuple[int, int]:
        """The larger, the likelier it says the class of each pixel, once and as numbers."""
        inner = self._inner
        named = bool(_SEMANTIC.search(inner)) - bool(_LOOKS.search(inner))
        return (-9 if self.is_other else named), len(self.pairs)

    @property
    def is_other(self) -> bool:
        """Whether it says something else than classes, such as which pixel is of which object."""
        return _OTHER.search(self._inner) is not None

    @property
    def _inner(self) -> str:
        return "/".join(self.name.lower().split("/")[-2:])


class MaskFiles:
    """The pictures of an archive, told apart.

    Attributes:
        sets: Of masks, the likeliest first; only those of which a mask has an image.
        images: The others.
    """

    def __init__(self, tree: Tree) -> None:
        # A folder around everything says nothing.
        folders = {path.rpartition("/")[0] for path in tree.files}
        top = posixpath.commonpath(folders) if folders else ""
        skip = len(top) + 1 if top else 0
        pictures = {path: _root(path[skip:].rpartition("/")[0]) for path in tree.images}
        bare = [path for path, root in pictures.items() if root is None]
        plain = _Finder([path for path in bare if not _MASK_END.search(stem(path))])
        beside = {path for path in bare if _MASK_END.search(stem(path)) and plain.find(path).image}
        self.images = [path for path in bare if path not in beside]
        finder = _Finder(self.images)
        found: dict[str, MaskSet] = {}
        mask_of: dict[str, dict[str, str]] = defaultdict(dict)
        for path, root in pictures.items():
            if root is None and path not in beside:
                continue
            image, whole = finder.find(path)
            end = None if whole else _MASK_END.search(stem(path))
            name = "/".join(part for part in (root, end and f"*{end[0]}") if part)
            one = found.setdefault(name, MaskSet(name))
            if image is None:
                one.lonely.append(path)
            elif image in mask_of[name]:
                one.repeated.append(path)
            else:
                mask_of[name][image] = path
        for name, one in found.items():
            one.pairs = [Pair(image, mask_of[name][image]) for image in sorted(mask_of[name])]
        self.sets = sorted(
            (one for one in found.values() if one.pairs), key=lambda one: one.rank, reverse=True
        )

    def report_others(
        self, chosen: MaskSet, report: Report, *, unmasked: str, used: str | None = None
    ) -> None:
        """Name the masks and images that are left out where one set of masks is read.

        Args:
            chosen: The set.
            report: Told.
            unmasked: The finding for images that it has no mask of.
            used: Another set that is read, too.
        """
        report.add("MASKS_WITHOUT_IMAGE", chosen.lonely)
        report.add("MASKS_REPEATED", chosen.repeated)
        masked = {pair.image for pair in chosen.pairs}
        report.add(unmasked, sorted(set(self.images) - masked))
        others = (one for one in self.sets if one.name not in {chosen.name, used})
        report.add(
            "MASK_SETS_IGNORED",
            (f"{one.name}: {len(one.pairs)} masks" for one in others),
            chosen=chosen.name,
        )


@lru_cache(maxsize=1024)
def _root(folder: str) -> str | None:
    """Return the innermost folder that is named for masks, whichever split it is of.

    None if there is none, or one for images further inside.
    """
    names = folder.split("/")
    for last in range(len(names) - 1, -1, -1):
        name = names[last].lower()
        masks, pictures = _HOLDS_MASKS.fullmatch(name), _HOLDS_IMAGES.fullmatch(name)
        if masks:
            parts = [_without_split(one) for one in names[: last + 1]]
            return "/".join(part for part in parts if part) or name
        if pictures:
            return None
    return None


def _without_split(name: str) -> str:
    kept = [
        part
        for part in re.split(r"(?<=[-_. ])|(?=[-_. ])", name)
        if not _SPLIT_WORDS.fullmatch(part.lower())
    ]
    return re.sub(r"^(?:train|val|test)(?=annot)", "", "".join(kept).strip("-_. "))


class _Finder:
    """Finds images by their masks."""

    def __init__(self, images: list[str]) -> None:
        self._by_place: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in images:
            folder, name = _meaning(path.rpartition("/")[0]), stem(path)
            for one in {name, _IMAGE_END.sub("", name)}:
                for alike in (self._by_place[f"{folder}/{one}"], self._by_stem[one]):
                    if len(alike) <= _MOST_ALIKE:
                        alike.append(path)

    def find(self, mask: str) -> Found:
        """Return the image that a mask is for, if it can be told."""
        folder, name = _meaning(mask.rpartition("/")[0]), stem(mask)
        # A name may end in such a word by itself.
        for wanted in dict.fromkeys((name, _MASK_END.sub("", name))):
            if found := self._at(folder, wanted, mask):
                return Found(found, wanted == name)
        return Found(None, whole=False)

    def _at(self, folder: str, wanted: str, mask: str) -> str | None:
        ends = folder.split("/") if folder else []
        for start in range(len(ends) + 1):
            alike = self._by_place.get(f"{'/'.join(ends[start:])}/{wanted}", [])
            if found := _only(alike, mask):
                return found
        alike = self._by_stem.get(wanted, [])
        if len(alike) > _MOST_ALIKE:
            return None
        split = split_of(mask)
        return _only([p for p in alike if split is None or split_of(p) in {None, split}], mask)


def _only(alike: list[str], mask: str) -> str | None:
    """Return the image that is meant; of `1.jpg` and `1.png` in one folder, the first."""
    if not 0 < len(alike) <= _MOST_ALIKE:
        return None
    if len(alike) > 1:
        top = mask.split("/")[:-1]
        shared = [sum(a == b for a, b in zip(p.split("/")[:-1], top, strict=False)) for p in alike]
        alike = [path for path, count in zip(alike, shared, strict=True) if count == max(shared)]
    return alike[0] if len({path.rpartition("/")[0] for path in alike}) == 1 else None


# Most files lie in the folder of the file before.
@lru_cache(maxsize=1024)
def _meaning(folder: str) -> str:
    """Return what folders say but for what they hold, in lower case."""
    parts = (_WORDS.sub("", name).strip("-_. ") for name in folder.lower().split("/"))
    return "/".join(part for part in parts if part)


def given_splits(tree: Tree, masks: MaskSet, report: Report) -> dict[str, Subset]:
    """Return the split of each image that lists, its folders or those of its mask put in one."""
    images = [pair.image for pair in masks.pairs]
    by_folder = {pair.image: split_of(pair.image) or split_of(pair.mask) for pair in masks.pairs}
    return settle_splits(images, listed_splits(tree, images, report), by_folder, report)


def listed_splits(tree: Tree, images: list[str], report: Report) -> dict[str, set[Subset]]:
    """Return the splits that lists say, as `ImageSets` of VOC has them: a name on each line.

    Lists for segmentation come before others, and only the first folder with lists counts.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in images:
        by_stem[stem(path)].append(path)
    lists = [path for path in tree.files if suffix(path) == ".txt" and split_in(stem(path))]
    lists.sort(key=lambda path: "segmentation" not in path.lower())
    listed: dict[str, set[Subset]] = defaultdict(set)
    folder = None
    for path in lists:
        here, subset = path.rpartition("/")[0], split_in(stem(path))
        if folder not in {None, here} or subset is None:
            continue
        if tree.size(path) > _MAX_LIST_BYTES:
            report.add("SPLIT_FILES_IGNORED", f"{path}: it has {tree.size(path)} bytes")
            continue
        missing = []
        for number, line in enumerate(text_of(tree, path).splitlines(), start=1):
            words = line.replace("\\", "/").split()
            name = words[0].rpartition("/")[2] if words else ""
            bare = name.rpartition(".")[0] if suffix(name) in IMAGE_SUFFIXES else name
            alike = by_stem.get(bare, [])
            if len(alike) == 1:
                folder = here
                listed[alike[0]].add(subset)
            elif words:
                missing.append(f"{path}, line {number}: {line}")
        if folder == here:
            report.add("SPLIT_ENTRIES_MISSING", missing)
    return listed
