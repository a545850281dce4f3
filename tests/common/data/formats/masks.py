"""Masks and images for tests of formats."""

import numpy as np

from common.data import images
from common.data.findings import Report
from common.masks.label_maps import VOID
from tests.common.data.pictures import encode, picture


def jpeg(width: int = 4, height: int = 2) -> bytes:
    """An image."""
    return encode(picture(64, 48)[:height, :width])


def grey(*rows: list[int]) -> bytes:
    """A PNG of these values."""
    return encode(np.array(rows, np.uint8), "PNG")


def pairs(*masks: bytes, folder: str = "masks", suffix: str = ".png") -> dict[str, bytes]:
    """Images of 4 × 2 pixels with these masks."""
    files = {f"images/{number}.jpg": jpeg() for number in range(len(masks))}
    return files | {f"{folder}/{number}{suffix}": mask for number, mask in enumerate(masks)}


def labels_of(format_, tree):
    """Read: by image, the rows of names, None where void; the classes; examples by finding."""
    report = Report()
    reading = format_.read(tree, report, max_records=1000)
    found = {}
    for record in reading.records:
        info = images.probe(tree.read(record.file), max_pixels=1_000_000)
        labels = record.annotation.load(record.file, info, report)
        found[record.file] = labels if labels is None else [
            [None if label == VOID else reading.classes[label] for label in row] for row in labels
        ]  # fmt: skip
    return found, reading.classes, {f.id: list(f.examples) for f in report.findings()}
