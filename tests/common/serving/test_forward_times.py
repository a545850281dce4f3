"""How long a network will take."""

import numpy as np
import pytest

from common.serving.forward_times import ForwardTimes


def learned(*batches: tuple[int, float]) -> ForwardTimes:
    times = ForwardTimes()
    for size, seconds in batches:
        times.note(size, seconds)
    return times


def test_nothing_is_expected_of_what_was_never_seen():
    assert ForwardTimes().expected(8) == 0


def test_two_sizes_make_a_line():
    """1 image 15 ms and 8 images 50 ms: 10 ms and 5 for each image."""
    times = learned((1, 0.015), (8, 0.050))

    assert [times.expected(size) for size in (1, 4, 8, 16)] == pytest.approx(
        [0.015, 0.030, 0.050, 0.090]
    )


def test_the_line_is_the_weighted_least_squares_fit():
    """Numpy's fit is the reference; the newest batch weighs 1, the one before 0.7, and so on."""
    batches = [(1, 0.02), (8, 0.05), (4, 0.04), (2, 0.02), (6, 0.055)]
    weights = 0.7 ** np.arange(len(batches))[::-1]
    slope, fixed = np.polyfit(*zip(*batches, strict=True), 1, w=np.sqrt(weights))

    times = learned(*batches)

    assert times.expected(5) == pytest.approx(fixed + 5 * slope)


def test_one_size_alone_is_taken_in_proportion():
    assert learned((4, 0.04)).expected(8) == pytest.approx(0.08)


def test_the_line_never_falls_nor_begins_below_zero():
    falling = learned((8, 0.01), *[(1, 0.4)] * 10)
    steep = learned((1, 0.01), *[(8, 0.8)] * 10)

    assert falling.expected(8) >= falling.expected(1) > 0.35
    assert steep.expected(1) == pytest.approx(steep.expected(8) / 8)


def test_a_stall_is_forgotten_after_some_batches():
    times = learned(*[(8, 0.1)] * 5, (8, 30.0), *[(8, 0.1)] * 20)

    assert times.expected(8) < 0.15
