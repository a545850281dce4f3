"""What labelling tools say of images, made into data sets of each task that it is enough for.

The export of a tool says of each image its tags, which are classes of the whole image, and its
shapes: boxes, and outlines (polygons or masks), each with a class. One subclass of `Pictures` reads
the export of one tool; the formats here make of any such reader, under its name:

- `Tagged`: classification. The tag of an image is its class.
- `Boxed`: detection. Around outlines, boxes are drawn.
- `Outlined`: instance segmentation. Objects of which only a box is known are left out.
- `Flattened`: semantic segmentation. Outlines are laid over each other, as `flattening` says.

Classes are in the order in which the export names them; then those that it only uses, sorted.
"""

from __future__ import annotations

import itertools
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from common.data.findings import Report
from common.data.formats import Format, Reading, Record, tables
from common.data.formats.finding_files import splits_by_folder
from common.data.formats.flattening import flatten, has_masks
from common.data.formats.listing import Listing
from common.data.formats.pictures_objects import Labels, Objects, normal
from common.data.manifest import SUBSETS
from common.errors import InvalidInput
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.masks.outlines import Outline
    from common.objects.annotation import Box

# Detection looks at this many pictures; the first may show nothing.
_SAMPLE = 20_000


@dataclass(slots=True)
class Shape:
    """One thing that is drawn on a picture, mistakes included.

    Attributes:
        label: Its class, as written.
        where: Which it is in its file, for a person, e.g. `shape 3` or `line 17`.
        box: xmin, ymin, xmax, ymax, if the file says a box; see `Picture.normalized`.
        outline: Polygons in the same coordinates, or a mask; None for a plain box.
        crowd: See `common.objects.annotation.Object`.
        difficult: The same.
        truncated: The same.
    """

    label: str
    where: str
    box: Box | None = None
    outline: Outline | None = None
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False


@dataclass(slots=True)
class Picture:
    """What an export says of one image.

    Attributes:
        file: Its path in the archive.
        source: The annotation file, for a person.
        tags: Classes of the whole image, as written.
        shapes: In the order of the file; none for an image that shows no object.
        split: As the export says.
        width: Of the image in pixels as the file says, 0 if it does not.
        height: The same.
        normalized: Boxes and polygons are fractions of the image's sides, not pixels.
        dropped: How many more shapes the file has that could not even be read.
        labeled: Whether anybody has labeled it. What is not labeled is not the same as empty.
        columns: Further attributes of the image, for `SplitConfig.group_by`.
    """

    file: str
    source: str
    tags: list[str] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    split: Subset | None = None
    width: int = 0
    height: int = 0
    normalized: bool = False
    dropped: int = 0
    labeled: bool = True
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Read:
    """What a reader makes of an export. The lists are complete once all pictures were taken.

    Attributes:
        pictures: One by one; each is that of a file in the archive. One may come more than once.
        classes: As the export names them, in its order; may be empty.
        others: Images of the archive that are none to be labeled, such as masks.
    """

    pictures: Iterable[Picture]
    classes: list[str] = field(default_factory=list)
    others: set[str] = field(default_factory=set)


class Pictures(ABC):
    """Reads the export of one tool."""

    name: ClassVar[str]
    """See `Format`; the same for all tasks."""

    description: ClassVar[str]
    """See `Format`, as for the following."""

    layout: ClassVar[str] = ""
    detected: ClassVar[str] = ""
    kept: ClassVar[str] = ""
    dropped: ClassVar[str] = ""

    @abstractmethod
    def detect(self, tree: Tree) -> str | None:
        """Say why the files look like such an export, whatever it holds; None if they do not."""

    @abstractmethod
    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Read the export, if possible picture by picture as they are taken.

        It may be called to look at some pictures only. What is left out, it reports; of labels and
        boxes, however, only what cannot be put in a `Picture`.

        Args:
            tree: The files.
            report: Told.
            max_records: How many pictures may be listed at most.

        Raises:
            InvalidInput: There is no file to read, or one is too large; also while pictures are
                taken.
        """

    def nothing(self, tree: Tree, broken: str = "") -> InvalidInput:
        """Return the error that there is no file to read, or only a broken one."""
        found = (
            f"The annotation file {broken}. Export it anew."
            if broken
            else f"There is no annotation file of {self.name} in the archive, which has "
            f"{tree.describe()}. The format needs {self.description}."
        )
        return InvalidInput(Reason.DATASET_INVALID, found)


class _Format(Format):
    """What is made of a reader's pictures for one task."""

    wanted: ClassVar[str]
    """What an export has to hold, for a person."""

    def __init__(self, reader: Pictures) -> None:
        for said in ("name", "description", "layout", "detected", "kept", "dropped"):
            setattr(self, said, getattr(reader, said))
        self._reader = reader

    def detect(self, tree: Tree) -> str | None:
        """Say so if there is an export that holds what is needed."""
        found = self._reader.detect(tree)
        return f"{found}, with {self.wanted}" if found and self._holds_wanted(tree) else None

    def _holds_wanted(self, tree: Tree) -> bool:
        try:
            read = self._reader.read(tree, Report(), max_records=sys.maxsize)
            pictures = iter(read.pictures)
            first = next(pictures, None)
            if first is None:
                return True  # reading says why
            return any(
                map(self._wants, itertools.chain([first], itertools.islice(pictures, _SAMPLE)))
            )
        except InvalidInput:
            return True  # reading says it again

    @abstractmethod
    def _wants(self, picture: Picture) -> bool:
        """Whether a picture has what is needed."""

    def _check(self, records: list[Record], listed: int, tree: Tree) -> None:
        if not records:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"None of the {listed} images of the archive that the files of {self.name} list "
                f"has {self.wanted}. Label them so, or use them for another task."
                if listed
                else f"The files of {self.name} list no image of the archive, which has "
                f"{tree.describe()}. Pack the images together with these files.",
            )


