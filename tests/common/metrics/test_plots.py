"""Pictures: the same bytes from the same numbers, nothing cut off, nothing on top of another."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from common.metrics import figures, plots
from common.metrics.calibration import probabilities
from common.metrics.classification import classification_metrics, reliability
from tests.common.metrics.reading import assert_readable, pixels, visible_texts

STRANGE = [
    "日本語",
    "$x^2$ naïve café",
    "a very long class name that goes on until 12",
    "кошка\n",
    "🐱",
]


def measure(class_count, names=None, image_count=600):
    rng = np.random.default_rng(class_count)
    labels = rng.integers(0, class_count, image_count)
    logits = rng.normal(size=(image_count, class_count))
    logits[np.arange(image_count), labels] += 2
    names = names or [f"kind {index}" for index in range(class_count)]
    return classification_metrics(labels, probabilities(logits), names, resample_count=2)


@pytest.mark.parametrize("class_count", [2, 7, 25, 100])
def test_confusion_matrix_is_readable(drawn, class_count):
    png = plots.confusion_matrix(measure(class_count).confusion_matrix)

    assert_readable(drawn[0])
    height, width, _ = pixels(png).shape
    assert max(height, width) < 2500


def test_confusion_matrix_of_a_thousand_classes_names_some_of_them(drawn):
    plots.confusion_matrix(measure(1000, image_count=3000).confusion_matrix)

    axes = drawn[0].axes[0]
    assert 40 <= len(axes.get_xticklabels()) <= 60
    assert "one in 17 is named" in axes.get_xlabel()


def test_confusion_matrix_shows_counts_and_fractions_of_the_row(drawn):
    """Of 4 cats 3 are right; no dog was seen."""
    labels, predicted = [0, 0, 0, 0], [0, 0, 0, 1]
    measured = classification_metrics(labels, np.eye(2)[predicted], ["cat", "dog"])

    plots.confusion_matrix(measured.confusion_matrix)

    texts = [text for text, _ in visible_texts(drawn[0])]
    assert "3\n75%" in texts
    assert "1\n25%" in texts
    assert "4 images, 3 on the diagonal are right" in texts
    shown = drawn[0].axes[0].get_images()[0].get_array()
    assert shown.tolist() == [[0.75, 0.25], [0, 0]]


@pytest.mark.parametrize("class_count", [2, 30])
def test_bars_are_readable_and_as_long_as_the_numbers(drawn, class_count):
    measured = measure(class_count)

    plots.per_class(measured.per_class)

    assert_readable(drawn[0])
    bars = {
        bars.get_label(): [bar.get_width() for bar in bars] for bars in drawn[0].axes[0].containers
    }
    worst_first = sorted(measured.per_class, key=lambda one: one.f1)
    assert bars["F1"] == [one.f1 for one in worst_first]
    assert sorted(bars["Recall"]) == sorted(one.recall for one in worst_first)


def test_bars_of_many_classes_are_those_of_the_worst(drawn):
    measured = measure(90)

    plots.per_class(measured.per_class)

    f1 = sorted(one.f1 for one in measured.per_class)
    shown = [bar.get_width() for bar in drawn[0].axes[0].containers[2]]
    assert shown == f1[: plots.MAX_BAR_CLASSES]
    assert any("The 40 of 90 classes with the lowest F1" in t for t, _ in visible_texts(drawn[0]))


def test_strange_names_are_drawn_without_a_warning(drawn):
    """Of any script, with signs that mean something to matplotlib, too long, with line breaks."""
    measured = measure(5, STRANGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.confusion_matrix(measured.confusion_matrix)
        plots.per_class(measured.per_class)

    for figure in drawn:
        assert_readable(figure)
    texts = [text for text, _ in visible_texts(drawn[0])]
    assert "$x^2$ naïve café" in texts
    assert "кошка" in texts
    assert "a very long cl…til 12" in texts or "a very long cl…ntil 12" in texts


def test_names_that_no_font_has_are_told_apart_by_their_index(monkeypatch):
    monkeypatch.setattr(figures, "_drawable", lambda: frozenset(map(ord, "abc 0123456789:□…")))

    assert figures.labels(["猫", "犬", "abc", "\u200b"]) == ["0: □", "1: □", "abc", "3:"]


def test_names_that_look_alike_once_shortened_get_their_index():
    names = [f"{'x' * 40}{number}{'y' * 40}" for number in range(2)]

    first, second = figures.labels(names)

    assert first.startswith("0: xxx")
    assert second.startswith("1: xxx")


def test_reliability_diagram_is_readable(drawn):
    rng = np.random.default_rng(0)
    shares = probabilities(rng.normal(scale=2, size=(500, 4)))
    bins = reliability(rng.integers(0, 4, 500), shares)

    plots.reliability_diagram(bins)

    assert_readable(drawn[0])
    heights = [bar.get_height() for bar in drawn[0].axes[0].containers[0]]
    assert heights == np.nan_to_num(bins.accuracy_B).tolist()


def test_training_curves_show_every_epoch(drawn):
    """At its number. A metric that an epoch lacks leaves a gap."""
    history = {
        1: {"loss": 2.0, "val_loss": 2.1, "val_accuracy": 0.3, "learning_rate": 0.1},
        2: {"loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.6, "learning_rate": 0.05},
        4: {"loss": 0.5},
    }

    plots.training_curves(history)

    assert_readable(drawn[0])
    lines = {line.get_label(): line for axes in drawn[0].axes for line in axes.get_lines()}
    assert set(lines) == {"loss", "val loss", "val accuracy", "learning rate"}
    assert lines["loss"].get_xydata().tolist() == [[1, 2.0], [2, 1.0], [4, 0.5]]
    assert np.isnan(lines["val accuracy"].get_ydata()[2])


def test_a_sheet_shows_each_image_with_its_lines(drawn):
    """Whatever the images' sizes, and with the colours that they have."""
    shapes = [(900, 600), (8, 8), (20, 300), (300, 20), (64, 64), (1, 1), (50, 40)]
    tiles = [
        plots.Tile(
            np.full((*shape, 3), (200, 30, 60), np.uint8), f"cat {n}, 98%", False, "dog", f"{n}.jpg"
        )
        for n, shape in enumerate(shapes)
    ]

    png = plots.image_sheet("Most confident mistakes", "7 of 9", iter(tiles))

    assert_readable(drawn[0])
    texts = {text for text, _ in visible_texts(drawn[0])}
    assert {f"cat {n}, 98%" for n in range(7)} <= texts
    assert {f"{n}.jpg" for n in range(7)} <= texts
    red = (pixels(png) == (200, 30, 60)).all(axis=2).mean()
    assert red > 0.1


def test_the_same_numbers_give_the_same_bytes():
    """And the file does not say when or by what it was made."""
    matrix = measure(4).confusion_matrix

    first = plots.confusion_matrix(matrix)

    assert plots.confusion_matrix(matrix) == first
    with Image.open(io.BytesIO(first)) as image:
        assert set(image.info) == {"dpi"}


@pytest.mark.parametrize("count", [1, 7, 60])
def test_colours_of_a_sheet_are_named(drawn, count):
    """In as many columns as there is room for; strange names are no formulas."""
    legend = {f"kind {index}": (index, 255 - index, 9) for index in range(count)}
    legend[STRANGE[1]] = (1, 2, 3)
    tile = plots.Tile(np.zeros((90, 120, 3), np.uint8), "0.5", False, "truth", "a.jpg")

    png = plots.image_sheet("Worst", "below", [tile] * 4, legend=legend)

    assert_readable(drawn[0])
    assert set(legend) <= {text for text, _ in visible_texts(drawn[0])}
    shown = pixels(png).reshape(-1, 3)
    assert all((shown == colour).all(axis=1).sum() > 20 for colour in legend.values())
