"""Masks of colours, with a table of classes."""

from tests.common.data.formats.samples import Counts, images, mask


def make(task):
    return images("images/1.jpg", "images/2.jpg") | {
        "masks/1.png": mask(100, 80, (0, 0, 0), (128, 0, 0)),
        "masks/2.png": mask(100, 80, (0, 0, 0), (0, 128, 0)),
        "labelmap.txt": b"# label:color_rgb:parts:actions\nsky:0,0,0::\ncat:128,0,0::\n"
        b"dog:0,128,0::\n",
    }


def expected(task):
    return Counts(2, {"sky": 8000, "cat": 4000, "dog": 4000}, {}, set())
