"""Draws masks and classes of pixels on a picture.

Shape letters: H height, W width, 3 colours or axes of a colour space, N colours, L labels (`VOID`
first, then classes), A pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from common import fonts
from common.masks import rle
from common.masks.drafts import nearest, resized
from common.masks.label_maps import VOID
from common.metrics import figures
from common.objects.masks import columns as columns_of
from common.palette import colour_of, rgb_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from common.palette import Colour

    Bytes = NDArray[np.uint8]
    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

OPACITY = 0.45
"""Of a mask: what it shows stays visible."""

_CLASS_OPACITY, _BACKGROUND_OPACITY = 0.55, 0.15
_BACKGROUND_NAMES = frozenset({"background", "_background_", "bg"})

_PAPER, _INK, _FAINT = (255, 255, 255), (24, 24, 27), (113, 113, 122)
_SMALLEST_TYPE_PX, _LARGEST_TYPE_PX = 11, 40
_NAME_LENGTH = 28  # of a class in the legend, in characters
# Up to the first number of entries, type is as large as it should be; the last is the most.
_FEW_ENTRIES, _MOST_ENTRIES = 12, 60


def outlines(labels_HW: NDArray[Any], width_px: int = 1) -> Bools:
    """Return where a pixel of another value is near: what lies along a border, on both sides.

    Args:
        labels_HW: A mask, or classes.
        width_px: How many steps across and down are near, at least 1.
    """
    near_HW = np.zeros(labels_HW.shape, bool)
    across_HW = labels_HW[:, 1:] != labels_HW[:, :-1]
    down_HW = labels_HW[1:] != labels_HW[:-1]
    near_HW[:, 1:] |= across_HW
    near_HW[:, :-1] |= across_HW
    near_HW[1:] |= down_HW
    near_HW[:-1] |= down_HW
    for _ in range(width_px - 1):
        step_HW = near_HW.copy()
        step_HW[:, 1:] |= near_HW[:, :-1]
        step_HW[:, :-1] |= near_HW[:, 1:]
        step_HW[1:] |= near_HW[:-1]
        step_HW[:-1] |= near_HW[1:]
        near_HW = step_HW
    return near_HW


def tint(
    image_HW3: Bytes, mask_HW: NDArray[Any], colour: Colour | str, opacity: float = OPACITY
) -> Bytes:
    """Return a copy of a picture where a mask is tinted, and outlined inside of its border.

    Args:
        image_HW3: uint8.
        mask_HW: What is not 0 is inside; of another size it is made to fit.
        colour: Red, green and blue in [0, 255], or as `#RRGGBB`.
        opacity: Of the tint, in [0, 1]; the outline is opaque.
    """
    return draw_masks(image_HW3, [(mask_HW, colour)], opacity)


def draw_masks(
    image_HW3: Bytes,
    masks: Iterable[tuple[NDArray[Any] | rle.Rle, Colour | str]],
    opacity: float = OPACITY,
) -> Bytes:
    """Return a copy of a picture with the masks of objects on it, the first on top.

    Args:
        image_HW3: uint8; perhaps made smaller than the image that the masks are of.
        masks: Each with its colour, as `tint` takes them; of runs, only the columns of the object
            are decoded, one object at a time.
        opacity: See `tint`.
    """
    picture_HW3 = image_HW3.copy()
    width_px = _line_px(picture_HW3)
    for mask, colour in reversed(list(masks)):
        _draw_mask(picture_HW3, mask, rgb_of(colour), opacity, width_px)
    return picture_HW3


def overlay_classes(
    image_HW3: Bytes, labels_HW: NDArray[np.integer[Any]], class_names: Sequence[str]
) -> Bytes:
    """Return a picture with the class of each pixel as a colour, and a legend.

    A class's area is tinted over a grey picture, so that its colour is that of the legend, and
    outlined. A class called background is tinted lightly. Of what is void, the picture stays as it
    is, with lines across. The legend, beside a tall picture and else below it, has the classes that
    there are with their share of all pixels, largest first. A picture too narrow for type is
    enlarged.

    Args:
        image_HW3: uint8; perhaps made smaller than the image was.
        labels_HW: Indices of classes, `VOID` where nobody knows; of the image's own size.
        class_names: All, in the order of their indices.
    """
    picture = fonts.enlarge(Image.fromarray(image_HW3))
    shown_HW = resized(labels_HW, picture.width, picture.height)
    painted = Image.fromarray(_painted(np.asarray(picture), shown_HW, class_names))
    return _with_legend(painted, _shares(labels_HW, len(class_names)), class_names)


def _line_px(picture_HW3: Bytes) -> int:
    """Return how wide an outline should be."""
    height, width, _ = picture_HW3.shape
    return max(1, round(1.2 * math.sqrt(width * height / (640 * 480))))


def _draw_mask(
    picture_HW3: Bytes,
    mask: NDArray[Any] | rle.Rle,
    colour: Colour,
    opacity: float,
    width_px: int,
) -> None:
    """Draw within the bounds of the mask alone: of hundreds, each is a small part of a picture."""
    if isinstance(mask, np.ndarray):
        height, width = mask.shape
        inside_H, inside_W = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not inside_H.size:
            return
        left, right = int(inside_W[0]), int(inside_W[-1]) + 1
        top, bottom = int(inside_H[0]), int(inside_H[-1]) + 1
        part_HW = mask[top:bottom, left:right]
    else:
        if (box := rle.bounds(mask)) is None:
            return
        left, top, right, bottom = (int(side) for side in box)
        height, width = mask["size"]
        part_HW = columns_of(mask, left, right)[top:bottom]
    rows_H = nearest(height, picture_HW3.shape[0])
    columns_W = nearest(width, picture_HW3.shape[1])
    down = slice(*np.searchsorted(rows_H, (top, bottom)))
    across = slice(*np.searchsorted(columns_W, (left, right)))
    shown_HW = part_HW[np.ix_(rows_H[down] - top, columns_W[across] - left)] != 0
    if not shown_HW.size:
        return
    # All around is outside, but at the edge of the picture nobody knows.
    framed_HW = np.pad(shown_HW, 1)
    if not across.start:
        framed_HW[:, 0] = framed_HW[:, 1]
    if across.stop == picture_HW3.shape[1]:
        framed_HW[:, -1] = framed_HW[:, -2]
    if not down.start:
        framed_HW[0] = framed_HW[1]
    if down.stop == picture_HW3.shape[0]:
        framed_HW[-1] = framed_HW[-2]
    # An outline must not fill a small object.
    width_px = max(1, min(width_px, min(shown_HW.shape) // 8))
    line_HW = outlines(framed_HW, width_px)[1:-1, 1:-1] & shown_HW
    part_HW3 = picture_HW3[down, across]
    blend_A3 = part_HW3[shown_HW] * (1 - opacity) + np.array(colour) * opacity
    part_HW3[shown_HW] = np.rint(blend_A3).astype(np.uint8)
    part_HW3[line_HW] = colour


def _painted(
    picture_HW3: Bytes, labels_HW: NDArray[np.integer[Any]], class_names: Sequence[str]
) -> Bytes:
    # In 256ths, as whole numbers: a large picture takes a tenth of a second, not a whole one.
    opacity_L = np.array([0, *(round(256 * _opacity(name)) for name in class_names)], np.uint16)
    colours_L3 = np.array([(0, 0, 0), *map(colour_of, range(len(class_names)))], np.uint16)
    index_HW = (labels_HW.astype(np.int32) - VOID).astype(np.uint16)
    kept_HW = (256 - opacity_L)[index_HW]
    added_L3 = colours_L3 * opacity_L[:, None] + 128
    grey_HW = np.asarray(Image.fromarray(picture_HW3).convert("L")) * kept_HW
    width_px = _line_px(picture_HW3)
    void_HW = labels_HW == VOID
    light_L = np.array([True, *map(_is_background, class_names)])
    line_HW = outlines(labels_HW, width_px) & ~light_L[index_HW]
    drawn_HW3 = np.empty_like(picture_HW3)
    for channel in range(3):
        drawn_HW = ((grey_HW + added_L3[:, channel][index_HW]) >> 8).astype(np.uint8)
        drawn_HW[line_HW] = colours_L3[:, channel][index_HW[line_HW]]
        drawn_HW[void_HW] = picture_HW3[..., channel][void_HW]
        drawn_HW3[..., channel] = drawn_HW
    _hatch(drawn_HW3, void_HW, width_px)
    return drawn_HW3


def _opacity(class_name: str) -> float:
    return _BACKGROUND_OPACITY if _is_background(class_name) else _CLASS_OPACITY


def _is_background(class_name: str) -> bool:
    return class_name.strip().lower() in _BACKGROUND_NAMES


def _hatch(picture_HW3: Bytes, void_HW: Bools, width_px: int) -> None:
    """Draw thin lines across what is void, dark beside light so that one of them is seen."""
    rows_A, columns_A = np.nonzero(void_HW)
    phase_A = (rows_A + columns_A) % (10 * width_px)
    for start, colour in ((0, 0), (width_px, 255)):
        on_A = (phase_A >= start) & (phase_A < start + width_px)
        picture_HW3[rows_A[on_A], columns_A[on_A]] = colour


def _shares(labels_HW: NDArray[np.integer[Any]], class_count: int) -> dict[int, float]:
    """Return which part of the pixels each label has that there is, largest first, `VOID` last."""
    count_L = np.zeros(class_count + 1, np.int64)
    rows = max(1, 2**20 // max(1, labels_HW.shape[1]))  # counting takes 8 bytes a pixel
    for top in range(0, labels_HW.shape[0], rows):
        band_A = labels_HW[top : top + rows].ravel().astype(np.intp) - VOID
        count_L += np.bincount(band_A, minlength=class_count + 1)
    order_L = np.argsort(-count_L[1:], kind="stable")
    labels = [*order_L.tolist(), VOID]
    return {
        label: float(count_L[label - VOID] / labels_HW.size)
        for label in labels
        if count_L[label - VOID]
    }


def _with_legend(
    painted: Image.Image, shares: dict[int, float], class_names: Sequence[str]
) -> Bytes:
    names = figures.labels(class_names, limit=_NAME_LENGTH)
    present = [label for label in shares if label != VOID]
    entries: list[tuple[int | None, str, str]] = [
        (label, names[label], _percent(shares[label])) for label in present[:_MOST_ENTRIES]
    ]
    if rest := present[_MOST_ENTRIES:]:
        entries.append((None, f"{len(rest)} more", _percent(sum(shares[one] for one in rest))))
    if VOID in shares:
        entries.append((VOID, "void", _percent(shares[VOID])))
    of_count = max(0.6, math.sqrt(_FEW_ENTRIES / max(len(entries), _FEW_ENTRIES)))
    wanted_px = round(max(painted.size) / 55 * of_count)
    size_px = min(max(wanted_px, _SMALLEST_TYPE_PX), _LARGEST_TYPE_PX)
    font, pad, line_px = fonts.font(size_px), size_px // 2, round(1.5 * size_px)
    pen = ImageDraw.Draw(painted)
    share_px = max(math.ceil(pen.textlength(share, font)) for _, _, share in entries)
    # Swatch, name, share and the gaps between them.
    fixed_px = size_px + share_px + 4 * pad
    longest_px = max(math.ceil(pen.textlength(name, font)) for _, name, _ in entries)
    if painted.height > painted.width:
        rows = min(len(entries), max(1, (painted.height - pad) // line_px))
        columns = -(-len(entries) // rows)
        entry_px = longest_px + fixed_px
        corner = (painted.width + pad, pad)
        size = (painted.width + pad + columns * entry_px, painted.height)
    else:
        entry_px = min(longest_px + fixed_px, painted.width - pad)
        columns = max(1, min(len(entries), (painted.width - pad) // entry_px))
        rows = -(-len(entries) // columns)
        corner = (pad, painted.height + pad)
        size = (painted.width, painted.height + 2 * pad + rows * line_px)
    canvas = Image.new("RGB", size, _PAPER)
    canvas.paste(painted)
    pen = ImageDraw.Draw(canvas)
    for number, (label, name, share) in enumerate(entries):
        x = corner[0] + number // rows * entry_px
        y = corner[1] + number % rows * line_px
        if label is not None:
            _swatch(canvas, pen, label, (x, y + (line_px - size_px) // 2, size_px))
        middle = y + line_px / 2
        text = fonts.fit(pen, name, font, entry_px - fixed_px)
        pen.text((x + size_px + pad, middle), text, _INK, font, anchor="lm")
        pen.text((x + entry_px - 2 * pad, middle), share, _FAINT, font, anchor="rm")
    return np.array(canvas)


def _swatch(
    canvas: Image.Image, pen: ImageDraw.ImageDraw, label: int, place: tuple[int, int, int]
) -> None:
    x, y, side = place
    if label != VOID:
        pen.rectangle((x, y, x + side - 1, y + side - 1), colour_of(label))
        return
    patch_HW3 = np.full((side, side, 3), 190, np.uint8)
    _hatch(patch_HW3, np.ones((side, side), bool), max(1, side // 14))
    canvas.paste(Image.fromarray(patch_HW3), (x, y))


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %") if share >= 0.0005 else "< 0.1 %"
