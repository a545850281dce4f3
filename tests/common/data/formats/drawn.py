"""What formats make of pictures in which objects are drawn, as tests compare it."""

import numpy as np

from common.data.findings import Report
from common.masks import rle
from tests.common.data.formats.masks import grey
from tests.common.data.pictures import encode

ROWS = [[0, 1, 1, 0], [2, 0, 3, 3]]
MASK = grey(*ROWS)
# Where its objects are, and the image that `pairs` gives it to.
ONE, TWO, THREE = [(1, 0), (2, 0)], [(0, 1)], [(2, 1), (3, 1)]
FILE = "images/0.jpg"


def wide(*rows):
    """A PNG of 16 bits."""
    return encode(np.array(rows, np.uint16), "PNG")


def read_objects(format_, tree, max_records=1000):
    """Return each file's objects as (class, pixels as (x, y)), its split, and the findings."""
    report = Report()
    reading = format_.read(tree, report, max_records=max_records)
    files = [record.file for record in reading.records]
    assert files == sorted(set(files))
    objects = {
        record.file: [
            (reading.classes[one.label], pixels_of(one)) for one in record.annotation.objects
        ]
        for record in reading.records
    }
    splits = {record.file: record.split for record in reading.records}
    return objects, splits, {f.id: list(f.examples) for f in report.findings()}


def pixels_of(one):
    """Return where an object is, as (x, y)."""
    rows, columns = rle.decode(one.outline.rle).nonzero()
    return list(zip(columns.tolist(), rows.tolist(), strict=True))
