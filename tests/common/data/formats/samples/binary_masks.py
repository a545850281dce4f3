"""Masks of two values."""

from tests.common.data.formats.samples import Counts, images, mask


def make(task):
    files = images("images/1.jpg", "images/2.jpg")
    return files | {f"masks/{number}.png": mask(100, 80, 0, 255) for number in (1, 2)}


def expected(task):
    return Counts(2, {"background": 8000, "foreground": 8000}, {}, {"MASK_CLASSES_GUESSED"})
