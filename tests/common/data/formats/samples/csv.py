"""A table of files and labels."""

from tests.common.data.formats.samples import Counts, images


def make(task):
    table = b"file,label,split\n1.jpg,cat,train\n2.jpg,dog,train\n3.jpg,dog,test\n"
    return images("images/1.jpg", "images/2.jpg", "images/3.jpg") | {"labels.csv": table}


def expected(task):
    return Counts(3, {"cat": 1, "dog": 2}, {"train": 2, "test": 1}, set())
