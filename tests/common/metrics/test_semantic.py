"""Metrics of pixels, against published numbers, scikit-learn, and counts by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn_metrics

from common.masks.label_maps import VOID
from common.metrics.semantic import Areas, confusion, confusion_cells

AVERAGES = [
    *("mean_iou", "mean_dice", "mean_class_accuracy", "pixel_accuracy", "micro_iou"),
    "frequency_weighted_iou",
]

# The example in the documentation of `mean_iou` in Hugging Face's `evaluate` (Apache-2.0), with
# the numbers published there: https://huggingface.co/spaces/evaluate-metric/mean_iou
PUBLISHED = [
    ([[1, 2], [3, 4], [5, 255]], [[0, 3], [5, 4], [6, 255]]),
    ([[2, 7], [9, 2], [3, 6]], [[1, 7], [9, 2], [3, 6]]),
    ([[2, 2, 3], [8, 2, 4], [3, 255, 2]], [[1, 2, 2], [8, 2, 1], [3, 255, 1]]),
]
PUBLISHED_IOU = [0, 0, 0.375, 0.4, 0.5, 0, 0.5, 1, 1, 1]
PUBLISHED_ACCURACY = [0, 0, 0.75, 0.6666666666666666, 1, 0, 0.5, 1, 1, 1]


def areas(predicted, true, class_count, void=VOID):
    return Areas.of(confusion(np.array([predicted]), np.array([true]), class_count, void))


def test_published_example():
    """Pixels of all images are pooled, and 255 is void."""
    found = Areas.of(sum(confusion(np.array(p), np.array(t), 10, void=255) for p, t in PUBLISHED))

    assert found.mean_iou == pytest.approx(0.47750000000000004, abs=1e-12)
    assert found.mean_class_accuracy == pytest.approx(0.5916666666666666, abs=1e-12)
    assert found.pixel_accuracy == pytest.approx(0.5263157894736842, abs=1e-12)
    assert found.iou_C == pytest.approx(PUBLISHED_IOU, abs=1e-12)
    assert found.accuracy_C == pytest.approx(PUBLISHED_ACCURACY, abs=1e-12)


@pytest.mark.parametrize(
    ("predicted", "true", "iou"),
    [
        pytest.param([0, 1, 1], [0, 1, 1], 1.0, id="all right"),
        # class 0: 1 hit of 2 in the union; class 1: 1 hit of 2
        pytest.param([0, 1, 1], [0, 1, 0], 0.5, id="one pixel off"),
        pytest.param([0, 1, 1], [0, 1, VOID], 1.0, id="void pixel not counted"),
        # class 0: 1 of 2; class 2, which is not true of any: 0
        pytest.param([0, 2], [0, 0], 0.25, id="a class that was only predicted counts"),
        pytest.param([0, 0], [0, 0], 1.0, id="classes that are nowhere do not"),
        pytest.param([0, 2], [VOID, VOID], np.nan, id="nothing to measure on"),
    ],
)
def test_mean_iou_by_hand(predicted, true, iou):
    assert areas(predicted, true, 3).mean_iou == pytest.approx(iou, nan_ok=True)


def test_every_number_by_hand():
    """Of 4 pixels of class 0 one is taken for 1, of 2 of class 1 one for 2; class 3 is nowhere."""
    found = areas([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 1, 1], 4)

    assert found.iou_C == pytest.approx([3 / 4, 1 / 3, 0, np.nan], nan_ok=True)
    assert found.dice_C == pytest.approx([6 / 7, 2 / 4, 0, np.nan], nan_ok=True)
    assert found.accuracy_C == pytest.approx([3 / 4, 1 / 2, np.nan, np.nan], nan_ok=True)
    assert found.precision_C == pytest.approx([1, 1 / 2, 0, np.nan], nan_ok=True)
    assert found.mean_iou == pytest.approx((3 / 4 + 1 / 3) / 3)
    assert found.mean_dice == pytest.approx((6 / 7 + 1 / 2) / 3)
    assert found.mean_class_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found.pixel_accuracy == pytest.approx(4 / 6)
    assert found.frequency_weighted_iou == pytest.approx((4 * 3 / 4 + 2 * 1 / 3) / 6)
    assert found.micro_iou == pytest.approx(4 / 8)


@st.composite
def pairs(draw):
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    predicted_HW = draw(hnp.arrays(np.int16, shape, elements=st.integers(0, 4)))
    true_HW = draw(hnp.arrays(np.int16, shape, elements=st.integers(-1, 4)))
    true_HW[0, 0] = draw(st.integers(0, 4))
    return predicted_HW, true_HW


@given(pairs())
def test_numbers_equal_those_of_scikit_learn(pair):
    predicted_HW, true_HW = pair
    is_known_HW = true_HW != VOID
    true, predicted = true_HW[is_known_HW], predicted_HW[is_known_HW]

    confusion_CC = confusion(predicted_HW, true_HW, 5)
    found = Areas.of(confusion_CC)

    reference_CC = sklearn_metrics.confusion_matrix(true, predicted, labels=range(5))
    assert (confusion_CC == reference_CC).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted only, or of one class
        expected = {
            "mean_iou": sklearn_metrics.jaccard_score(true, predicted, average="macro"),
            "mean_dice": sklearn_metrics.f1_score(true, predicted, average="macro"),
            "micro_iou": sklearn_metrics.jaccard_score(true, predicted, average="micro"),
            "frequency_weighted_iou": sklearn_metrics.jaccard_score(
                true, predicted, average="weighted"
            ),
            "mean_class_accuracy": sklearn_metrics.balanced_accuracy_score(true, predicted),
            "pixel_accuracy": sklearn_metrics.accuracy_score(true, predicted),
        }
    assert {name: float(getattr(found, name)) for name in AVERAGES} == pytest.approx(expected)


@given(pairs(), st.permutations(range(5)))
def test_numbers_do_not_depend_on_the_order_of_classes(pair, order):
    predicted_HW, true_HW = pair
    renamed = np.array([*order, VOID], dtype=np.int16)  # void, -1, stays

    one = Areas.of(confusion(predicted_HW, true_HW, 5))
    other = Areas.of(confusion(renamed[predicted_HW], renamed[true_HW], 5))

    for name in AVERAGES:
        assert getattr(one, name) == pytest.approx(getattr(other, name)), name


@given(pairs())
def test_iou_is_never_above_dice_and_both_are_fractions(pair):
    found = Areas.of(confusion(*pair, 5))

    assert 0 <= found.mean_iou <= found.mean_dice <= 1
    assert found.micro_iou == pytest.approx(found.pixel_accuracy / (2 - found.pixel_accuracy))


@pytest.mark.parametrize("class_count", [3, 300, 3000])
def test_any_number_of_classes_is_counted_the_same(class_count):
    """Over blocks of pixels, and sorted where a table of pairs would be larger than the image."""
    rng = np.random.default_rng(class_count)
    true_HW = rng.integers(-1, class_count, (400, 500)).astype(np.int16)
    predicted_HW = np.where(rng.random(true_HW.shape) < 0.5, true_HW, 1).astype(np.int16)

    cells = confusion_cells(predicted_HW, true_HW, class_count)

    is_known_HW = true_HW != VOID
    both_2K, pixels_K = np.unique(
        np.stack([true_HW[is_known_HW], predicted_HW[is_known_HW]]), axis=1, return_counts=True
    )
    assert (np.stack([cells.true_K, cells.predicted_K]) == both_2K).all()
    assert (cells.pixels_K == pixels_K).all()


@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        pytest.param([[0, 1]], [[0], [1]], id="another shape"),
        pytest.param([[0, 2]], [[0, 1]], id="a prediction that is no class"),
        pytest.param([[0, -1]], [[0, 1]], id="no prediction"),
        pytest.param([[0, 1]], [[0, 2]], id="a truth that is no class"),
        pytest.param([[0, 1]], [[0, -2]], id="a truth that is neither class nor void"),
        pytest.param([[]], [[]], id="no pixel"),
    ],
)
def test_what_cannot_be_counted_is_refused(predicted, true):
    with pytest.raises(ValueError, match=r"shape|neither|no pixel"):
        confusion(np.array(predicted, dtype=int), np.array(true, dtype=int), 2)


def test_averages_are_taken_along_the_last_axis():
    """Many sets of counts at once give what each gives alone."""
    confusions = [confusion(np.array(p), np.array(t), 10, void=255) for p, t in PUBLISHED]
    each = [Areas.of(confusion_CC) for confusion_CC in confusions]
    together = Areas(
        *(
            np.stack([getattr(one, field) for one in each])
            for field in ("hits_C", "true_C", "predicted_C")
        )
    )

    for name in AVERAGES:
        assert getattr(together, name) == pytest.approx([float(getattr(one, name)) for one in each])
