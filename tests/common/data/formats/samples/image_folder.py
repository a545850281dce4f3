"""Folders of classes, in folders of splits."""

from tests.common.data.formats.samples import Counts, images


def make(task):
    return images("train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg")


def expected(task):
    return Counts(3, {"cat": 2, "dog": 1}, {"train": 2, "test": 1}, set())
