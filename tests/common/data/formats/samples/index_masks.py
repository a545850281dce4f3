"""Masks of numbers, with a table of classes."""

from tests.common.data.formats.samples import Counts, images, mask


def make(task):
    return images("images/1.jpg", "images/2.jpg") | {
        "masks/1.png": mask(100, 80, 0, 1),
        "masks/2.png": mask(100, 80, 1, 1, 2, 255),
        "classes.txt": b"0 sky\n1 tree\n2 road\n",
    }


def expected(task):
    return Counts(2, {"sky": 4000, "tree": 4000 + 4000, "road": 2000}, {}, set())
