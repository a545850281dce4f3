"""What annotation files say of each image, put together.

The same image may be listed twice in a file, or in files for different classes or different
splits. It becomes one image with all its objects, in one split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats import Record, tables
from common.data.formats.finding_files import splits_by_folder
from common.data.manifest import SUBSETS

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.objects.annotation import Box
    from common.objects.drafts import Draft, DraftObject


class Listing:
    """The drafts of images by their paths."""

    def __init__(self, report: Report, max_images: int) -> None:
        self._report = report
        self._max_images = max_images
        self._records: dict[str, Record] = {}

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
        """Return all, in the order of their paths; folders say the split if no file did."""
        records = [self._records[file] for file in sorted(self._records)]
        if any(record.split for record in records):
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
        across, down = _ratio(draft.width, other.width), _ratio(draft.height, other.height)
        if other.objects and draft.normalized != other.normalized:
            self._report.add("BOXES_UNREADABLE", f"{where}, not both in pixels")
            draft.dropped += len(other.objects)
            return
        if not (draft.width and draft.height):
            draft.width, draft.height = other.width, other.height
        have = {_key(one, one.box) for one in draft.objects}
        left = set(have)
        for one in other.objects:
            if not draft.normalized:
                xmin, ymin, xmax, ymax = one.box
                one.box = (xmin * across, ymin * down, xmax * across, ymax * down)
            key = _key(one, one.box)
            left.discard(key)
            if key in have:
                continue
            if other.source != draft.source:
                one.where += f" of {other.source}"
            draft.objects.append(one)
        if left or len(draft.objects) > count:
            self._report.add("ANNOTATIONS_DIFFER", where)


def _key(one: DraftObject, box: Box) -> tuple[int, Box, bool]:
    return one.label, box, one.crowd


def _ratio(first: int, second: int) -> float:
    return first / second if first > 0 and second > 0 and first != second else 1.0
