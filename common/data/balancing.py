"""Balancing: from sides with their share of every class's images to their share of its pixels.

Two images of a class may show it on a thousand pixels and on a million. Where pixels are what a
network learns from and is measured by, images change places between sides, best exchange first,
until the pixels of every class are divided as the images are. Sides stay as large as they are, and
no side loses a class.

Shape letters: U units (images that stay together), C candidates for an exchange, K classes, Q
quantities that sides should have a share of (pixels of each class, images of each class, images in
all), 3 the sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, hstack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

# How much the images of a class count beside its pixels. Were it nothing, one side could end up
# with all of a class in a single image.
_OF_IMAGES = 0.25
# How much the images in all count beside the pixels of a class.
_OF_SIZE = 10.0
# Bounds the time to a few seconds, however many images there are: the more, the less each matters.
_MOST_STEPS = 4000
# Of more units, each is compared with a sample.
_MOST_CANDIDATES = 1000
_SAMPLE = 400
_MOST_PASSES = 10
# A side may miss its size by so many images if it does not anyway.
_SIZE_TOLERANCE = 1.0
# Worth more than any share.
_NEW_CLASS = 1e6
_EPSILON = 1e-12


def balance(
    side_U: Ints,
    fixed_U: Bools,
    size_U: Ints,
    images_UK: csr_array[Any],
    pixels_UK: csr_array[Any],
    *,
    fractions: tuple[float, float, float],
    generator: np.random.Generator,
) -> Ints:
    """Exchange units between sides, so that each has its share of every class's pixels.

    Args:
        side_U: In [0, 3).
        fixed_U: Units that stay where they are.
        size_U: Images of each unit.
        images_UK: How many images of a unit show a class; sparse.
        pixels_UK: How many pixels they show it on; sparse, the classes may be fewer.
        fractions: Of the sides.
        generator: The only source of randomness.

    Returns:
        The new side of each unit.
    """
    balancer = _Balancer(side_U, size_U, images_UK, pixels_UK, fractions)
    balancer.run(~fixed_U, generator)
    return balancer.side_U


class _Candidates(NamedTuple):
    """Units that one may be exchanged for, with their parts of quantities and their classes."""

    units_C: Ints
    parts_CQ: csr_array[Any]
    shown_CK: csr_array[Any]


class _Balancer:
    def __init__(
        self,
        side_U: Ints,
        size_U: Ints,
        images_UK: csr_array[Any],
        pixels_UK: csr_array[Any],
        fractions: tuple[float, float, float],
    ) -> None:
        self.side_U = side_U.copy()
        self._size_U = size_U
        self._fractions = np.asarray(fractions, dtype=np.float64)
        self._sides = np.flatnonzero(self._fractions)
        self._shown_UK: csr_array[Any] = csr_array(images_UK > 0).astype(np.int64)
        size_U1 = csr_array(size_U[:, None].astype(np.float64))
        self._part_UQ: csr_array[Any] = hstack(
            [_parts(pixels_UK, 1.0), _parts(images_UK, _OF_IMAGES), _parts(size_U1, _OF_SIZE)],
            format="csr",
        )
        self._squared_U = np.asarray(self._part_UQ.power(2).sum(axis=1)).ravel()
        # How far each side is above its share, and how many units show it a class.
        weight_Q = np.asarray(self._part_UQ.sum(axis=0)).ravel()
        self._over_3Q = np.array(
            [
                np.asarray(self._part_UQ[side_U == side].sum(axis=0)).ravel() - fraction * weight_Q
                for side, fraction in enumerate(fractions)
            ]
        )
        self._count_3K = np.array(
            [np.asarray(self._shown_UK[side_U == side].sum(axis=0)).ravel() for side in range(3)]
        )
        sizes_3 = np.bincount(side_U, weights=size_U, minlength=3)
        self._excess_3 = sizes_3 - self._fractions * size_U.sum()

    def run(self, movable_U: Bools, generator: np.random.Generator) -> None:
        """Try each unit in turn, those that weigh most first, as long as it helps."""
        movable = np.flatnonzero(movable_U)
        order = generator.permutation(movable)
        order = order[np.argsort(-self._squared_U[order], kind="stable")]
        others = _Candidates(movable, self._part_UQ[movable], self._shown_UK[movable])
        steps = 0
        for _ in range(_MOST_PASSES):
            helped = False
            for unit in order.tolist():
                if steps == _MOST_STEPS:
                    return
                steps += 1
                if len(movable) > _MOST_CANDIDATES:
                    chosen = movable[generator.integers(len(movable), size=_SAMPLE)]
                    others = _Candidates(chosen, self._part_UQ[chosen], self._shown_UK[chosen])
                helped |= self._improve(unit, others)
            if not helped:
                return

    def _improve(self, unit: int, others: _Candidates) -> bool:
        """Exchange a unit for the best of some others, or for none, if that helps."""
        here = int(self.side_U[unit])
        side_C = self.side_U[others.units_C]
        part_Q, shown_K = _dense(self._part_UQ, unit), _dense(self._shown_UK, unit) > 0
        together_C = self._squared_U[others.units_C] - 2 * (others.parts_CQ @ part_Q)
        best, partner, there = -_EPSILON, -1, -1
        for side in self._sides.tolist():
            if side == here:
                continue
            change = self._changes(unit, here, side, part_Q, shown_K, others, together_C)
            change[:-1][side_C != side] = np.inf
            place = int(change.argmin())
            if change[place] < best:
                best, there = float(change[place]), side
                partner = int(others.units_C[place]) if place < len(side_C) else -1
        if there < 0:
            return False
        self._move(unit, there)
        if partner >= 0:
            self._move(partner, here)
        return True

    def _changes(
        self,
        unit: int,
        here: int,
        there: int,
        part_Q: Floats,
        shown_K: Bools,
        others: _Candidates,
        together_C: Floats,
    ) -> Floats:
        """Return by how much sides miss their shares more after each exchange; (C + 1).

        The last is that of a unit that changes sides without another in return. What is missed is
        the square of the difference to the share, divided by the fraction of the side, as in a
        chi-squared statistic. What may not be is infinite.
        """
        fraction, other_fraction = self._fractions[here], self._fractions[there]
        slope_Q = 2 * (self._over_3Q[there] / other_fraction - self._over_3Q[here] / fraction)
        curve = 1 / fraction + 1 / other_fraction
        slope = part_Q @ slope_Q - np.append(others.parts_CQ @ slope_Q, 0.0)
        changes: Floats = slope + curve * (np.append(together_C, 0.0) + self._squared_U[unit])

        # Classes that come to a side that had none, and those that would leave one without.
        here_K, there_K = self._count_3K[here], self._count_3K[there]
        last_K = shown_K & (here_K == 1)
        asked_K3 = np.column_stack([here_K == 0, last_K, ~shown_K & (there_K == 1)])
        arrives, kept, lost = (others.shown_CK @ asked_K3.astype(np.int64)).T
        changes -= _NEW_CLASS * (np.append(arrives, 0) + (shown_K & (there_K == 0)).sum())
        barred = np.append(kept, 0) < last_K.sum()
        barred |= np.append(lost, 0) > 0

        gained = np.append(self._size_U[others.units_C], 0) - self._size_U[unit]
        off = np.maximum(abs(self._excess_3[here] + gained), abs(self._excess_3[there] - gained))
        before = max(abs(self._excess_3[here]), abs(self._excess_3[there]), _SIZE_TOLERANCE)
        changes[barred | (off > before + _EPSILON)] = np.inf
        return changes

    def _move(self, unit: int, there: int) -> None:
        here = self.side_U[unit]
        for side, sign in ((here, -1), (there, 1)):
            self._over_3Q[side] += sign * _dense(self._part_UQ, unit)
            self._count_3K[side] += sign * _dense(self._shown_UK, unit)
            self._excess_3[side] += sign * self._size_U[unit]
        self.side_U[unit] = there


def _parts(counts_UK: csr_array[Any], weight: float) -> csr_array[Any]:
    """Divide by the sum over all units, times a weight."""
    total_K = np.asarray(counts_UK.sum(axis=0), dtype=np.float64).ravel()
    scale_K = np.divide(np.sqrt(weight), total_K, out=np.zeros_like(total_K), where=total_K > 0)
    return csr_array(counts_UK.multiply(scale_K[None, :]))


def _dense(rows: csr_array[Any], row: int) -> NDArray[Any]:
    dense = np.zeros(rows.shape[1], dtype=rows.dtype)
    span = slice(rows.indptr[row], rows.indptr[row + 1])
    dense[rows.indices[span]] = rows.data[span]
    return dense
