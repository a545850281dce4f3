"""A table of boxes."""

from tests.common.data.formats.samples import Counts, images


def make(task):
    rows = b"1.jpg,dog,1,2,30,40\n1.jpg,cat,5,6,70,70\n2.jpg,dog,1,2,30,40\n"
    table = b"filename,class,xmin,ymin,xmax,ymax\n" + rows
    return images("images/1.jpg", "images/2.jpg") | {"labels.csv": table}


def expected(task):
    return Counts(2, {"cat": 1, "dog": 2}, {}, set())