class Tagged(_Format):
    """Images by their tags, for classification."""

    wanted = "tags of images"

    def _wants(self, picture: Picture) -> bool:
        return bool(picture.tags)

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Give every image its tag; those without, or with more than one, are left out."""
        read = self._reader.read(tree, report, max_records=max_records)
        labels = Labels(report)
        budget = tables.ColumnBudget()
        tags: dict[str, set[int]] = {}
        splits: dict[str, set[Subset]] = {}
        columns: dict[str, dict[str, str]] = {}
        of_shapes: set[str] = set()
        for picture in read.pictures:
            where = f"{picture.source}, {picture.file}"
            if picture.file not in tags:
                tables.check_row_count(
                    len(tags) + 1, max_records, picture.source, "annotation files"
                )
                columns[picture.file] = _columns(picture)
                budget.spend(columns[picture.file], where)
                tags[picture.file] = set()
            if picture.split is not None:
                splits.setdefault(picture.file, set()).add(picture.split)
            for tag in picture.tags:
                index = labels.index(tag, where)
                if index is not None:
                    tags[picture.file].add(index)
            if picture.shapes:
                report.add("SHAPES_NOT_READ", where, count=len(picture.shapes))
                of_shapes.update(normal(shape.label) for shape in picture.shapes)
        report.add("IMAGES_NOT_LISTED", _not_listed(tree, tags, read.others))
        classes, index_of, unused = labels.finish(read.classes, of_shapes)
        records = []
        split_of = _settled(tags, splits, report)
        for file in sorted(tags):
            found = [index_of[number] for number in tags[file]]
            if not found:
                report.add("IMAGES_WITHOUT_TAG", file)
            elif len(found) > 1:
                named = ", ".join(classes[index] for index in sorted(found))
                report.add("IMAGES_OF_SEVERAL_TAGS", f"{file}: {named}")
            else:
                annotation = {"label": found[0]}
                records.append(Record(file, annotation, split_of.get(file), columns[file]))
        self._check(records, len(tags), tree)
        return Reading(classes, records, unused)


def _settled(
    files: Iterable[str], said: dict[str, set[Subset]], report: Report
) -> dict[str, Subset]:
    """Return the split of each file that is in one.

    Folders say it if the export does not put images both in train and in another part.
    """
    found = set().union(*said.values())
    if "train" not in found or len(found) == 1:
        return splits_by_folder(files)
    report.add("IMAGES_IN_SEVERAL_SPLITS", sorted(file for file in said if len(said[file]) > 1))
    return {file: min(splits, key=SUBSETS.index) for file, splits in said.items()}


def _columns(picture: Picture) -> dict[str, str]:
    """Return further attributes as columns of the manifest: JSON allows half characters."""
    return {
        name.encode(errors="replace").decode(): value.encode(errors="replace").decode()
        for name, value in picture.columns.items()
    }


def _not_listed(tree: Tree, listed: Container[str], others: Container[str]) -> Iterable[str]:
    return (path for path in tree.images if path not in listed and path not in others)


class Boxed(_Format):
    """Objects by their boxes, for detection."""

    wanted = "boxes or outlines of objects"
    outlines: ClassVar[bool] = False

    def _wants(self, picture: Picture) -> bool:
        return bool(picture.shapes)

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Give every image that has been labeled its objects."""
        read = self._reader.read(tree, report, max_records=max_records)
        objects = Objects(report, outlines=self.outlines)
        budget = tables.ColumnBudget()
        listing = Listing(report, max_records)
        unlabeled: set[str] = set()
        tags: set[str] = set()
        for picture in read.pictures:
            where = f"{picture.source}, {picture.file}"
            if picture.tags:
                report.add("TAGS_NOT_READ", where, count=len(picture.tags))
                tags.update(map(normal, picture.tags))
            if not picture.labeled:
                unlabeled.add(picture.file)
                continue
            columns = _columns(picture)
            if picture.file not in listing:
                budget.spend(columns, where)
            listing.add(picture.file, objects.draft(picture), picture.split, columns)
        records = listing.records()
        report.add("IMAGES_UNLABELED", sorted(one for one in unlabeled if one not in listing))
        listed = {record.file for record in records} | unlabeled
        report.add("IMAGES_NOT_LISTED", _not_listed(tree, listed, read.others))
        classes, index_of, unused = objects.labels.finish(read.classes, tags)
        for record in records:
            for one in record.annotation.objects:
                one.label = index_of[one.label]
        self._check(records, len(unlabeled), tree)
        return Reading(classes, records, unused, self._derived(objects))

    def _derived(self, objects: Objects) -> str:
        """Say how labels were made, if they are not what the export says."""
        return "Boxes are drawn around outlines of objects." if objects.around_outlines else ""


class Outlined(Boxed):
    """Objects by their outlines, for instance segmentation."""

    wanted = "outlines of objects"
    outlines = True

    def _wants(self, picture: Picture) -> bool:
        return any(shape.outline is not None for shape in picture.shapes)

    def _derived(self, objects: Objects) -> str:
        del objects
        return ""


class Flattened(Outlined):
    """The class of each pixel, for semantic segmentation."""

    def detect(self, tree: Tree) -> str | None:
        """Say so if there are outlines, and no masks say more exactly what each pixel is."""
        found = super().detect(tree)
        return None if found and has_masks(tree) else found

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Give every image that has been labeled its objects; they are drawn later."""
        return flatten(super().read(tree, report, max_records=max_records))
