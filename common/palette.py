"""The colours of classes: the same in boxes, masks and legends, and told apart by all eyes.

Shape letters: N colours, 3 channels or axes of a colour space.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageColor

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Colour = tuple[int, int, int]
"""Red, green and blue, each in [0, 255]."""

# Told apart by people with any colour vision, and in grey: Okabe, Ito, "Color Universal Design",
# 2008, https://jfly.uni-koeln.de/color/
SERIES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
"""The colours of lines and bars in plots: blue, orange, green, vermilion, pink and sky."""

# Those of plots, then P. Tol's "muted" scheme and yellow: https://personal.sron.nl/~pault/
_FIRST = (
    *SERIES, "#F0E442", "#882255", "#44AA99", "#332288", "#999933", "#AA4499", "#117733",
    "#DDCC77", "#CC6677",
)  # fmt: skip

# As many classes as an image's mask can have.
_COLOUR_COUNT = 255
# How far apart the levels are of red, green and blue from which colours are chosen.
_LEVELS = range(0, 256, 32)

# What the two commonest kinds of colour blindness make of linear RGB, if complete. G. Machado,
# M. Oliveira, L. Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", 2009, https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/
_PROTAN_33 = np.array((
    (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
))  # fmt: skip
_DEUTAN_33 = np.array((
    (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
))  # fmt: skip
# Linear RGB to Oklab, in which equal distances look alike: B. Ottosson, "A perceptual color space
# for image processing", 2020, https://bottosson.github.io/posts/oklab/
_TO_CONES_33 = np.array((
    (0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
))  # fmt: skip
_TO_OKLAB_33 = np.array((
    (0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
))  # fmt: skip


def colour_of(class_index: int) -> Colour:
    """Return red, green and blue of a class, always the same; 255 classes differ.

    The first are those of our plots. Each further one is as unlike all before it as can be, to
    people who see all colours as to those who are blind to red or green.
    """
    return _colours()[class_index % _COLOUR_COUNT]


@functools.cache
def _colours() -> list[Colour]:
    first = [rgb_of(name) for name in _FIRST]
    levels_N3 = np.stack(np.meshgrid(*[_LEVELS] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    looks_N3 = _oklab(levels_N3)
    # Near black, white and grey are the picture itself, the legend's paper and its type.
    vivid_N = np.hypot(looks_N3[:, 1], looks_N3[:, 2]) > 0.05
    vivid_N &= (looks_N3[:, 0] > 0.3) & (looks_N3[:, 0] < 0.93)
    levels_N3 = levels_N3[vivid_N]
    distances_N = np.full(len(levels_N3), np.inf)
    chosen: list[Colour] = []
    while len(chosen) < _COLOUR_COUNT:
        farthest = levels_N3[distances_N.argmax()].tolist()
        chosen.append(first[len(chosen)] if len(chosen) < len(first) else tuple(farthest))
        distances_N = np.minimum(distances_N, _distances(levels_N3, chosen[-1]))
    return chosen


def _distances(colours_N3: NDArray[np.integer[Any]], colour: Colour) -> Floats:
    """Return how far colours are from another, to those who tell them apart the least."""
    least_N = np.full(len(colours_N3), np.inf)
    for sight_33 in (np.eye(3), _PROTAN_33, _DEUTAN_33):
        apart_N3 = _oklab(colours_N3, sight_33) - _oklab(np.array([colour]), sight_33)
        least_N = np.minimum(least_N, np.linalg.norm(apart_N3, axis=1))
    return least_N


def _oklab(colours_N3: NDArray[np.integer[Any]], sight_33: Floats | None = None) -> Floats:
    values_N3 = colours_N3 / 255
    linear_N3 = np.where(
        values_N3 <= 0.04045, values_N3 / 12.92, ((values_N3 + 0.055) / 1.055) ** 2.4
    )
    if sight_33 is not None:
        linear_N3 = np.clip(linear_N3 @ sight_33.T, 0, 1)
    lab_N3: Floats = np.cbrt(linear_N3 @ _TO_CONES_33.T) @ _TO_OKLAB_33.T
    return lab_N3


def rgb_of(colour: Colour | str) -> Colour:
    """Return red, green and blue of a colour, which may be written as `#RRGGBB`."""
    if isinstance(colour, str):
        red, green, blue = ImageColor.getrgb(colour)[:3]
        return red, green, blue
    return colour
