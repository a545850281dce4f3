"""Sides get their share of pixels, not only of images, and lose nothing by it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import balancing
from common.data.stratify import TEST, TRAIN, VAL, stratify

USUAL = (0.7, 0.15, 0.15)


def sides(pixels, *, weighted=True, units=None, fractions=USUAL, seed=0, pinned=None):
    """Stratify images of (N, K) pixels a class."""
    image, label = np.nonzero(pixels)
    return stratify(
        np.arange(len(pixels)) if units is None else units,
        image,
        label,
        class_count=pixels.shape[1],
        fractions=fractions,
        generator=np.random.default_rng(seed),
        weight_P=pixels[image, label] if weighted else None,
        pinned_N=pinned,
    )


def off(pixels, side, fractions=USUAL):
    """Return how far each side is from its share of each class's pixels, (3, K)."""
    shares = np.array([pixels[side == s].sum(axis=0) for s in range(3)]) / pixels.sum(axis=0)
    return np.abs(shares - np.array(fractions)[:, None])


def streets(seed, image_count=400, class_count=12):
    """Return (N, K) pixels of classes of which some are rare, and all now small and now large."""
    generator = np.random.default_rng(seed)
    shown = generator.random((image_count, class_count)) < np.geomspace(0.7, 0.04, class_count)
    pixels = generator.lognormal(8, 1.2, (image_count, class_count)) * shown
    return pixels.astype(np.int64)


def test_two_sizes_of_an_object_are_shared_out_apart():
    """They are of one class, so that by images alone a side may get all of the large ones."""
    pixels = np.array([[1000], [10]] * 50)

    side = sides(pixels, fractions=(0.6, 0.2, 0.2))

    assert np.bincount(side).tolist() == [60, 20, 20]
    assert [int((pixels[side == s] == 1000).sum()) for s in range(3)] == [30, 10, 10]


@pytest.mark.parametrize("seed", range(3))
def test_shares_of_pixels_come_out_far_better_than_by_images_or_by_chance(seed):
    """Ten times nearer, for sides of the same sizes."""
    pixels = streets(seed)

    side = sides(pixels, seed=seed)

    shuffled = np.random.default_rng(seed).permutation(side)
    assert off(pixels, side).mean() < 0.01
    assert off(pixels, side).mean() < off(pixels, shuffled).mean() / 10
    assert off(pixels, side).mean() < off(pixels, sides(pixels, weighted=False)).mean() / 10
    assert np.abs(np.bincount(side) - np.multiply(400, USUAL)).max() <= 2


def test_shares_of_images_are_kept_meanwhile():
    """Not all images of a class are on one side, and all of its pixels in one on another."""
    pixels = streets(5)
    shown = (pixels > 0).astype(np.int64)

    assert off(shown, sides(pixels)).mean() < 0.02


def test_units_stay_whole():
    """Groups change sides as one."""
    pixels = streets(1)
    units = np.arange(400) // 5

    side = sides(pixels, units=units)

    assert all(len(set(side[units == unit].tolist())) == 1 for unit in range(80))
    by_images = sides(pixels, units=units, weighted=False)
    assert off(pixels, side).mean() < off(pixels, by_images).mean() / 2
    assert np.abs(np.bincount(side) - np.multiply(400, USUAL)).max() <= 5


def test_pinned_units_stay_in_train():
    """However many pixels they have."""
    pixels = streets(2)
    pinned = np.arange(400) < 50

    side = sides(pixels, pinned=pinned)

    assert set(side[:50].tolist()) == {TRAIN}
    assert off(pixels, side).mean() < 0.01


def test_the_same_seed_gives_the_same_sides_and_another_seed_others():
    """The generator decides, nothing else."""
    pixels = streets(3)

    assert (sides(pixels, seed=1) == sides(pixels, seed=1)).all()
    assert (sides(pixels, seed=1) != sides(pixels, seed=2)).any()


def test_of_many_images_only_some_are_compared(monkeypatch):
    """Which ones is chosen by the seed; shares still come out better than by images alone."""
    monkeypatch.setattr(balancing, "_MOST_CANDIDATES", 40)
    monkeypatch.setattr(balancing, "_SAMPLE", 40)
    pixels = streets(4)

    side = sides(pixels, seed=1)

    assert (side == sides(pixels, seed=1)).all()
    assert off(pixels, side).mean() < off(pixels, sides(pixels, weighted=False)).mean() / 5


def test_a_class_that_a_side_lacks_is_brought_there():
    """Three images of a class, all on one side at first, end up on three."""
    pixels = np.ones((30, 2), dtype=np.int64)
    pixels[3:, 1] = 0
    rows = balancing.csr_array(pixels)
    side = np.array([TRAIN] * 20 + [VAL] * 5 + [TEST] * 5)

    balanced = balancing.balance(
        side,
        np.zeros(30, dtype=bool),
        np.ones(30, dtype=np.int64),
        rows,
        rows,
        fractions=(4 / 6, 1 / 6, 1 / 6),
        generator=np.random.default_rng(0),
    )

    assert sorted(balanced[:3].tolist()) == [TRAIN, VAL, TEST]
    assert np.bincount(balanced).tolist() == [20, 5, 5]


@st.composite
def labeled_images(draw):
    """Draw units and pixels of classes, some images without any."""
    image_count = draw(st.integers(1, 40))
    amounts = st.one_of(st.just(0), st.integers(1, 1000))
    rows = draw(
        st.lists(
            st.lists(amounts, min_size=4, max_size=4), min_size=image_count, max_size=image_count
        )
    )
    units = draw(st.lists(st.integers(0, 30), min_size=image_count, max_size=image_count))
    return np.unique(units, return_inverse=True)[1], np.array(rows, dtype=np.int64)


fractions = st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


@given(labeled_images(), fractions, st.integers(0, 5))
@settings(max_examples=80)
def test_nothing_is_lost_by_balancing(images, fractions, seed):
    """No side loses a class, gets further from its size, or from what pixels and images say."""
    units, pixels = images

    before = sides(pixels, weighted=False, units=units, fractions=fractions, seed=seed)
    after = sides(pixels, units=units, fractions=fractions, seed=seed)

    pairs = {(u, s) for u, s in zip(units.tolist(), after.tolist(), strict=True)}
    assert len(pairs) == len(set(units.tolist()))
    assert {s for s in range(3) if fractions[s] == 0}.isdisjoint(after.tolist())
    for s in range(3):
        had, has = (pixels[side == s].any(axis=0) for side in (before, after))
        assert (has >= had).all()
        assert (after == s).any() == (before == s).any()
    ideal = np.multiply(len(units), fractions)
    missed_before, missed = (
        np.abs(np.bincount(side, minlength=3) - ideal).max() for side in (before, after)
    )
    assert missed <= max(missed_before, 1.0) + 1e-9


@given(labeled_images(), st.integers(0, 5))
@settings(max_examples=80)
def test_a_class_of_three_images_or_more_is_on_every_side(images, seed):
    """Where images have one class each; weights take nothing away from that."""
    _, pixels = images
    label = np.arange(len(pixels)) % 4
    alone = np.zeros_like(pixels)
    alone[np.arange(len(pixels)), label] = pixels.max(axis=1) + 1

    side = sides(alone, seed=seed)

    for k in np.flatnonzero(np.bincount(label, minlength=4) >= 3):
        assert set(side[label == k].tolist()) == {TRAIN, VAL, TEST}
