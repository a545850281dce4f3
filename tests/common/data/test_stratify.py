"""Stratification keeps shares, and keeps together what belongs together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.stratify import TEST, TRAIN, VAL, stratify

USUAL = (0.7, 0.15, 0.15)

fractions = st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


def side_of(labels, *, fractions=USUAL, seed=0, units=None, pinned=None):
    """Stratify images with one class each."""
    labels = np.asarray(labels)
    return stratify(
        np.arange(len(labels)) if units is None else units,
        np.arange(len(labels)),
        labels,
        class_count=int(labels.max()) + 1,
        fractions=fractions,
        generator=np.random.default_rng(seed),
        pinned_N=pinned,
    )


def counts_of(labels, side):
    """Count the images of each class on each side."""
    counts = np.zeros((max(labels) + 1, 3), dtype=int)
    np.add.at(counts, (labels, side), 1)
    return counts


@st.composite
def annotated_images(draw):
    """Images with any number of classes each, some in units."""
    image_count = draw(st.integers(1, 60))
    class_sets = draw(
        st.lists(st.sets(st.integers(0, 5), max_size=4), min_size=image_count, max_size=image_count)
    )
    units = draw(st.lists(st.integers(0, 40), min_size=image_count, max_size=image_count))
    pairs = [(i, c) for i, classes in enumerate(class_sets) for c in sorted(classes)]
    image, label = (np.array([p[k] for p in pairs], dtype=np.int64) for k in (0, 1))
    return np.unique(units, return_inverse=True)[1], image, label


@given(annotated_images(), fractions, st.integers(0, 5))
@settings(max_examples=300)
def test_units_stay_whole_and_no_asked_for_side_is_empty(images, fractions, seed):
    """Every image gets one side, that of its unit; a side has images if there are enough units."""
    units, image, label = images

    side = stratify(
        units,
        image,
        label,
        class_count=6,
        fractions=fractions,
        generator=np.random.default_rng(seed),
    )

    assert side.shape == units.shape
    assert len({(u, s) for u, s in zip(units.tolist(), side.tolist(), strict=True)}) == len(
        set(units.tolist())
    )
    asked_for = {s for s in (TRAIN, VAL, TEST) if fractions[s] > 0}
    assert set(side.tolist()) <= asked_for
    assert len(set(side.tolist())) == min(len(asked_for), len(set(units.tolist())))


@given(st.lists(st.integers(20, 90), min_size=1, max_size=12), st.integers(0, 5))
@settings(max_examples=200)
def test_single_label_shares_are_exact(class_sizes, seed):
    """Sides are as large as their share, and classes on them are, up to rounding."""
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)

    counts = counts_of(labels, side_of(labels, seed=seed))

    total = sum(class_sizes)
    assert np.abs(counts.sum(axis=0) - np.multiply(total, USUAL)).max() < 1
    off = np.abs(counts - np.outer(class_sizes, USUAL))
    assert off[:, [VAL, TEST]].max() < 1
    assert off[:, TRAIN].max() < 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), fractions, st.integers(0, 5))
@settings(max_examples=200)
def test_small_classes_go_to_train_then_test_then_val(class_sizes, fractions, seed):
    """A class of three images is on every side that is asked for; one of two on train and test."""
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)

    counts = counts_of(labels, side_of(labels, fractions=fractions, seed=seed))

    order = [s for s in (TRAIN, TEST, VAL) if fractions[s] > 0]
    if all((counts[:, s] > 0).any() for s in order) and max(class_sizes) >= len(order):
        for size, on_sides in zip(class_sizes, counts, strict=True):
            assert (on_sides[order[:size]] > 0).all()


def test_two_images_a_class_still_leave_one_to_validate_on():
    """No side that is asked for is empty, although each class fills only two of them."""
    counts = counts_of([0, 0, 1, 1, 2, 2], side_of([0, 0, 1, 1, 2, 2]))

    assert counts[:, TRAIN].tolist() == [1, 1, 1]
    assert counts.sum(axis=0).tolist() == [3, 1, 2]


def test_largest_remainders_are_rounded_up():
    """Shares of 4.0, 2.4 and 2.8 images make 9 in all: the last class is rounded up."""
    labels = [0] * 10 + [1] * 6 + [2] * 7

    counts = counts_of(labels, side_of(labels, fractions=(0.6, 0.0, 0.4)))

    assert counts[:, TEST].tolist() == [4, 2, 3]


def test_same_seed_same_sides_and_another_seed_others():
    """The generator decides, nothing else."""
    labels = np.arange(300) % 7

    assert (side_of(labels, seed=3) == side_of(labels, seed=3)).all()
    assert (side_of(labels, seed=3) != side_of(labels, seed=4)).any()


def test_a_few_duplicates_do_not_spoil_the_shares():
    """Single images make up for what the units do."""
    labels = np.arange(1000) % 10
    units = np.arange(1000)
    units[10:200:10] = 0  # twenty images of class 0 are one unit
    units = np.unique(units, return_inverse=True)[1]

    counts = counts_of(labels, side_of(labels, units=units))

    assert counts.sum(axis=0).tolist() == [700, 150, 150]
    assert np.abs(counts - [70, 15, 15]).max() <= 1


def test_pinned_units_go_to_train_and_are_counted_there():
    """What is pinned is part of train's share, not on top of it."""
    labels = np.zeros(100, dtype=int)
    pinned = np.arange(100) < 40

    side = side_of(labels, pinned=pinned)

    assert set(side[:40].tolist()) == {TRAIN}
    assert np.bincount(side).tolist() == [70, 15, 15]


@pytest.mark.parametrize("seed", range(3))
def test_images_of_several_classes_are_shared_out_by_class_and_in_all(seed):
    """As in Sechidis et al.: every class keeps its share, rare ones too; so do bare images."""
    generator = np.random.default_rng(seed)
    shown = generator.random((4000, 20)) < np.geomspace(0.5, 0.004, 20)
    shown[generator.random(4000) < 0.1] = False
    image, label = np.nonzero(shown)

    side = stratify(
        np.arange(4000),
        image,
        label,
        class_count=20,
        fractions=USUAL,
        generator=np.random.default_rng(seed),
    )

    totals = shown.sum(axis=0)
    off = np.array([shown[side == s].sum(axis=0) - totals * USUAL[s] for s in range(3)])
    assert np.abs(off).max() < 2
    assert np.abs(np.bincount(side) - np.multiply(4000, USUAL)).max() < 20
    # The number of classes an image shows is no giveaway of its side.
    shown_by_side = [shown[side == s].sum(axis=1).mean() for s in range(3)]
    assert np.ptp(shown_by_side) < 0.1
    bare = ~shown.any(axis=1)
    assert np.abs(np.bincount(side[bare]) - bare.sum() * np.array(USUAL)).max() < 2


def test_large_groups_are_divided_by_images_not_by_groups():
    """Groups of very different sizes still give sides of about their shares."""
    generator = np.random.default_rng(0)
    units = np.repeat(np.arange(80), generator.integers(1, 60, 80))
    labels = units % 4

    counts = counts_of(labels, side_of(labels, units=units))

    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - USUAL).max() < 0.06
    assert np.abs(counts.sum(axis=0) / counts.sum() - USUAL).max() < 0.02
