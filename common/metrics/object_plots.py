"""Pictures of how well objects are found, as PNG; see `common.metrics.plots`.

Shape letters: T IoU thresholds, R levels of recall, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.metrics import figures, plots
from common.metrics.coco import IOU_T, RECALL_R, mean_where_true
from common.palette import SERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from common.metrics.coco import CocoCounts
    from common.metrics.object_curves import F1Curve
    from nocode.vision.v1 import evaluation_pb2 as pb

    Floats = NDArray[np.float64]

MAX_CURVES = 10
"""Classes with a line of their own; of more, those with the most objects."""
_SHOWN_IOUS = (0.5, 0.75, 0.9)
_GRID = np.linspace(0, 1, 501)
_STYLES = ("-", "--")
"""After the last colour the first returns with the next style."""


def precision_recall(
    counts: CocoCounts, class_names: Sequence[str], support: Sequence[int]
) -> bytes:
    """Draw precision against recall: by class at IoU 0.50, and their mean at several IoUs.

    Precision is as COCO counts it: the best at a recall or any higher one.

    Args:
        counts: Of all objects.
        class_names: Their names.
        support: True objects of each class; at least one class has some.
    """
    precision_TRC = counts.precision_TRCA[..., 0]
    made = figures.figure(11.5, 6.4)
    left, right = made.subplots(1, 2, sharey=True)
    names = figures.labels(class_names)
    present = np.flatnonzero(support)
    for place, index in enumerate(_most_frequent(support)):
        colour, style = _look(place)
        ap = counts.ap_TC[0, index]
        left.plot(
            RECALL_R,
            precision_TRC[0, :, index],
            color=colour,
            linestyle=style,
            linewidth=1.3,
            label=f"{names[index]}  {ap:.3f}",
        )
    mean_R = precision_TRC[0][:, present].mean(axis=1)
    ap50 = mean_where_true(counts.ap_TC[0])
    left.plot(RECALL_R, mean_R, color="black", linewidth=2.4, label=f"mean of all  {ap50:.3f}")
    figures.title(left, "Precision and recall", _which(support, "At IoU 0.50; with AP50"))
    for iou, colour in zip(_SHOWN_IOUS, SERIES, strict=False):
        row = int(np.abs(IOU_T - iou).argmin())
        right.plot(
            RECALL_R,
            precision_TRC[row][:, present].mean(axis=1),
            color=colour,
            linewidth=2,
            label=f"IoU {iou:.2f}  {mean_where_true(counts.ap_TC[row]):.3f}",
        )
    ap = mean_where_true(counts.ap_TC)
    figures.title(right, "Mean of all classes", f"By IoU, with AP at it; over all ten {ap:.3f}")
    left.set_ylabel("Precision")
    for axes in (left, right):
        _square(axes, "Recall")
    _legends(left, right)
    return figures.png(made)


def f1_curves(
    curves: Sequence[F1Curve], class_names: Sequence[str], score_thresholds: Sequence[float]
) -> bytes:
    """Draw F1 at IoU 0.50 against the score threshold, and mark the thresholds that are used.

    Args:
        curves: One for each class; at least one class has true objects.
        class_names: Their names.
        score_thresholds: What the model uses for each class.
    """
    support = [curve.support for curve in curves]
    thresholds = np.asarray(score_thresholds, dtype=np.float64)
    names = figures.labels(class_names)
    made = figures.figure(7.6, 6.4)
    axes = made.add_subplot()
    for place, index in enumerate(_most_frequent(support)):
        colour, style = _look(place)
        used = thresholds[[index]]
        f1 = curves[index].at(used)
        axes.plot(
            _GRID,
            curves[index].at(_GRID),
            color=colour,
            linestyle=style,
            linewidth=1.3,
            label=f"{names[index]}  {f1[0]:.3f} at {used[0]:.2f}",
        )
        axes.plot(used, f1, "o", color=colour, markeredgecolor="black", markersize=6)
    present = np.flatnonzero(support)
    mean = np.mean([curves[index].at(_GRID) for index in present.tolist()], axis=0)
    axes.plot(_GRID, mean, color="black", linewidth=2.4, label="mean of all")
    below = _which(support, "At IoU 0.50; dots are the thresholds in use")
    figures.title(axes, "F1 against score threshold", below)
    axes.set_ylabel("F1")
    _square(axes, "Score threshold")
    _legends(axes)
    return figures.png(made)


def ap_by_class(classes: Sequence[pb.CocoMetrics.ClassMetrics]) -> bytes:
    """Draw AP and AP50 of each class that has true objects, of which there is at least one."""
    shown = [one for one in classes if one.support]
    return plots.class_bars(
        "Average precision by class",
        [one.class_name for one in shown],
        [one.support for one in shown],
        {"AP": [one.ap for one in shown], "AP50": [one.ap50 for one in shown]},
        decisive="AP",
        counted="true objects",
    )


def _most_frequent(support: Sequence[int]) -> list[int]:
    """Choose the classes that are drawn, in their own order."""
    order = sorted(np.flatnonzero(support).tolist(), key=lambda index: (-support[index], index))
    return sorted(order[:MAX_CURVES])


def _which(support: Sequence[int], below: str) -> str:
    count = int(np.count_nonzero(support))
    if count <= MAX_CURVES:
        return below
    return f"{below}; the {MAX_CURVES} of {count} classes with most objects"


def _look(place: int) -> tuple[str, str]:
    """Return colour and line style of a class's curve."""
    return SERIES[place % len(SERIES)], _STYLES[place // len(SERIES)]


def _square(axes: Axes, below: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(below)
    axes.grid(color="#DDDDDD", linewidth=0.8)
    figures.plain(axes)


def _legends(*all_axes: Axes) -> None:
    """Put the legend of each axes under it, since curves may be anywhere inside."""
    for axes in all_axes:
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(0, -0.13), ncols=2, frameon=False, fontsize=8,
            borderaxespad=0,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
