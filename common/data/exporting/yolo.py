"""YOLO: a text for each image, a line for each object, and a data.yaml with the classes.

    images/0-cat.jpg        data.yaml
    labels/0-cat.txt        train.txt, val.txt, test.txt: the images of each split

Numbers are fractions of the image's sides, with as many digits as give back what is stored. A mask
is one polygon along the edges of its pixels, which an import draws as the very mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import yaml

from common.data.exporting import DatasetExporter, Part, count_columns, splits_of
from common.data.manifest import SUBSETS
from common.masks import contours, rle
from common.masks.outlines import polygon
from common.objects import annotation as notes

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from common.data.exporting import Source
    from common.data.manifest import Entry
    from common.objects.annotation import Object

# Behind the point, besides as many as the side of an image has before it. Of a pixel that is a
# millionth for boxes, and a hundredth for polygons, whose corners are whole pixels.
_BOX_DIGITS, _POLYGON_DIGITS = 6, 2
# What an import reads of the text of one image.
_MAX_TEXT_BYTES = 4 * 1024**2


class YoloExporter(DatasetExporter):
    """The layout above.

    Args:
        outlines: Whether to write masks, or boxes.
    """

    name = "yolo"

    def __init__(self, *, outlines: bool = False) -> None:
        self._outlines = outlines

    def parts(self, source: Source) -> Iterator[Part]:
        """Yield each image with its text, then what is about all."""
        has_splits = splits_of(source)
        paths = {subset: source.work_dir / f"yolo-{subset}.txt" for subset in SUBSETS}
        files = {subset: path.open("w") for subset, path in paths.items()}
        for row in source.rows:
            yield Part(f"images/{row.name}", [row.content])
            text = self._text(notes.read(row.annotation), row.entry, source.left_out)
            if len(text) > _MAX_TEXT_BYTES:
                source.left_out["texts that are too long for an import"] += 1
            yield Part(f"labels/{row.name.rpartition('.')[0]}.txt", [text], packed=True)
            count_columns(source, row.entry)
            if row.entry.split is not None:
                files[row.entry.split].write(f"./images/{row.name}\n")
        for file in files.values():
            file.close()
        # Programs that train want both; an import takes a folder that is both for neither.
        places = {"train": "images", "val": "images"}
        if has_splits:
            places = {one.subset: f"{one.subset}.txt" for one in source.dataset.given_splits}
            for place in places.values():
                yield Part(place, [source.work_dir / f"yolo-{place}"], packed=True)
        about = {"path": ".", **places, "names": dict(enumerate(source.dataset.classes))}
        text = yaml.safe_dump(about, allow_unicode=True, sort_keys=False, width=1 << 16).encode()
        yield Part("data.yaml", [text], packed=True)

    def _text(self, objects: list[Object], entry: Entry, left_out: Counter[str]) -> bytes:
        lines = []
        for one in objects:
            if one.crowd:
                left_out["objects that stand for many (crowd)"] += 1
                continue
            left_out["objects whose mark says difficult"] += one.difficult
            left_out["objects whose mark says truncated"] += one.truncated
            if self._outlines:
                numbers = _outline(one, entry, left_out)
            else:
                left_out["objects of which another area than the box's is known"] += (
                    one.area is not None
                )
                numbers = _box(one, entry)
            lines.append(f"{one.label} {numbers}\n")
        return "".join(lines).encode()


def _box(one: Object, entry: Entry) -> str:
    xmin, ymin, xmax, ymax = one.box
    across, down = (len(str(side)) + _BOX_DIGITS for side in (entry.width, entry.height))
    return " ".join(
        (
            _fraction((xmin + xmax) / 2 / entry.width, across),
            _fraction((ymin + ymax) / 2 / entry.height, down),
            _fraction((xmax - xmin) / entry.width, across),
            _fraction((ymax - ymin) / entry.height, down),
        )
    )


def _outline(one: Object, entry: Entry, left_out: Counter[str]) -> str:
    mask = rle.trusted(one.mask, entry.height, entry.width)
    across, down = (len(str(side)) + _POLYGON_DIGITS for side in (entry.width, entry.height))
    written = [
        (_fraction(x / entry.width, across), _fraction(y / entry.height, down))
        for x, y in contours.polygon(mask).tolist()
    ]
    # As an import reads it, which keeps 32 bits of each number.
    read_P2 = polygon([float(number) for point in written for number in point]).reshape(-1, 2)
    placed_P2 = read_P2.astype(np.float64) * (entry.width, entry.height)
    left_out["masks that a polygon does not say exactly"] += (
        rle.from_polygons([placed_P2.ravel()], entry.height, entry.width) != mask
    )
    left_out["boxes that are not those around their masks"] += rle.bounds(mask) != one.box
    return " ".join(number for point in written for number in point)


def _fraction(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
