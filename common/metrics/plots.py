"""Pictures of measurements, as PNG.

The same numbers give the same bytes. Every picture says in its heading what it shows, on how
much data, and is readable from two classes to a thousand.

Shape letters: C classes, B bins.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from PIL import Image

from common.metrics import figures
from common.metrics.figures import BLUE, GREEN, GREY, ORANGE, VERMILION
from common.palette import SERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from common.metrics.classification import Reliability
    from nocode.vision.v1 import evaluation_pb2 as pb

    Colour = tuple[int, int, int]

MAX_BAR_CLASSES = 40
_CELLS_WITH_PERCENT = 12
_CELLS_WITH_COUNT = 30
_LABELS_ALONG_A_SIDE = 60
_SMALL_TYPE = 9.0
_WIDTH_OF_A_LETTER = 0.65
"""On average, of the size of the type."""


def exact(count: int) -> str:
    """Write a count with all its digits."""
    return f"{count:,}"


def confusion_matrix(
    matrix: pb.ConfusionMatrix,
    *,
    counted: str = "images",
    written: Callable[[int], str] = exact,
) -> bytes:
    """Draw how often each class was taken for another.

    Colour is the fraction of the row, so that rare classes show as clearly as frequent ones;
    numbers are counts, as far as they fit.

    Args:
        matrix: The counts.
        counted: What they are of, in the plural.
        written: How a count is written in its cell.
    """
    counts_CC = np.array([row.counts for row in matrix.rows], dtype=np.int64)
    class_count = len(counts_CC)
    totals_C1 = counts_CC.sum(axis=1, keepdims=True)
    share_CC = counts_CC / np.maximum(totals_C1, 1)
    cell_in = 0.62 if class_count <= _CELLS_WITH_PERCENT else 0.42
    side_in = min(max(cell_in * class_count, 2.6), 15)
    made = figures.figure(side_in + 3.2, side_in + 2.4)
    axes = made.add_subplot()
    # Without numbers, a square root makes rare confusions visible.
    norm = PowerNorm(1 if class_count <= _CELLS_WITH_COUNT else 0.5, vmin=0, vmax=1)
    picture = axes.imshow(share_CC, cmap="Blues", norm=norm, interpolation="nearest")
    figures.title(
        axes,
        "Confusion matrix",
        f"{counts_CC.sum():,} {counted}, {np.trace(counts_CC):,} on the diagonal are right",
    )
    step = -(-class_count // _LABELS_ALONG_A_SIDE)
    shown = np.arange(0, class_count, step)
    shown[-1] = class_count - 1  # The background of objects is the last.
    names = figures.labels(matrix.class_names)
    font_size = float(np.clip(side_in / len(shown) * 34, 5, 10))
    ticks = [names[index] for index in shown]
    longest_in = max(map(len, ticks)) * font_size * _WIDTH_OF_A_LETTER / 72
    upright = class_count > 4 or longest_in > side_in / class_count
    axes.set_xticks(shown, ticks, rotation=90 if upright else 0, fontsize=font_size)
    axes.set_yticks(shown, ticks, fontsize=font_size)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_parse_math(False)
    axes.set_xlabel("Predicted class" + (f" (one in {step} is named)" if step > 1 else ""))
    axes.set_ylabel("True class")
    axes.tick_params(length=0)
    bar = made.colorbar(picture, ax=axes, shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("Fraction of the true class")
    bar.outline.set_visible(False)
    if class_count <= _CELLS_WITH_COUNT:
        _write_cells(axes, counts_CC, share_CC, written)
    return figures.png(made)


def _write_cells(
    axes: Axes, counts_CC: np.ndarray, share_CC: np.ndarray, written: Callable[[int], str]
) -> None:
    with_percent = len(counts_CC) <= _CELLS_WITH_PERCENT
    for row, column in zip(*np.nonzero(counts_CC), strict=True):
        count, share = counts_CC[row, column], share_CC[row, column]
        axes.text(
            column,
            int(row),
            f"{written(count)}\n{share:.0%}" if with_percent else written(count),
            ha="center",
            va="center",
            fontsize=9 if with_percent else 7,
            color="white" if share > 0.5 else "black",
        )


def per_class(classes: Sequence[pb.ClassificationMetrics.ClassMetrics]) -> bytes:
    """Draw precision, recall and F1 of each class, the worst on top."""
    return class_bars(
        "Precision, recall and F1 by class",
        [one.class_name for one in classes],
        [one.support for one in classes],
        {
            "Precision": [one.precision for one in classes],
            "Recall": [one.recall for one in classes],
            "F1": [one.f1 for one in classes],
        },
        decisive="F1",
        counted="images",
    )


def class_bars(
    heading: str,
    class_names: Sequence[str],
    support: Sequence[int],
    values: Mapping[str, Sequence[float]],
    *,
    decisive: str,
    counted: str,
    written: Callable[[int], str] = exact,
) -> bytes:
    """Draw fractions of each class as bars, the worst class on top.

    Of more than `MAX_BAR_CLASSES` classes only the worst are drawn.

    Args:
        heading: What is shown.
        class_names: At least one.
        support: How many there are of each class.
        values: By what they are: for each class a number in [0, 1]. At most three.
        decisive: Which of them says what is worst; also written as a number.
        counted: What `support` counts, in the plural.
        written: How such a number is written.
    """
    names = figures.labels(class_names, limit=30)
    order = sorted(range(len(names)), key=lambda index: (values[decisive][index], index))
    order = order[:MAX_BAR_CLASSES]
    rows = np.arange(len(order))
    made = figures.figure(8.5, 1.6 + 0.42 * len(order))
    axes = made.add_subplot()
    height = 0.81 / len(values)
    for place, (name, colour) in enumerate(zip(values, (BLUE, ORANGE, GREEN), strict=False)):
        axes.barh(
            rows + (place - (len(values) - 1) / 2) * height,
            [values[name][index] for index in order],
            height=height,
            color=colour,
            label=name,
        )
    for row, index in zip(rows, order, strict=True):
        axes.text(1.01, float(row), f"{values[decisive][index]:.3f}", va="center", fontsize=8)
    axes.text(1.01, -0.75, decisive, va="bottom", fontsize=8, fontweight="bold")
    below = "Worst first"
    if len(order) < len(names):
        below = f"The {len(order)} of {len(names)} classes with the lowest {decisive}"
    below += f"; in brackets the number of {counted}"
    figures.title(axes, heading, below)
    axes.set_yticks(rows, [f"{names[index]} ({written(support[index])})" for index in order])
    for tick in axes.get_yticklabels():
        tick.set_parse_math(False)
        tick.set_fontsize(9)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Fraction")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    figures.plain(axes)
    made.legend(loc="outside lower center", ncols=3, frameon=False)
    return figures.png(made)


def reliability_diagram(bins: Reliability) -> bytes:
    """Draw accuracy against confidence: on the diagonal, a probability means what it says."""
    edges = np.linspace(0, 1, len(bins.count_B) + 1)
    middles, width = (edges[:-1] + edges[1:]) / 2, edges[1]
    made = figures.figure(6.2, 6.8)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    accuracy_B = np.nan_to_num(bins.accuracy_B)
    upper.bar(middles, accuracy_B, width * 0.94, color=BLUE, label="Accuracy in a bin")
    filled = bins.count_B > 0
    upper.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="Perfectly calibrated")
    upper.plot(
        bins.confidence_B[filled],
        bins.accuracy_B[filled],
        "o",
        color=ORANGE,
        markeredgecolor="black",
        markersize=5,
        label="Mean confidence in it",
    )
    error = bins.expected_calibration_error
    figures.title(upper, "Reliability", f"Expected calibration error {error:.3f}; 0 is perfect")
    upper.set_ylabel("Fraction classified right")
    upper.set_ylim(0, 1.02)
    lower.bar(middles, bins.count_B, width * 0.94, color=GREY)
    lower.set_ylabel("Images")
    lower.set_xlim(0, 1)
    lower.set_xlabel("Confidence: probability of the predicted class")
    for axes in (upper, lower):
        figures.plain(axes)
    handles, names = upper.get_legend_handles_labels()
    made.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figures.png(made)


def training_curves(history: Mapping[int, Mapping[str, float]]) -> bytes:
    """Draw what was measured after each epoch: a panel for losses, rates, and all else.

    Args:
        history: The metrics of each epoch, by its number; their names as in `JobHistoryEntry`.
    """
    epochs = sorted(history)
    names = sorted({name for metrics in history.values() for name in metrics})
    panels = {
        "Loss": [name for name in names if name.endswith("loss")],
        "Validation": [n for n in names if n.startswith("val_") and not n.endswith("loss")],
        "Learning rate": [name for name in names if name.endswith("learning_rate")],
    }
    panels = {heading: members for heading, members in panels.items() if members}
    made = figures.figure(4.6 * max(len(panels), 1), 3.8)
    for number, (heading, members) in enumerate(panels.items(), start=1):
        axes = made.add_subplot(1, len(panels), number)
        for colour, name in zip(SERIES * len(members), members, strict=False):
            values = [history[epoch].get(name, np.nan) for epoch in epochs]
            axes.plot(epochs, values, marker=".", color=colour, label=name.replace("_", " "))
        figures.title(axes, heading)
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#DDDDDD", linewidth=0.8)
        figures.plain(axes)
        if len(members) > 1 or heading == "Validation":
            axes.legend(frameon=False, fontsize=9)
    return figures.png(made)


@dataclass(frozen=True)
class Tile:
    """An image on a sheet.

    Attributes:
        image_HW3: uint8, of any size; made smaller to fit.
        predicted: Line under it, e.g. `cat, 98 %`.
        right: Whether that is right.
        true: Line under that.
        file: Last line.
    """

    image_HW3: NDArray[np.uint8]
    predicted: str
    right: bool
    true: str
    file: str


def image_sheet(
    heading: str,
    below: str,
    tiles: Iterable[Tile],
    *,
    columns: int = 5,
    thumbnail_px: int = 220,
    legend: Mapping[str, Colour] | None = None,
) -> bytes:
    """Draw images in rows, each with what was predicted, what is true, and its file.

    Args:
        heading: What the images have in common.
        below: A sentence or two more about them.
        tiles: At least one. Taken one by one, so that only small copies are kept.
        columns: Images in a row.
        thumbnail_px: Longer side of an image on the sheet.
        legend: What colours in the images stand for, if anything.
    """
    thumbnails = []
    for tile in tiles:
        image = Image.fromarray(tile.image_HW3)
        image.thumbnail((thumbnail_px, thumbnail_px), Image.Resampling.LANCZOS)
        thumbnails.append((tile, np.asarray(image)))
    columns = min(columns, len(thumbnails))
    rows = -(-len(thumbnails) // columns)
    side_in = 1.05 * thumbnail_px / figures.DPI
    # Of a square's side, what the tallest image of each row needs.
    tall = [image_HW3.shape[0] / max(image_HW3.shape[:2]) for _, image_HW3 in thumbnails]
    tallest = [max(tall[row * columns : (row + 1) * columns]) for row in range(rows)]
    heights_in = [side_in * share + 0.65 for share in tallest]
    width_in = max((side_in + 0.2) * columns, 5.5)
    if legend:
        entry_in = max(map(len, legend)) * _SMALL_TYPE * _WIDTH_OF_A_LETTER / 72 + 0.6
        legend_columns = max(1, min(len(legend), int(width_in / entry_in)))
        heights_in.append(0.2 * -(-len(legend) // legend_columns) + 0.1)
    sentences = textwrap.wrap(below, int(width_in * 72 / (_SMALL_TYPE * _WIDTH_OF_A_LETTER)))
    made = figures.figure(width_in, sum(heights_in) + 0.65 + 0.15 * len(sentences))
    grid = made.add_gridspec(len(heights_in), columns, height_ratios=heights_in)
    made.suptitle(heading, x=0.02, ha="left", fontsize=13, fontweight="bold")
    made.supxlabel("\n".join(sentences), x=0.02, ha="left", fontsize=_SMALL_TYPE, color="#444444")
    for number, (tile, thumbnail_HW3) in enumerate(thumbnails):
        row, column = divmod(number, columns)
        axes = made.add_subplot(grid[row, column])
        axes.imshow(thumbnail_HW3, interpolation="nearest")
        height, width, _ = thumbnail_HW3.shape
        side = max(height, width)
        # The image stands at the foot of its place, so that lines of text stand in rows.
        axes.set_xlim((width - side) / 2 - 0.5, (width + side) / 2 - 0.5)
        axes.set_ylim(height - 0.5, height - side * tallest[row] - 0.5)
        axes.set_axis_off()
        lines = [
            (tile.predicted, BLUE if tile.right else VERMILION),
            (tile.true, "black"),
            (figures.label(tile.file, limit=30), GREY),
        ]
        for line, (text, colour) in enumerate(lines):
            axes.annotate(
                text, (0.5, 0), (0, -4 - 11 * line), xycoords="axes fraction",
                textcoords="offset points", ha="center", va="top", fontsize=8, color=colour,
                parse_math=False,
            )  # fmt: skip
    if legend:
        _colour_legend(made.add_subplot(grid[rows, :]), legend, legend_columns)
    return figures.png(made)


def _colour_legend(axes: Axes, legend: Mapping[str, Colour], columns: int) -> None:
    """Name colours in a place of their own."""
    axes.set_axis_off()
    drawn = axes.legend(
        handles=[
            Patch(facecolor=(red / 255, green / 255, blue / 255), label=name)
            for name, (red, green, blue) in legend.items()
        ],
        loc="upper left",
        ncols=columns,
        frameon=False,
        fontsize=_SMALL_TYPE,
        borderaxespad=0,
    )
    drawn.set_in_layout(False)  # There is room: it must not push the images aside.
    for text in drawn.get_texts():
        text.set_parse_math(False)
