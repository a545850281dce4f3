"""The sheet of the images whose pixels were classified worst."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from common.masks.drawing import colour_of
from common.masks.label_maps import VOID
from common.metrics import figures
from common.metrics.semantic_pool import SemanticPool
from services.segmentation.semantic import annotation
from services.segmentation.semantic.worst import SHEET_SIZE, worst_images
from tests.common.metrics.reading import assert_readable, visible_texts
from tests.services.segmentation.semantic.made_samples import Noise, sample

NAMES = ["sky", "sea", "ship", "$gull$"]
RED = ImageColor.getrgb(figures.VERMILION)


@pytest.fixture
def drawn(monkeypatch):
    """The figures rendered so far."""
    made = []
    render = figures.png
    monkeypatch.setattr(figures, "png", lambda figure: made.append(figure) or render(figure))
    return made


def sheet(made):
    pool = SemanticPool(len(NAMES))
    for one in made:
        pool.add(one.output.labels.unpack(), annotation.read(one.annotation))
    confidence_N = np.array([one.output.confidence_HW.mean() / 255 for one in made])
    images = Noise(made)
    title, png = worst_images(made, pool, confidence_N, NAMES, images)
    with Image.open(io.BytesIO(png)) as picture:
        return title, images.loaded, np.asarray(picture.convert("RGB"))


def squares(index, wrong_rows, confidence=0.8, size=(60, 80)):
    """Make sky over sea, with a ship where rows at the top are wrong."""
    true_HW = np.zeros(size, int)
    true_HW[size[0] // 2 :] = 1
    predicted_HW = true_HW.copy()
    predicted_HW[:wrong_rows] = 2
    return sample(index, predicted_HW, true_HW, confidence)


def count(pixels, colour):
    return int((pixels == colour).all(axis=2).sum())


def test_images_of_lowest_iou_come_first():
    """Those without a mistake are not shown."""
    title, loaded, _ = sheet([squares(number, rows) for number, rows in enumerate([3, 9, 0, 6])])

    assert title == "Worst images"
    assert loaded == [1, 3, 0]


def test_of_images_without_a_mistake_the_least_certain_come_first():
    """One of void has none either."""
    void = sample(9, np.zeros((60, 80), int), np.full((60, 80), VOID), 0.1)
    made = [squares(number, 0, confidence) for number, confidence in enumerate([0.9, 0.6, 0.75])]

    title, loaded, _ = sheet([*made, void])

    assert title == "Least certain images"
    assert loaded == [1, 2, 0, 9]


def test_no_more_images_are_loaded_than_shown():
    _, loaded, _ = sheet([squares(number, 5) for number in range(40)])

    assert len(loaded) == SHEET_SIZE


def test_mistakes_are_red():
    """As large as they are: a third of the picture of mistakes, nothing where all is right."""
    wrong = sheet([squares(0, 20)])[2]
    right = sheet([squares(0, 0)])[2]

    of_a_picture = 236 * 177
    assert count(wrong, RED) == pytest.approx(of_a_picture / 3, rel=0.15)
    assert count(right, RED) < 500  # the line of text may be of that colour


def test_what_is_void_is_no_mistake():
    true_HW = np.full((60, 80), VOID)
    true_HW[:20] = 1

    pixels = sheet([sample(0, np.ones_like(true_HW), true_HW)])[2]

    assert count(pixels, RED) < 500
    # Stripes, on two thirds of two pictures, one half light and one half dark.
    assert count(pixels, (190,) * 3) == pytest.approx(2 * 2 / 3 * 236 * 177 / 2, rel=0.15)


def test_the_legend_has_the_classes_that_are_shown(drawn):
    """In the colours that overlays have; a dollar sign is no formula."""
    true_HW = np.zeros((60, 80), int)
    pixels = sheet([sample(0, true_HW + 3, true_HW)])[2]

    shown = {text for text, _ in visible_texts(drawn[0])}
    assert {"sky", "$gull$"} <= shown
    assert not shown & {"sea", "ship"}
    for label in (0, 3):
        assert count(pixels, colour_of(label)) > 20


def test_texts_say_how_bad_it_is_and_what_was_mistaken(drawn):
    """A quarter of the picture, which is half of the sky: IoU 1/2 of sky, 1 of sea, 0 of ship."""
    sheet([squares(0, 15)])

    shown = {text for text, _ in visible_texts(drawn[0])}
    assert "mean IoU 0.500, confidence 80%" in shown
    assert "sky taken for ship: 25.0% of pixels" in shown
    assert "0.jpg" in shown


@pytest.mark.parametrize(
    ("image_count", "size"), [(1, (60, 80)), (2, (400, 100)), (5, (40, 900)), (3, (1, 1))]
)
def test_sheets_are_readable(drawn, size, image_count):
    sheet([squares(number, 1, size=size) for number in range(image_count)])

    assert_readable(drawn[0])
