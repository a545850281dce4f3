"""What is odd about a data set of masks as a whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from common.data.checks import MOST_IMBALANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from common.data.findings import Report

LEAST_PIXELS = 1000
"""A class with fewer, in all images together, is hardly learned."""

MOST_PIXEL_IMBALANCE = 10 * MOST_IMBALANCE
"""Classes differ in pixels far more than in images: the sky is larger than what flies in it."""

MOST_VOID = 0.5
"""A share of pixels."""

BACKGROUND = "background"


def check_pixels(
    classes: Sequence[str],
    counts: Iterable[tuple[Mapping[int, int], int]],
    report: Report,
) -> None:
    """Report classes with few pixels, much void, and images of background only.

    Args:
        classes: Their names.
        counts: For each image, the pixels of each class in it, and those that are void.
        report: Told.
    """
    total: Counter[int] = Counter()
    void = alone = 0
    for pixels, unsaid in counts:
        total.update(pixels)
        void += unsaid
        shown = [classes[index].lower() for index, count in pixels.items() if count]
        alone += shown == [BACKGROUND]
    few = [index for index in range(len(classes)) if total[index] < LEAST_PIXELS]
    report.add(
        "FEW_PIXELS", (f"{classes[index]}: {total[index]}" for index in few), minimum=LEAST_PIXELS
    )
    by_count = [(index, count) for index, count in total.most_common() if count]
    if len(by_count) > 1 and (ratio := by_count[0][1] // by_count[-1][1]) >= MOST_PIXEL_IMBALANCE:
        shown = [f"{classes[index]}: {count}" for index, count in (by_count[0], by_count[-1])]
        report.add("PIXEL_IMBALANCE", shown, count=1, ratio=ratio)
    pixel_count = total.total() + void
    if pixel_count and void / pixel_count > MOST_VOID:
        report.add("MOSTLY_VOID", [], count=1, percent=round(100 * void / pixel_count))
    report.add("IMAGES_ALL_BACKGROUND", [], count=alone)
