"""What annotation files say of each image, put together.

The same image may be listed twice in a file, or in files for different classes or different
splits. It becomes one image with all its objects, in one split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats import Record, tables
from common.data.formats.finding_files import splits_by_folder
from common.data.manifest import SUBSETS
from common.masks.drafts import same_shape

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.objects.annotation import Box
    from common.objects.drafts import Draft, DraftObject

    Key = tuple[int, Box, bool, int]


class Listing:
    """The drafts of images by their paths."""

    def __init__(self, report: Report, max_images: int) -> None:
        self._report = report
        self._max_images = max_images
        self._records: dict[str, Record] = {}
        # What makes the objects of images differ, for those that are listed more than once.
        self._keys: dict[str, set[Key]] = {}

    def __contains__(self, file: str) -> bool:
        return file in self._records

    def add(
        self, file: str, draft: Draft, split: Subset | None, columns: dict[str, str] | None = None
    ) -> None:
        """List an image, or list it once more.

        Args:
            file: Its path.
            draft: Its objects.
            split: As the annotation file says.
            columns: Further ones of a table; those of the first time count.

        Raises:
            InvalidInput: There are more images than may be.
        """
        known = self._records.get(file)
        if known is None:
            tables.check_row_count(
                len(self._records) + 1, self._max_images, draft.source, "annotation files"
            )
            self._records[file] = Record(file, draft, split, columns or {})
            return
        self._merge(file, known.annotation, draft)
        said = {known.split, split} - {None}
        if len(said) > 1:
            self._report.add("IMAGES_IN_SEVERAL_SPLITS", file)
        chosen = min(said, key=SUBSETS.index) if said else None
        self._records[file] = Record(file, known.annotation, chosen, known.columns)

    def records(self) -> list[Record]:
        """Return all, in the order of their paths.

        Folders say the split if no file did. One that does not put images both in train and in
        another part is none.
        """
        records = [self._records[file] for file in sorted(self._records)]
        said = {record.split for record in records} - {None}
        if "train" in said and len(said) > 1:
            return records
        split_of = splits_by_folder(self._records)
        return [
            Record(record.file, record.annotation, split_of.get(record.file), record.columns)
            for record in records
        ]

    def _merge(self, file: str, draft: Draft, other: Draft) -> None:
        """Add the objects of the other draft that this one does not have."""
        draft.dropped += other.dropped
        count = len(draft.objects)
        where = f"{file}: in {draft.source} and {other.source}"
        if other.objects and draft.normalized != other.normalized:
            self._report.add("BOXES_UNREADABLE", f"{where}, not both in pixels")
            draft.dropped += len(other.objects)
            return
        across, down = self._scale(file, draft, other)
        if not (draft.width and draft.height):
            draft.width, draft.height = other.width, other.height
        have = self._keys.get(file) or {_key(one) for one in draft.objects}
        keys = set()
        for one in other.objects:
            one.scale(across, down)
            key = _key(one)
            keys.add(key)
            if key in have:
                continue
            if other.source != draft.source:
                one.where += f" of {other.source}"
            draft.objects.append(one)
        if len(draft.objects) > count or len(keys & have) < len(have):
            self._report.add("ANNOTATIONS_DIFFER", where)
        have |= keys
        self._keys[file] = have

    def _scale(self, file: str, draft: Draft, other: Draft) -> tuple[float, float]:
        """Return by what to multiply the other's coordinates; 1 if sizes do not show that."""
        first, second = (draft.width, draft.height), (other.width, other.height)
        if first == second or min(*first, *second) <= 0 or draft.normalized:
            return 1.0, 1.0
        if not same_shape(first, second):
            shown = [f"{one.width} × {one.height} in {one.source}" for one in (draft, other)]
            self._report.add("ANNOTATED_SIZE_DIFFERS", f"{file}: {shown[0]}, {shown[1]}")
            return 1.0, 1.0
        return first[0] / second[0], first[1] / second[1]


def _key(one: DraftObject) -> Key:
    return one.label, one.box, one.crowd, one.outline.key if one.outline else 0
