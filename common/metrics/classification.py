"""How well whole images are classified.

Shape letters: N images, C classes, K kinds of image (see `common.metrics.bootstrap`),
R resamples, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn import metrics as sklearn_metrics

from common.metrics.bootstrap import RESAMPLE_COUNT, percentile_intervals
from nocode.vision.v1 import evaluation_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

TOP_K = (1, 3, 5)
BIN_COUNT = 15


def classification_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    resample_count: int = RESAMPLE_COUNT,
) -> pb.ClassificationMetrics:
    """Measure predicted probabilities against the true classes.

    An image is given its likeliest class; of several that are equally likely, the first. A
    fraction of nothing counts as 0. Accuracy, precision, recall, F1, confusion matrix and log
    loss are those of scikit-learn; top-k differs from it only between equally likely classes.

    Args:
        labels: The true classes (N,), in [0, C).
        probabilities: For each image and class (N, C), finite, each row adding up to 1.
        class_names: The C names.
        seed: Of the bootstrap.
        resample_count: Of the bootstrap.

    Raises:
        ValueError: There is no image, there are fewer than two classes, shapes do not match, a
            label is not a class, or a probability is not a finite number.
    """
    label_N, probability_NC = _checked(labels, probabilities, len(class_names))
    predicted_N = probability_NC.argmax(axis=1)
    rank_N = rank_of_truth(label_N, probability_NC)
    ks = [k for k in TOP_K if k < len(class_names)]
    confusion_CC = sklearn_metrics.confusion_matrix(
        label_N, predicted_N, labels=range(len(class_names))
    )
    result = pb.ClassificationMetrics(
        accuracy=sklearn_metrics.accuracy_score(label_N, predicted_N),
        macro=_average(label_N, predicted_N, "macro"),
        weighted=_average(label_N, predicted_N, "weighted"),
        per_class=_per_class(label_N, predicted_N, class_names),
        top_k=[
            pb.ClassificationMetrics.TopKAccuracy(k=k, accuracy=float(np.mean(rank_N < k)))
            for k in ks
        ],
        confusion_matrix=pb.ConfusionMatrix(
            class_names=class_names,
            rows=[pb.ConfusionMatrix.Row(counts=row) for row in confusion_CC.tolist()],
        ),
        log_loss=sklearn_metrics.log_loss(label_N, probability_NC, labels=range(len(class_names))),
        expected_calibration_error=expected_calibration_error(label_N, probability_NC),
    )
    kinds_K, counts_K = np.unique(
        np.stack([label_N, predicted_N, np.minimum(rank_N, max(ks))], axis=1),
        axis=0,
        return_counts=True,
    )
    statistics = _Statistics(kinds_K, len(class_names), ks)
    intervals = percentile_intervals(counts_K, statistics, seed=seed, resample_count=resample_count)
    for name, (low, high) in intervals.items():
        result.confidence_intervals[name].CopyFrom(pb.ConfidenceInterval(low=low, high=high))
    return result


def rank_of_truth(label_N: Ints, probability_NC: Floats) -> Ints:
    """Count, for each image, the classes guessed before the true one; 0 if that is guessed first.

    Classes are guessed from the likeliest down; of several that are equally likely, the first
    goes first. So the first guess is always `argmax`, and top-1 accuracy is accuracy.
    """
    true_N1 = np.take_along_axis(probability_NC, label_N[:, None], axis=1)
    before_NC = np.arange(probability_NC.shape[1]) < label_N[:, None]
    guessed_NC = (probability_NC > true_N1) | ((probability_NC == true_N1) & before_NC)
    return np.asarray(guessed_NC.sum(axis=1))


@dataclass(frozen=True)
class Reliability:
    """Images sorted into bins by the probability of the class they were given.

    Attributes:
        count_B: Images in each bin.
        confidence_B: Their mean probability; NaN in an empty bin.
        accuracy_B: The fraction of them classified right; NaN in an empty bin.
    """

    count_B: Ints
    confidence_B: Floats
    accuracy_B: Floats

    @property
    def expected_calibration_error(self) -> float:
        """Mean over images of the gap between confidence and accuracy in their bin."""
        gap_B = np.abs(self.confidence_B - self.accuracy_B)
        return float(np.nansum(gap_B * self.count_B) / self.count_B.sum())


def reliability(
    label_N: Ints, probability_NC: Floats, *, bin_count: int = BIN_COUNT
) -> Reliability:
    """Sort images into `bin_count` bins of equal width, each with its upper edge, not its lower.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017,
    section 2, https://arxiv.org/abs/1706.04599
    """
    confidence_N = probability_NC.max(axis=1)
    right_N = probability_NC.argmax(axis=1) == label_N
    edges = np.linspace(0, 1, bin_count + 1)
    bin_N = np.digitize(confidence_N, edges[1:-1], right=True)
    count_B = np.bincount(bin_N, minlength=bin_count)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean: NaN
        return Reliability(
            count_B,
            np.bincount(bin_N, weights=confidence_N, minlength=bin_count) / count_B,
            np.bincount(bin_N, weights=right_N, minlength=bin_count) / count_B,
        )


def expected_calibration_error(
    label_N: Ints, probability_NC: Floats, *, bin_count: int = BIN_COUNT
) -> float:
    """Return the mean gap between confidence and accuracy; see `reliability`."""
    return reliability(label_N, probability_NC, bin_count=bin_count).expected_calibration_error


class _Statistics:
    """Accuracy, averages and top-k of many resamples at once.

    Args:
        kinds_K: True class, predicted class and rank of the true class, (K, 3).
        class_count: C.
        ks: Guesses of the top-k accuracies.
    """

    def __init__(self, kinds_K: Ints, class_count: int, ks: Sequence[int]) -> None:
        label_K, predicted_K, self._rank_K = kinds_K.T
        self._ks = ks
        self._label_KC = _one_hot(label_K, class_count)
        self._predicted_KC = _one_hot(predicted_K, class_count)
        self._hit_KC = self._label_KC.multiply(self._predicted_KC).tocsr()

    def __call__(self, counts_RK: Ints) -> dict[str, Floats]:
        true_RC = counts_RK @ self._label_KC
        predicted_RC = counts_RK @ self._predicted_KC
        hits_RC = counts_RK @ self._hit_KC
        image_count_R = counts_RK.sum(axis=1)
        by_class = {
            "precision": _fraction(hits_RC, predicted_RC),
            "recall": _fraction(hits_RC, true_RC),
            "f1": _fraction(2 * hits_RC, true_RC + predicted_RC),
        }
        present_RC = (true_RC + predicted_RC) > 0
        values = {"accuracy": hits_RC.sum(axis=1) / image_count_R}
        for name, value_RC in by_class.items():
            values[f"macro.{name}"] = value_RC.sum(axis=1) / present_RC.sum(axis=1)
            values[f"weighted.{name}"] = (value_RC * true_RC).sum(axis=1) / image_count_R
        for k in self._ks:
            values[f"top_k.{k}"] = counts_RK @ (self._rank_K < k) / image_count_R
        return values


def _checked(labels: ArrayLike, probabilities: ArrayLike, class_count: int) -> tuple[Ints, Floats]:
    label_N = np.asarray(labels, dtype=np.int64)
    probability_NC = np.asarray(probabilities, dtype=np.float64)
    if label_N.size == 0:
        raise ValueError("there is no image to measure on")
    if class_count < 2:
        raise ValueError("a classifier has at least two classes")
    if probability_NC.shape != (len(label_N), class_count):
        raise ValueError(
            f"{len(label_N)} labels and {class_count} class names need probabilities of shape "
            f"{(len(label_N), class_count)}, not {probability_NC.shape}"
        )
    if label_N.min() < 0 or label_N.max() >= class_count:
        raise ValueError(f"a label is not in [0, {class_count})")
    if not np.isfinite(probability_NC).all():
        raise ValueError("a probability is not a finite number")
    return label_N, probability_NC


def _average(label_N: Ints, predicted_N: Ints, average: str) -> pb.ClassificationMetrics.Average:
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        label_N, predicted_N, average=average, zero_division=0
    )
    return pb.ClassificationMetrics.Average(precision=precision, recall=recall, f1=f1)


def _per_class(
    label_N: Ints, predicted_N: Ints, class_names: Sequence[str]
) -> list[pb.ClassificationMetrics.ClassMetrics]:
    columns = sklearn_metrics.precision_recall_fscore_support(
        label_N, predicted_N, labels=range(len(class_names)), average=None, zero_division=0
    )
    return [
        pb.ClassificationMetrics.ClassMetrics(
            class_name=name, precision=precision, recall=recall, f1=f1, support=int(support)
        )
        for name, precision, recall, f1, support in zip(class_names, *columns, strict=True)
    ]


def _fraction(numerator_RC: Ints, denominator_RC: Ints) -> Floats:
    """Divide; nothing of nothing is 0."""
    zeros_RC = np.zeros(numerator_RC.shape)
    return np.divide(numerator_RC, denominator_RC, out=zeros_RC, where=denominator_RC > 0)


def _one_hot(class_K: Ints, class_count: int) -> sparse.csr_array:
    ones_K = np.ones(len(class_K), dtype=np.int64)
    rows_K = np.arange(len(class_K))
    return sparse.csr_array((ones_K, (rows_K, class_K)), shape=(len(class_K), class_count))
