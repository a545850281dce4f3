"""Data sets for other programs: a picture for each image, with the number of each pixel's class.

    images/0.jpg            classes.json: {"0": "background", "1": "road"}
    masks/0.png             train.txt, val.txt, test.txt: the images of each split

The pictures are grey: of 8 bits, in which 255 is void, or of 16 bits, in which 65535 is, if there
are too many classes. Images are called by their numbers alone, as names may say what a picture is.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from common.data.exporting import DatasetExporter, Part, count_columns, splits_of
from common.data.manifest import SUBSETS
from common.masks.label_maps import VOID
from services.segmentation.semantic import annotation as notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.exporting import Source

_VOID, _WIDE_VOID = 255, 65_535


class IndexMasksExporter(DatasetExporter):
    """The layout above."""

    name = "index_masks"

    def parts(self, source: Source) -> Iterator[Part]:
        """Yield each image with its picture of classes, then what is about all."""
        wide = len(source.dataset.classes) > _VOID
        has_splits = splits_of(source)
        paths = {subset: source.work_dir / f"masks-{subset}.txt" for subset in SUBSETS}
        files = {subset: path.open("w") for subset, path in paths.items()}
        for row in source.rows:
            suffix = row.name.rpartition(".")[2]
            yield Part(f"images/{row.number}.{suffix}", [row.content])
            labels_HW = notes.read(row.annotation)
            void = _WIDE_VOID if wide else _VOID
            values_HW = np.where(labels_HW == VOID, void, labels_HW)
            picture = io.BytesIO()
            Image.fromarray(values_HW.astype(np.uint16 if wide else np.uint8)).save(picture, "PNG")
            yield Part(f"masks/{row.number}.png", [picture.getvalue()])
            count_columns(source, row.entry)
            if row.entry.split is not None:
                files[row.entry.split].write(f"{row.number}\n")
        for file in files.values():
            file.close()
        if has_splits:
            for one in source.dataset.given_splits:
                path = source.work_dir / f"masks-{one.subset}.txt"
                yield Part(f"{one.subset}.txt", [path], packed=True)
        names = {str(number): name for number, name in enumerate(source.dataset.classes)}
        if wide:
            names[str(_WIDE_VOID)] = "void"
        text = json.dumps(names, ensure_ascii=False, indent=1).encode()
        yield Part("classes.json", [text], packed=True)
