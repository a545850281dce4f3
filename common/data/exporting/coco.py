"""COCO JSON: all images in one folder, and a file of objects for each split.

    images/0-cat.jpg                            annotations/instances_train.json
    images/1-dog.jpg                            annotations/instances_val.json

Masks are written as runs of pixels (RLE), which says them exactly. A file that becomes large goes
on in another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.data.exporting import DatasetExporter, Part, Source, count_columns, splits_of
from common.data.exporting.documents import Lists
from common.objects import annotation as notes
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.exporting import Row
    from common.data.manifest import Subset
    from common.objects.annotation import Object

# Half of what an import reads.
_MAX_FILE_BYTES = 256 * MIB


class CocoExporter(DatasetExporter):
    """The layout above."""

    name = "coco"

    def parts(self, source: Source) -> Iterator[Part]:
        """Yield the images, then the files."""
        splits_of(source)  # of which a single one is in a file's name, but is not read again
        documents: dict[Subset | None, list[Lists]] = {}
        for row in source.rows:
            yield Part(f"images/{row.name}", [row.content])
            count_columns(source, row.entry)
            mine = documents.setdefault(row.entry.split, [])
            if not mine or mine[-1].size > _MAX_FILE_BYTES:
                stem = f"coco-{row.entry.split}-{len(mine)}"
                mine.append(Lists(source.work_dir, stem, ("images", "annotations")))
            _add(mine[-1], row)
        categories = [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(source.dataset.classes, start=1)
        ]
        for split, lists in documents.items():
            stem = f"annotations/instances_{split}" if split else "annotations/instances"
            for number, one in enumerate(lists, start=1):
                path = f"{stem}_{number}.json" if number > 1 else f"{stem}.json"
                yield Part(path, one.document({"categories": categories}), packed=True)


def _add(lists: Lists, row: Row) -> None:
    entry = row.entry
    number = lists.add(
        "images",
        {
            "id": lists.count("images") + 1,
            "file_name": f"images/{row.name}",
            "width": entry.width,
            "height": entry.height,
        },
    )
    for one in notes.read(row.annotation):
        place = lists.count("annotations") + 1
        lists.add(
            "annotations",
            {"id": place, "image_id": number} | _written(one, entry.width, entry.height),
        )


def _written(one: Object, width: int, height: int) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = one.box
    # What is stored has four decimals, and so have differences but for rounding.
    box = [xmin, ymin, round(xmax - xmin, 4), round(ymax - ymin, 4)]
    written: dict[str, Any] = {
        "category_id": one.label + 1,
        "bbox": box,
        # Not rounded: an import takes a smaller one for that of something else than the box.
        "area": one.box_area if one.area is None else one.area,
        "iscrowd": int(one.crowd),
        "segmentation": {"size": [height, width], "counts": one.mask} if one.mask else [],
    }
    if one.difficult:
        written["difficult"] = 1
    if one.truncated:
        written["truncated"] = 1
    return written
