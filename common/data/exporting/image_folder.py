"""A folder for each class, in folders for train, val and test if the data set has these splits.

train/cats/0-1.jpg                          cats/0-1.jpg
test/dogs/1-2.jpg                           dogs/1-2.jpg
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from common.data.exporting import DatasetExporter, Part, count_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.data.exporting import Source

# What some system does not allow in a name, and a point in front, which hides a folder.
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|^\.|[. ]$')


class ImageFolderExporter(DatasetExporter):
    """The layout above."""

    name = "image_folder"

    def parts(self, source: Source) -> Iterator[Part]:
        """Yield each image in the folder of its class."""
        folders = _folders(source.dataset.classes)
        for folder, name in zip(folders, source.dataset.classes, strict=True):
            source.left_out["names of classes that can be no folders"] += folder != name
        split_count = sum(one.image_count for one in source.dataset.given_splits)
        has_splits = split_count == source.dataset.image_count
        for row in source.rows:
            count_columns(source, row.entry)
            split = row.entry.split
            if split and not has_splits:
                source.left_out["images in a split, while others are in none"] += 1
            around = f"{split}/" if split and has_splits else ""
            yield Part(f"{around}{folders[row.annotation['label']]}/{row.name}", [row.content])


def _folders(classes: Sequence[str]) -> list[str]:
    """Return a folder for each class, called like it as far as every system allows."""
    folders: list[str] = []
    taken: set[str] = set()
    for name in classes:
        plain = folder = _REFUSED.sub("_", name)
        number = 1
        while folder.lower() in taken:
            number += 1
            folder = f"{plain}_{number}"
        taken.add(folder.lower())
        folders.append(folder)
    return folders
