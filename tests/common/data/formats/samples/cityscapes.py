"""Three streets of Cityscapes, as its archives have them when unpacked into one folder."""

import numpy as np

from tests.common.data.formats.samples import Counts, images, mask
from tests.common.data.pictures import encode

COLOURS = (0, 0, 0), (128, 64, 128), (0, 0, 142), (0, 0, 142)
STREETS = ("train/aachen/aachen_000000", "train/ulm/ulm_000003", "val/lindau/lindau_000001")


def numbered(*values):
    """A mask of objects, with a stripe for each number."""
    stripes = np.repeat(np.array(values, np.uint16), 100 // len(values))
    return encode(np.repeat(stripes[None], 80, axis=0), "PNG")


def make(task):
    del task
    files = images(*(f"leftImg8bit/{street}_000019_leftImg8bit.png" for street in STREETS))
    for street in STREETS:
        start = f"gtFine/{street}_000019_gtFine"
        files |= {
            f"{start}_color.png": mask(
                100, 80, (0, 0, 0), (128, 64, 128), (0, 0, 142), (0, 0, 142)
            ),
            f"{start}_instanceIds.png": numbered(4, 7, 26000, 26001),
            f"{start}_labelIds.png": mask(100, 80, 4, 7, 26, 26),
            f"{start}_polygons.json": b'{"imgHeight": 80, "imgWidth": 100, "objects": []}',
        }
    return files


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "semantic-segmentation":
        # What is static is void.
        return Counts(3, {"road": 3 * 2000, "car": 3 * 4000}, splits, {"MASK_SETS_IGNORED"})
    noticed = {"MASK_SETS_IGNORED", "REGIONS_WITHOUT_OBJECTS"}
    if task == "detection":
        noticed.add("BOXES_AROUND_OUTLINES")
    return Counts(3, {"car": 6}, splits, noticed)
