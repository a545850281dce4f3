"""A picture for each object."""

from tests.common.data.formats.samples import Counts, images, mask


def make(task):
    return images("images/1.jpg", "images/2.jpg") | {
        "masks/1_0_cat.png": mask(100, 80, 0, 255),
        "masks/1_1_dog.png": mask(100, 80, 255, 0),
        "masks/2_0_cat.png": mask(100, 80, 0, 255, 0, 0),
    }


def expected(task):
    return Counts(2, {"cat": 2, "dog": 1}, {}, set())
