"""The sheet of the worst images."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from common.masks import rle
from common.metrics import figures
from common.metrics.object_confusion import judge
from common.metrics.object_pool import Masks, pool
from common.objects.worst import SHEET_SIZE, worst_images
from common.training.learner import ImageSource, Sample
from tests.common.metrics.made_objects import detections, truth

A, B, NOWHERE = (10, 10, 110, 110), (150, 10, 290, 110), (30, 130, 250, 190)


class Grey(ImageSource):
    """Remembers what was asked for."""

    def __init__(self):
        self.loaded = []

    def load(self, index):
        self.loaded.append(index)
        return np.full((200, 300, 3), 200, dtype=np.uint8)


def sheet(truths, found):
    samples = [
        Sample(100 + n, f"{n}.jpg", {"objects": []}, None, 300, 200) for n in range(len(truths))
    ]
    images = Grey()
    title, png = worst_images(
        samples, judge(pool(truths, found, 2), [0.5, 0.5]), ["a", "b"], images
    )
    with Image.open(io.BytesIO(png)) as picture:
        return title, images.loaded, np.asarray(picture.convert("RGB"))


def count(pixels, colour):
    return int((pixels == ImageColor.getrgb(colour)).all(axis=2).sum())


def test_images_with_most_mistakes_come_first():
    """Missed, false and confused objects weigh the same; perfect images are not shown."""
    truths = [truth((A, 0)), truth((A, 0), (B, 1)), truth((A, 0)), truth((A, 0))]
    found = [
        detections((A, 0, 0.9)),
        detections((NOWHERE, 1, 0.9)),
        detections((A, 1, 0.9)),
        detections((A, 1, 0.9), (NOWHERE, 0, 0.8)),
    ]

    title, loaded, _ = sheet(truths, found)

    assert title == "Worst images"
    assert loaded == [101, 103, 102]


def test_of_images_without_a_mistake_the_least_certain_come_first():
    truths = [truth((A, 0))] * 3
    found = [detections((A, 0, score)) for score in (0.9, 0.6, 0.75)]

    title, loaded, _ = sheet(truths, found)

    assert title == "Least certain images"
    assert loaded == [101, 102, 100]


def test_no_more_images_are_loaded_than_shown():
    _, loaded, _ = sheet([truth((A, 0))] * 40, [detections()] * 40)

    assert len(loaded) == SHEET_SIZE


def test_each_kind_of_box_has_its_colour():
    """A box that is found and its finder, a missed one, and a false find."""
    pixels = sheet([truth((A, 0), (B, 1))], [detections((A, 0, 0.9), (NOWHERE, 0, 0.8))])[2]
    right = sheet([truth((A, 0))], [detections(((12, 12, 110, 110), 0, 0.9))])[2]
    missed = sheet([truth((A, 0))], [detections()])[2]

    for colour in (figures.BLUE, figures.ORANGE, figures.VERMILION):
        assert count(pixels, colour) > 100, colour
    assert count(right, figures.BLUE) > 100
    assert count(right, figures.GREEN) > 20
    assert count(right, figures.ORANGE) == count(right, figures.VERMILION) == 0
    assert count(missed, figures.ORANGE) > 100
    assert count(missed, figures.BLUE) == 0


def test_detections_below_the_threshold_are_not_drawn():
    pixels = sheet([truth((A, 0))], [detections((A, 0, 0.4))])[2]

    assert count(pixels, figures.ORANGE) > 100
    assert count(pixels, figures.BLUE) == 0


def test_masks_are_drawn_where_masks_were_measured():
    """Only the lower half of what was found is its mask; outlines are in the colour of right."""
    half_HW = np.zeros((200, 300), np.uint8)
    half_HW[60:110, 10:110] = 1
    half = rle.encode(half_HW)
    truths, found = [truth((A, 0), (B, 1))], [detections((A, 0, 0.9))]
    masks = Masks(true=[[half, half]], found=[[half]])
    verdicts = judge(pool(truths, found, 2, masks), [0.5, 0.5])
    sample = Sample(100, "0.jpg", {"objects": []}, None, 300, 200)

    drawn = []
    for seen in (verdicts, judge(pool(truths, found, 2), [0.5, 0.5])):
        _, png = worst_images([sample], seen, ["a", "b"], Grey())
        with Image.open(io.BytesIO(png)) as picture:
            drawn.append(np.asarray(picture.convert("RGB")))

    changed_HW = (drawn[0] != drawn[1]).any(axis=2)
    rows, columns = np.nonzero(changed_HW)
    # 50 by 100 pixels, enlarged by 4 / 3, but for the lines of the boxes.
    assert changed_HW.sum() == pytest.approx(50 * 100 * 16 / 9, rel=0.15)
    assert (np.ptp(columns), np.ptp(rows)) == pytest.approx((133, 67), abs=4)
