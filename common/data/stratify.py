"""Stratification: dividing images so that every side has its share of every class.

Images that must stay together form a unit. Units of several images or classes are placed first,
by iterative stratification; single images of one class, which can go anywhere, then make the
numbers come out.

Source: Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data", 2011,
https://doi.org/10.1007/978-3-642-23808-6_10

Differs from the paper: an example may be a unit of several images; what is left over once every
side has the whole images of its share goes to the side that lags most, so that rounding does not
always favour the largest; and while a class has few units left, the sides that lack it get one,
training first, then test, then validation.

Shape letters: N images, P pairs of an image and a class in it, U units, K classes (the last
stands for images without any), 3 the sides, in the order of `SUBSETS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array

from common.data.balancing import balance
from common.data.manifest import SUBSETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

TRAIN, VAL, TEST = range(3)
assert SUBSETS == ("train", "val", "test")  # noqa: S101 - the order that the numbers stand for

_PRIORITY = (TRAIN, TEST, VAL)
"""Who gets the first images of a class that has too few for all."""

_EPSILON = 1e-9
"""Shares this close to a whole number are that number: 0.15 * 20 is 3."""


def stratify(
    unit_N: Ints,
    image_P: Ints,
    class_P: Ints,
    *,
    class_count: int,
    fractions: tuple[float, float, float],
    generator: np.random.Generator,
    pinned_N: Bools | None = None,
    weight_P: Ints | None = None,
) -> Ints:
    """Give every image a side.

    Where single images of one class abound, a class's images in test and validation differ by
    less than one from their share, in training by less than two, and the sides' sizes are the
    shares rounded. A class of three units or more is on every side, even if its share is less
    than an image.

    With weights, every side also gets its share of each class's weight, as nearly as exchanging
    images allows: see `common.data.balancing`.

    Args:
        unit_N: Images with the same number stay on one side; from 0, without gaps.
        image_P: The image of each pair.
        class_P: The class of each pair; no pair occurs twice.
        class_count: Classes are in [0, class_count).
        fractions: Of train, val and test; they sum to 1, and that of train is not 0.
        generator: The only source of randomness.
        pinned_N: Units with such an image go to train, whatever the fractions.
        weight_P: How much of the class an image shows, e.g. in pixels; at least 1.

    Returns:
        `TRAIN`, `VAL` or `TEST` for every image.
    """
    stratifier = _Stratifier(unit_N, image_P, class_P, class_count, fractions, generator)
    side_N = stratifier.run(pinned_N)
    if weight_P is None or not len(weight_P):
        return side_N
    return stratifier.balanced(image_P, class_P, weight_P, pinned_N)[unit_N]


class _Stratifier:
    def __init__(
        self,
        unit_N: Ints,
        image_P: Ints,
        class_P: Ints,
        class_count: int,
        fractions: tuple[float, float, float],
        generator: np.random.Generator,
    ) -> None:
        self._generator = generator
        self._fractions = fractions
        self._unit_N = unit_N
        unit_count = int(unit_N.max(initial=-1)) + 1
        bare = np.flatnonzero(np.bincount(image_P, minlength=len(unit_N)) == 0)
        units = np.concatenate([unit_N[image_P], unit_N[bare]])
        classes = np.concatenate([class_P, np.full(len(bare), class_count)])
        ones = np.ones(len(units), dtype=np.int64)
        # How many images of each class each unit has.
        self._rows: csr_array[Any] = coo_array(
            (ones, (units, classes)), shape=(unit_count, class_count + 1)
        ).tocsr()
        self._size_U = np.bincount(unit_N, minlength=unit_count)
        self._side_U = np.full(unit_count, -1, dtype=np.int64)
        # What is still to be placed: images of each class on each side, images on each side, and
        # whether a side has the class already.
        self._due_K3 = np.outer(self._rows.sum(axis=0), fractions)
        self._due_3 = len(unit_N) * np.asarray(fractions)
        self._present_K3 = np.zeros((class_count + 1, 3), dtype=bool)

    def run(self, pinned_N: Bools | None) -> Ints:
        if pinned_N is not None:
            self._place(np.unique(self._unit_N[pinned_N]), TRAIN)
        open_U = self._side_U < 0
        single_U = open_U & (self._size_U == 1) & (np.diff(self._rows.indptr) == 1)
        # The singles' share is kept back for them: were it free for all, the units would go to
        # train first, and test would show fewer objects an image than train.
        singles_K = self._rows[single_U].sum(axis=0)
        self._owe(singles_K, -1)
        self._place_units(open_U & ~single_U, singles_K)
        self._owe(singles_K, 1)
        self._place_singles(np.flatnonzero(single_U))
        self._fill_empty_sides(pinned_N)
        return self._side_U[self._unit_N]

    def balanced(
        self, image_P: Ints, class_P: Ints, weight_P: Ints, pinned_N: Bools | None
    ) -> Ints:
        """Return the side of each unit once those that `run` gave are balanced by weight."""
        fixed_U = np.zeros(len(self._side_U), dtype=bool)
        if pinned_N is not None:
            fixed_U[self._unit_N[pinned_N]] = True
        weights_UK: csr_array[Any] = coo_array(
            (weight_P, (self._unit_N[image_P], class_P)), shape=self._rows.shape
        ).tocsr()
        return balance(
            self._side_U,
            fixed_U,
            self._size_U,
            self._rows,
            weights_UK,
            fractions=self._fractions,
            generator=self._generator,
        )

    def _owe(self, singles_K: Ints, sign: int) -> None:
        self._due_K3 += sign * np.outer(singles_K, self._fractions)
        self._due_3 += sign * singles_K.sum() * np.asarray(self._fractions)

    def _place(self, units: Ints, side: int) -> None:
        if not len(units):
            return
        counts_K = self._rows[units].sum(axis=0)
        self._side_U[units] = side
        self._due_K3[:, side] -= counts_K
        self._due_3[side] -= self._size_U[units].sum()
        self._present_K3[:, side] |= counts_K > 0

    def _lacking(self, label: int) -> list[int]:
        """Sides that should have a class and do not, most important first."""
        return [s for s in _PRIORITY if self._fractions[s] > 0 and not self._present_K3[label, s]]

    # Units of several images or classes.

    def _place_units(self, open_U: Bools, singles_K: Ints) -> None:
        """Place units class by class, the class with the fewest images left first."""
        columns: csc_array[Any] = self._rows.tocsc()
        left_K = self._rows[open_U].sum(axis=0)
        while left_K.any():
            label = int(np.where(left_K > 0, left_K, np.iinfo(np.int64).max).argmin())
            span = slice(columns.indptr[label], columns.indptr[label + 1])
            rows, weights = columns.indices[span], columns.data[span]
            units, weights = rows[open_U[rows]], weights[open_U[rows]]
            # Largest first: what is small fits in wherever room is left.
            order = self._generator.permutation(len(units))
            order = order[np.argsort(-weights[order], kind="stable")]
            units = units[order].astype(np.int64)
            sides = self._choose(label, units, weights[order], int(singles_K[label]))
            for side in (TRAIN, VAL, TEST):
                self._place(units[sides == side], side)
            open_U[units] = False
            left_K = left_K - self._rows[units].sum(axis=0)

    def _choose(self, label: int, units: Ints, weights: Ints, single_count: int) -> Ints:
        """Choose a side for each unit in turn, by what each side still lacks of the class."""
        due, due_all = self._due_K3[label].tolist(), self._due_3.tolist()
        lacking = self._lacking(label)
        left = len(units) + single_count
        sides = []
        for weight, size in zip(weights.tolist(), self._size_U[units].tolist(), strict=True):
            side = lacking[0] if left <= len(lacking) else self._neediest(weight, due, due_all)
            if side in lacking:
                lacking.remove(side)
            due[side] -= weight
            due_all[side] -= size
            left -= 1
            sides.append(side)
        return np.asarray(sides, dtype=np.int64)

    def _neediest(self, weight: int, due: list[float], due_all: list[float]) -> int:
        """Return the side most behind its share of the class, of those that lack all of a unit.

        If none does, of those that lack some of it the side most behind its share of all images.
        """
        total, total_all = sum(due), sum(due_all)
        behind = [d - f * total for d, f in zip(due, self._fractions, strict=True)]
        behind_all = [d - f * total_all for d, f in zip(due_all, self._fractions, strict=True)]
        sides = [side for side in (TRAIN, VAL, TEST) if self._fractions[side] > 0]
        if whole := [side for side in sides if due[side] >= weight]:
            return max(whole, key=lambda side: (behind[side], behind_all[side]))
        return max([side for side in sides if due[side] > 0] or sides, key=behind_all.__getitem__)

    # Single images of one class.

    def _place_singles(self, units: Ints) -> None:
        label_of = self._rows[units].indices
        taken_K3 = self._share_out(np.bincount(label_of, minlength=len(self._due_K3)))
        order = self._generator.permutation(len(units))
        order = order[np.argsort(label_of[order], kind="stable")]
        # A class's images lie together now; the first of them go to train, then val, then test.
        quotas = taken_K3.ravel()
        sides = np.repeat(np.tile([TRAIN, VAL, TEST], len(taken_K3)), quotas)
        for side in (TRAIN, VAL, TEST):
            self._place(units[order[sides == side]], side)

    def _share_out(self, count_K: Ints) -> Ints:
        """Decide how many single images of each class each side gets."""
        share_K3 = np.clip(self._due_K3, 0, None)
        total_K = share_K3.sum(axis=1)
        scale_K = np.divide(count_K, total_K, out=np.zeros(len(count_K)), where=total_K > 0)
        share_K3 *= scale_K[:, None]
        size_3 = _round_to_sum(share_K3.sum(axis=0), int(count_K.sum()))

        # One of each class for every side that lacks it, as far as they reach.
        least_K3 = np.zeros_like(share_K3, dtype=np.int64)
        spare_K = count_K.copy()
        for side in _PRIORITY:
            if self._fractions[side] > 0:
                least_K3[:, side] = ~self._present_K3[:, side] & (spare_K > 0)
                spare_K -= least_K3[:, side]

        # The held-out sides are rounded, classes with the largest remainders up; train gets the
        # rest. What a class gave too much or too little to test decides with for val.
        taken_K3 = np.zeros_like(least_K3)
        remainder_K = np.zeros(len(count_K))
        waiting_K = least_K3.sum(axis=1)
        for side in (TEST, VAL):
            waiting_K -= least_K3[:, side]
            room_K = count_K - taken_K3.sum(axis=1) - waiting_K
            share_K = share_K3[:, side]
            whole_K = np.floor(share_K + _EPSILON).astype(np.int64)
            taken_K = np.clip(whole_K, least_K3[:, side], room_K)
            remainder_K += share_K - taken_K
            up = np.flatnonzero((taken_K < room_K) & (share_K > taken_K + _EPSILON))
            up = self._generator.permutation(up)
            up = up[np.argsort(-remainder_K[up], kind="stable")]
            up = up[: max(0, size_3[side] - taken_K.sum())]
            taken_K[up] += 1
            remainder_K[up] -= 1
            taken_K3[:, side] = taken_K
        taken_K3[:, TRAIN] = count_K - taken_K3.sum(axis=1)
        return taken_K3

    # Hardly any images.

    def _fill_empty_sides(self, pinned_N: Bools | None) -> None:
        """Give a side that should have images and has none the unit that is missed least."""
        movable_U = np.ones(len(self._side_U), dtype=bool)
        if pinned_N is not None:
            movable_U[self._unit_N[pinned_N]] = False
        for side in _PRIORITY:
            if self._fractions[side] == 0 or (self._side_U == side).any():
                continue
            counts = [int((movable_U & (self._side_U == s)).sum()) for s in (TRAIN, VAL, TEST)]
            donor = max(_PRIORITY[::-1], key=counts.__getitem__)
            if counts[donor] < 2:
                continue
            units = np.flatnonzero(movable_U & (self._side_U == donor))
            rows = self._rows[units]
            remaining_K = (rows > 0).sum(axis=0)
            rarest_U = np.minimum.reduceat(remaining_K[rows.indices], rows.indptr[:-1])
            unit = units[np.lexsort((self._size_U[units], -rarest_U))[0]]
            self._side_U[unit] = side


def _round_to_sum(shares: Floats, total: int) -> Ints:
    """Round to whole numbers that sum to `total`, the largest remainders up."""
    whole = np.floor(shares + _EPSILON).astype(np.int64)
    up = np.argsort(-(shares - whole), kind="stable")[: max(0, total - int(whole.sum()))]
    whole[up] += 1
    return whole
