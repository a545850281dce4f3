"""What an evaluation of a classifier consists of: metrics, plots, and a row for each image.

Shape letters: N images, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import Internal
from common.metrics import figures, plots
from common.metrics.calibration import probabilities
from common.metrics.classification import classification_metrics, reliability
from common.reasons import Reason
from common.training.learner import Measurement
from nocode.vision.v1 import evaluation_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from common.training.learner import ImageSource, Sample
    from nocode.vision.v1 import model_pb2

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

SHEET_SIZE = 20


def measure(
    samples: Sequence[Sample], model: model_pb2.Model, image: ImageSource, *, seed: int = 0
) -> Measurement:
    """Evaluate a classifier on images whose classes are known.

    Args:
        samples: At least one; outputs are logits, annotations `{"label": index}`.
        model: Gives classes and temperature.
        image: Where the images of the sheet come from.
        seed: Of the bootstrap.

    Raises:
        Internal: The network gave something else than finite numbers.
    """
    label_N = np.array([sample.annotation["label"] for sample in samples], dtype=np.int64)
    logits_NC = np.stack([np.asarray(sample.output, dtype=np.float32) for sample in samples])
    _check_finite(logits_NC, samples)
    probability_NC = probabilities(logits_NC, model.temperature or 1.0)
    metrics = classification_metrics(label_N, probability_NC, list(model.classes), seed=seed)
    return Measurement(
        metrics=evaluation_pb2.Evaluation(classification=metrics),
        plots=[
            ("Confusion matrix", plots.confusion_matrix(metrics.confusion_matrix)),
            ("Precision, recall and F1 by class", plots.per_class(metrics.per_class)),
            ("Reliability", plots.reliability_diagram(reliability(label_N, probability_NC))),
            _sheet(samples, label_N, probability_NC, list(model.classes), image),
        ],
        rows=_rows(samples, label_N, probability_NC, list(model.classes)),
    )


def _check_finite(logits_NC: NDArray[np.float32], samples: Sequence[Sample]) -> None:
    bad_N = ~np.isfinite(logits_NC).all(axis=1)
    if bad_N.any():
        example = samples[int(bad_N.argmax())].file
        raise Internal(
            Reason.DIVERGED,
            f"The model's answer for {int(bad_N.sum())} of {len(samples)} images, e.g. {example}, "
            "is not a finite number. Train it again, with a lower learning rate.",
            example=example,
        )


def _rows(
    samples: Sequence[Sample], label_N: Ints, probability_NC: Floats, classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield what was predicted for each image; `probabilities` are in the order of the classes.

    Numbers are not rounded: whoever measures them gets the metrics to the last digit.
    """
    predicted_N = probability_NC.argmax(axis=1)
    for sample, label, predicted, probability_C in zip(
        samples, label_N.tolist(), predicted_N.tolist(), probability_NC, strict=True
    ):
        yield {
            "index": sample.index,
            "file": sample.file,
            "label": label,
            "class": classes[label],
            "predicted_label": predicted,
            "predicted_class": classes[predicted],
            "probabilities": probability_C.tolist(),
        }


def _sheet(
    samples: Sequence[Sample],
    label_N: Ints,
    probability_NC: Floats,
    classes: Sequence[str],
    image: ImageSource,
) -> tuple[str, bytes]:
    """Draw the most confident mistakes or, where there are none, the least certain answers."""
    predicted_N, confidence_N = probability_NC.argmax(axis=1), probability_NC.max(axis=1)
    order = np.argsort(-confidence_N, kind="stable")
    wrong = order[predicted_N[order] != label_N[order]]
    if len(wrong):
        heading, shown = "Most confident mistakes", wrong[:SHEET_SIZE]
        below = f"{len(shown):,} of {len(wrong):,} mistakes on {len(samples):,} images"
    else:
        heading, shown = "Least certain answers", order[::-1][:SHEET_SIZE]
        below = f"All {len(samples):,} images were classified right, these with most doubt"
    names = figures.labels(classes, limit=18)

    def tile(number: int) -> plots.Tile:
        label, predicted = label_N[number], predicted_N[number]
        return plots.Tile(
            image_HW3=image.load(samples[number].index),
            predicted=f"predicted {names[predicted]}, {confidence_N[number]:.0%}",
            right=bool(label == predicted),
            true=f"true {names[label]}, {probability_NC[number, label]:.0%}",
            file=samples[number].file,
        )

    return heading, plots.image_sheet(heading, below, (tile(int(number)) for number in shown))
