"""Pictures of how well pixels are classified, as PNG; see `common.metrics.plots`.

Shape letters: N images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.metrics import figures, plots
from common.metrics.figures import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nocode.vision.v1 import evaluation_pb2 as pb

_BIN_COUNT = 20
_MOST_DOTS = 1000
"""Of more images than that, dots would only be a bar."""


def short(count: int) -> str:
    """Write a number of pixels in at most five letters: 999, 1.2k, 35k, 1.2M."""
    value, units = float(count), ["T", "G", "M", "k", ""]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{value:.1f}{units[-1]}" if units[-1] and value < 9.95 else f"{value:.0f}{units[-1]}"


def iou_by_class(classes: Sequence[pb.SemanticSegmentationMetrics.ClassMetrics]) -> bytes:
    """Draw IoU, accuracy and boundary IoU of each class that there is, of which is at least one."""
    shown = [one for one in classes if one.iou >= 0]
    values = {
        "IoU": [one.iou for one in shown],
        "Accuracy": [max(one.accuracy, 0) for one in shown],
        "Boundary IoU": [max(one.boundary_iou, 0) for one in shown],
    }
    return plots.class_bars(
        "Intersection over union by class",
        [one.class_name for one in shown],
        [one.pixel_count for one in shown],
        values,
        decisive="IoU",
        counted="true pixels",
        written=short,
    )


def confusion_matrix(matrix: pb.ConfusionMatrix) -> bytes:
    """Draw how often pixels of each class were taken for another."""
    return plots.confusion_matrix(matrix, counted="pixels", written=short)


def iou_per_image(mean_iou_N: NDArray[np.float64]) -> bytes:
    """Draw how the mean IoU of images is spread: a bar for each 0.05, and a dot for each image.

    Args:
        mean_iou_N: Of each image on its own; those that are NaN are left out, one is none.
    """
    value_N = mean_iou_N[~np.isnan(mean_iou_N)]
    made = figures.figure(7.6, 5.6)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    counts, edges = np.histogram(value_N, bins=_BIN_COUNT, range=(0, 1))
    upper.bar(edges[:-1], counts, np.diff(edges) * 0.94, align="edge", color=BLUE)
    mean, median = float(value_N.mean()), float(np.median(value_N))
    for axes in (upper, lower):
        axes.axvline(mean, color=ORANGE, linewidth=2, label=f"Mean {mean:.3f}")
        axes.axvline(median, color=GREY, linewidth=2, linestyle="--", label=f"Median {median:.3f}")
    figures.title(
        upper,
        "Mean IoU of each image",
        f"Of {len(value_N):,} {'images' if len(value_N) > 1 else 'image'}, each over the classes "
        "that its truth or its prediction has",
    )
    upper.set_ylabel("Images")
    upper.yaxis.get_major_locator().set_params(integer=True)
    # The same numbers give the same picture, so dots are spread without chance.
    step = -(-len(value_N) // _MOST_DOTS)
    dots_N = np.sort(value_N)[::step]
    height_N = np.arange(len(dots_N)) * 0.618 % 1
    lower.plot(dots_N, height_N, ".", color=BLUE, markersize=4, alpha=0.6)
    lower.set_ylim(-0.15, 1.15)
    lower.set_yticks([])
    lower.set_xlim(0, 1)
    lower.set_xlabel("Mean IoU" + ("" if step == 1 else f" (a dot for one image in {step})"))
    for axes in (upper, lower):
        figures.plain(axes)
    lower.spines["left"].set_visible(False)
    handles, names = upper.get_legend_handles_labels()
    made.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return figures.png(made)
