"""Confidence intervals by the percentile bootstrap over images.

Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

Images that a statistic cannot tell apart, e.g. all of one true and one predicted class, are
resampled together: how many of each kind a resample holds is one multinomial draw. So the cost
depends on the kinds, not on the images, and a million images take no longer than a thousand.

Shape letters: K kinds of image, R resamples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

RESAMPLE_COUNT = 1000
_BLOCK_SIZE = 4_000_000
"""Numbers drawn at once: 32 MB."""


def percentile_intervals(
    counts_K: NDArray[np.int64],
    statistics: Callable[[NDArray[np.int64]], Mapping[str, NDArray[np.float64]]],
    *,
    seed: int,
    resample_count: int = RESAMPLE_COUNT,
    confidence: float = 0.95,
    measured: Mapping[str, float] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return the interval of each statistic, by name.

    The same arguments give the same intervals. An interval is as narrow as the data makes it
    look: if every image was classified right, both ends of the accuracy are 1.

    Args:
        counts_K: How many images of each kind there are; their sum is the size of a resample.
        statistics: From how often each kind occurs, (R, K), to the values (R,) of each
            statistic, by name. NaN where a resample has no value; it is left out.
        seed: Of the draws.
        resample_count: More give steadier ends.
        confidence: Fraction of resamples inside, the rest split evenly on both sides.
        measured: For statistics in [0, 1] that are higher in resamples than on the images, as
            interpolated precision is: by name, the value on the images. Their intervals are moved
            so that the median of the resamples lies there. So they hold the value, and say within
            what range it varies between sets of so many images.

    Raises:
        ValueError: There is no image.
    """
    image_count = int(counts_K.sum())
    if image_count == 0:
        raise ValueError("there is no image to resample")
    rng = np.random.default_rng(seed)
    share_K = counts_K / image_count
    rows = max(1, _BLOCK_SIZE // len(counts_K))
    blocks: list[Mapping[str, NDArray[np.float64]]] = []
    for start in range(0, resample_count, rows):
        size = min(rows, resample_count - start)
        blocks.append(statistics(rng.multinomial(image_count, share_K, size=size)))
    tail = (1 - confidence) / 2
    intervals = {}
    for name in blocks[0]:
        values_R = np.concatenate([block[name] for block in blocks])
        low, middle, high = np.nanquantile(values_R, [tail, 0.5, 1 - tail])
        if measured is not None and name in measured:
            low, high = np.clip(np.array([low, high]) - middle + measured[name], 0, 1)
        intervals[name] = (float(low), float(high))
    return intervals
