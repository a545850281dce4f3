"""An XML file for each image."""

from tests.common.data.formats.made import thing, xml
from tests.common.data.formats.samples import Counts, images


def make(task):
    return images("JPEGImages/1.jpg", "JPEGImages/2.jpg") | {
        "Annotations/1.xml": xml(thing("dog"), thing("cat", (5, 6, 70, 70)), filename="1.jpg"),
        "Annotations/2.xml": xml(thing("dog"), filename="2.jpg"),
        "ImageSets/Main/train.txt": b"1\n",
        "ImageSets/Main/val.txt": b"2\n",
    }


def expected(task):
    return Counts(2, {"cat": 1, "dog": 2}, {"train": 1, "val": 1}, set())
