"""Finds out in which of the usual ways the boxes of a data set are written.

Nothing in the hub's layouts says whether four numbers are two corners, a corner and a size, or a
center and a size, nor whether they are pixels or fractions of the image's sides. All boxes together
show it: written one way, they lie inside of their images; read another way, many do not.

Shape letters: N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.objects.annotation import Box

CORNERS, CORNER_SIZE, CENTER_SIZE = "xyxy", "xywh", "cxcywh"
KINDS = (CORNER_SIZE, CORNERS, CENTER_SIZE)
"""The likeliest first, as far as nothing else is known."""

FRACTIONS = "_fraction"
"""What a name ends in if numbers are fractions."""

CHOICES = tuple(kind + end for end in ("", FRACTIONS) for kind in KINDS)

# Boxes reach out of their images by rounding and by mistakes.
_TOLERANCE = 0.01
_CHUNK = 8192
# The second best has to be wrong for so many more boxes.
_CLEAR_SHARE = 0.02
_CLEAR_COUNT = 3


@dataclass(frozen=True, slots=True)
class BoxFormat:
    """How boxes are written.

    Attributes:
        kind: One of `KINDS`.
        fractions: Of the image's sides, not pixels.
    """

    kind: str = CORNER_SIZE
    fractions: bool = False

    @property
    def name(self) -> str:
        """One of `CHOICES`."""
        return self.kind + (FRACTIONS if self.fractions else "")

    def corners(self, numbers: Box) -> Box:
        """Return xmin, ymin, xmax, ymax."""
        first, second, third, fourth = numbers
        if self.kind == CORNERS:
            return numbers
        if self.kind == CENTER_SIZE:
            first, second = first - third / 2, second - fourth / 2
        return first, second, first + third, second + fourth


def named(name: str) -> BoxFormat:
    """Return the one of `CHOICES` that is called so."""
    return BoxFormat(name.removesuffix(FRACTIONS), name.endswith(FRACTIONS))


@dataclass(slots=True)
class _Counts:
    """How many boxes are not possible in each of `KINDS`."""

    boxes: int = 0
    small: int = 0
    impossible: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


class Survey:
    """Counts how many boxes fit in each way; memory does not grow with their number."""

    def __init__(self) -> None:
        self._held: list[tuple[float, ...]] = []
        self._all = _Counts()

    def add(self, numbers: Box, width: float, height: float) -> None:
        """Count a box of an image.

        Args:
            numbers: As written.
            width: Of the image in pixels.
            height: The same.
        """
        self._held.append((*numbers, width, height))
        if len(self._held) >= _CHUNK:
            self._count()

    def choose(self) -> tuple[BoxFormat, str, bool]:
        """Return the way in which fewest boxes are not possible.

        Returns:
            That; what shows it, for a person; and whether another way is nearly as good.
        """
        self._count()
        seen = self._all
        fractions = 2 * seen.small > seen.boxes
        order = sorted(KINDS, key=lambda kind: (seen.impossible[kind], KINDS.index(kind)))
        best, second = order[:2]
        ahead = seen.impossible[second] - seen.impossible[best]
        unclear = ahead < max(_CLEAR_COUNT, _CLEAR_SHARE * seen.boxes)
        chosen = BoxFormat(best, fractions)
        shown = ", ".join(f"{kind} {seen.boxes - seen.impossible[kind]}" for kind in order)
        return chosen, f"{chosen.name}: of {seen.boxes} boxes fit as {shown}", unclear

    def _count(self) -> None:
        rows_N6 = np.array(self._held, np.float64).reshape(-1, 6)
        self._held = []
        numbers_N4 = rows_N6[:, :4]
        rows_N6 = rows_N6[np.isfinite(numbers_N4).all(axis=1) & (numbers_N4 != 0).any(axis=1)]
        numbers_N4, size_N2 = rows_N6[:, :4], rows_N6[:, 4:]
        small_N = (np.abs(numbers_N4) <= 1 + _TOLERANCE).all(axis=1)
        limit_N2 = np.where(small_N[:, None], 1.0, size_N2)
        self._all.boxes += len(rows_N6)
        self._all.small += int(small_N.sum())
        for kind in KINDS:
            self._all.impossible[kind] += int(_impossible(numbers_N4, limit_N2, kind).sum())


def _impossible(
    numbers_N4: NDArray[np.float64], limit_N2: NDArray[np.float64], kind: str
) -> NDArray[np.bool_]:
    first_N2, last_N2 = numbers_N4[:, :2], numbers_N4[:, 2:]
    if kind == CENTER_SIZE:
        first_N2, last_N2 = first_N2 - last_N2 / 2, first_N2 + last_N2 / 2
    elif kind == CORNER_SIZE:
        last_N2 = first_N2 + last_N2
    slack_N2 = limit_N2 * _TOLERANCE
    outside_N2 = (first_N2 < -slack_N2) | (last_N2 > limit_N2 + slack_N2) | (last_N2 <= first_N2)
    return np.asarray(outside_N2.any(axis=1), np.bool_)
