"""Objects with masks, and networks' answers, for tests."""

import numpy as np

from common.masks import rle
from common.objects.annotation import Object, write
from common.objects.targets import Detections

CELLS = 28


def ellipse(box, width, height):
    """The pixels whose centres are in the ellipse that fills a box, uint8 (height, width)."""
    xmin, ymin, xmax, ymax = box
    y_HW, x_HW = np.mgrid[:height, :width] + 0.5
    across_HW = (2 * x_HW - xmin - xmax) / (xmax - xmin)
    down_HW = (2 * y_HW - ymin - ymax) / (ymax - ymin)
    return (across_HW**2 + down_HW**2 <= 1).astype(np.uint8)


def round_cells():
    """What a network would say of an ellipse in its box: how much of each cell is inside."""
    fine_HW = ellipse((0, 0, 280, 280), 280, 280)
    return fine_HW.reshape(CELLS, 10, CELLS, 10).mean(axis=(1, 3), dtype=np.float32)


def annotation(objects, width, height):
    """Ellipses, from (box, label) or (box, label, mark) each."""
    made = []
    for box, label, *marks in objects:
        mask = rle.encode(ellipse(box, width, height))
        kinds = dict.fromkeys(marks, True)
        made.append(Object(label, box, area=float(rle.area(mask)), mask=rle.text_of(mask), **kinds))
    return write(made)


def detections(*found, cells_MM=None):
    """From (box, label, score) each, highest scores first; masks are round unless given."""
    cells_MM = round_cells() if cells_MM is None else cells_MM
    return Detections(
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([label for _, label, _ in found], np.int64),
        np.array([score for _, _, score in found], np.float32),
        np.repeat(cells_MM[None].astype(np.float32), len(found), axis=0),
    )
