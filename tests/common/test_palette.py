"""Colours of classes that everybody can tell apart."""

import numpy as np
import pytest

from common import palette
from common.palette import colour_of, rgb_of


def test_colours_have_names():
    assert rgb_of("#0A141E") == rgb_of((10, 20, 30)) == (10, 20, 30)


def test_255_classes_have_255_colours():
    assert len({colour_of(index) for index in range(255)}) == 255
    assert colour_of(255) == colour_of(0)


@pytest.mark.parametrize(("count", "apart"), [(15, 0.06), (60, 0.035)])
def test_colours_can_be_told_apart(count, apart):
    """A step of 0.02 in Oklab is about what one sees between two patches that touch."""
    looks = palette._oklab(np.array([colour_of(index) for index in range(count)]))
    distances = np.linalg.norm(looks[:, None] - looks, axis=2) + np.eye(count)

    assert distances.min() > apart


def test_colours_that_are_added_differ_to_the_colour_blind_too():
    """From one another and from all that were there."""
    colours = np.array([colour_of(index) for index in range(60)])

    for index in range(15, 60):
        others = np.delete(colours, index, axis=0)
        assert palette._distances(others, colour_of(index)).min() > 0.015


def test_grey_and_red_are_where_oklab_has_them():
    """White is (1, 0, 0); red as its author gives it."""
    white, red = palette._oklab(np.array([[255, 255, 255], [255, 0, 0]]))

    assert white == pytest.approx([1, 0, 0], abs=1e-3)
    assert red == pytest.approx([0.628, 0.225, 0.126], abs=1e-3)
