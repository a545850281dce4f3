"""Reads pictures: their texts, and whether these can be read."""

import io
import itertools

import numpy as np
from matplotlib.text import Text
from PIL import Image


def visible_texts(figure):
    """What stands in a figure, with its place in pixels."""
    renderer = figure.canvas.get_renderer()
    out_of_view = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
        out_of_view.update(tick.label1 for tick in ticks)
    texts = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text())
    shown = [text for text in texts if text not in out_of_view]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


def assert_readable(figure):
    """No text leaves the picture or lies on another."""
    texts = visible_texts(figure)
    for text, box in texts:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (text, box), (other, other_box) in itertools.combinations(texts, 2):
        assert not box.padded(-1.5).overlaps(other_box.padded(-1.5)), (text, other)


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))
