"""Images of ADE20K by the scene that they show, for classification.

    images/training/ADE_train_00000001.jpg          sceneCategories.txt:
    images/validation/ADE_val_00000001.jpg              ADE_train_00000001 airport_terminal
                                                        ADE_val_00000001 abbey

Masks have the names of their images; `mask_files` tells which are which.
"""

from __future__ import annotations

import io
from collections import defaultdict
from typing import TYPE_CHECKING

from common.data.formats import tables
from common.data.formats.mask_survey import survey
from common.data.formats.pairing import clean, stem
from common.data.formats.pictures import Picture, Pictures, Read
from common.data.formats.published_masks import ADE
from common.data.tree import IMAGE_SUFFIXES, suffix
from common.names import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.tree import Tree

_MAX_LINE_LENGTH = 4096


class AdeScenes(Pictures):
    """The scene that each image shows, for classification."""

    name = ADE
    description = (
        "images as ADE20K has them, and a sceneCategories.txt with the name of an image, without "
        "its suffix, and that of its scene on each line"
    )
    layout = "images/training/ADE_train_00000001.jpg\nsceneCategories.txt"
    detected = "There is a text named sceneCategories."
    kept = "The scene of each image, and the splits of the folders."
    dropped = "Masks."

    def detect(self, tree: Tree) -> str | None:
        """Say so if there is a file that is named for scenes."""
        paths = _paths(tree)
        return f"{paths[0]} names the scenes of images" if paths else None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Read the lines one by one."""
        del max_records  # counted where pictures are taken
        if not _paths(tree):
            raise self.nothing(tree)
        images = survey(tree).files.images
        return Read(_pictures(tree, images, report), others=set(tree.images) - set(images))


def _paths(tree: Tree) -> list[str]:
    return [
        path
        for path in tree.files
        if suffix(path) == ".txt" and stem(path).lower() == "scenecategories"
    ]


def _pictures(tree: Tree, images: list[str], report: Report) -> Iterator[Picture]:
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_stem[stem(image)].append(image)
    for path in _paths(tree):
        with io.TextIOWrapper(
            tree.open(path), tables.encoding_of(tree, path), errors="replace"
        ) as file:
            number = 0
            while line := file.readline(_MAX_LINE_LENGTH):
                number += 1
                written, _, scene = line.strip().partition(" ")
                if not written:
                    continue
                where = f"{path}, line {number}: {shorten(written)}"
                name = clean(written).rpartition("/")[2]
                alike = by_stem.get(stem(name) if suffix(name) in IMAGE_SUFFIXES else name, [])
                if not scene.strip():
                    report.add("ROWS_WITHOUT_LABEL", where)
                elif len(alike) != 1:
                    report.add("LISTED_FILES_MISSING", where)
                else:
                    yield Picture(alike[0], path, tags=[scene])
