"""Masks that number objects; nothing says their classes."""

from tests.common.data.formats.samples import Counts, images, mask


def make(task):
    return images("images/1.jpg", "images/2.jpg") | {
        "instances/1.png": mask(100, 80, 0, 1, 2, 3),
        "instances/2.png": mask(100, 80, 0, 1),
    }


def expected(task):
    return Counts(2, {"object": 4}, {}, {"OBJECT_CLASSES_UNNAMED"})
