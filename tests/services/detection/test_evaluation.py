"""What an evaluation of a detector consists of."""

import contextlib
import io
import json

import numpy as np
import pytest

from common.errors import Internal
from common.objects import targets
from common.training.learner import ImageSource, Sample
from nocode.vision.v1 import model_pb2
from services.detection.evaluation import measure
from tests.common.metrics.made_objects import make, pycocotools

TWELVE = [
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
]
CLASSES = ["cat", "dog", "eel", "fox"]
SIZE_PX = 320
MODEL = model_pb2.Model(classes=CLASSES, score_thresholds=[0.3, 0.4, 0.5, 0.6])
MODEL.preprocessing.image_size_px = SIZE_PX


class Noise(ImageSource):
    """Pictures of the size of the samples."""

    def load(self, index):
        return np.random.default_rng(index).integers(0, 256, (600, 500, 3), dtype=np.uint8)


def samples(seed=0, image_count=30):
    """Images of 500×600 pixels; what was found is in pixels of the letterbox."""
    truths, found = make(seed, image_count=image_count)
    made = []
    for number, (true, one) in enumerate(zip(truths, found, strict=True)):
        objects = [
            {"label": label, "box": box, "area": area}
            | ({"crowd": True} if crowd else {})
            | ({"difficult": True} if difficult else {})
            for label, box, area, crowd, difficult in zip(
                *(getattr(true, field).tolist() for field in (
                    "labels_K", "boxes_K4", "area_K", "crowd_K", "difficult_K"
                )),
                strict=True,
            )
        ]  # fmt: skip
        scale = np.tile(np.array([267 / 500, 320 / 600], dtype=np.float32), 2)
        inside = targets.Detections(one.boxes_K4 * scale, one.labels_K, one.scores_K)
        made.append(Sample(7 + number, f"{number}.jpg", {"objects": objects}, inside, 500, 600))
    return made


def test_metrics_equal_pycocotools_on_the_rows():
    """In pixels of the image as sent; the rows survive JSON without losing a digit."""
    evaluated = measure(samples(), MODEL, Noise())

    rows = [json.loads(json.dumps(row)) for row in evaluated.rows]
    truths = [targets.truth({"objects": row["truth"]}) for row in rows]
    found = [
        targets.Detections(
            np.array([one["box"] for one in row["objects"]], dtype=np.float32).reshape(-1, 4),
            np.array([one["label"] for one in row["objects"]], dtype=np.int64),
            np.array([one["score"] for one in row["objects"]], dtype=np.float32),
        )
        for row in rows
    ]
    reference = pycocotools(truths, found, 4)
    with contextlib.redirect_stdout(io.StringIO()):
        reference.summarize()
    precision_TRC = reference.eval["precision"][..., 0, -1]
    box = evaluated.metrics.detection.box
    assert [getattr(box, name) for name in TWELVE] == pytest.approx(reference.stats, abs=1e-9)
    for number, one in enumerate(box.per_class):
        assert one.ap == pytest.approx(precision_TRC[:, :, number].mean(), abs=1e-9)
        assert one.ap50 == pytest.approx(precision_TRC[0, :, number].mean(), abs=1e-9)
    for number, one in enumerate(box.ap_at_iou):
        values = precision_TRC[number]
        assert one.ap == pytest.approx(values[values > -1].mean(), abs=1e-9)
    assert [row["index"] for row in rows] == list(range(7, 37))
    assert {(row["width"], row["height"]) for row in rows} == {(500, 600)}
    for one in (one for row in rows for one in row["objects"] + row["truth"]):
        assert one["class"] == CLASSES[one["label"]]


def test_boxes_are_those_of_the_image():
    """A box over the whole letterbox is cut at the border of the image."""
    whole = targets.Detections(
        np.array([[0, 0, 320, 320]], dtype=np.float32), np.array([1]), np.array([0.9], np.float32)
    )
    annotation = {"objects": [{"label": 1, "box": [0, 0, 500, 600]}]}

    evaluated = measure([Sample(0, "a.jpg", annotation, whole, 500, 600)], MODEL, Noise())

    (row,) = evaluated.rows
    assert row["objects"][0]["box"] == pytest.approx([0, 0, 500, 600], abs=1e-3)
    assert evaluated.metrics.detection.box.ap == pytest.approx(1)
    assert evaluated.metrics.detection.box.ap_large == pytest.approx(1)


def test_it_has_every_part():
    evaluated = measure(samples(image_count=12), MODEL, Noise(), seed=3)

    detection = evaluated.metrics.detection
    assert len(detection.box.per_class) == 4
    assert set(detection.box.confidence_intervals) == {"ap", "ap50", "ap75"}
    assert list(detection.confusion_matrix.class_names) == [*CLASSES, "background"]
    titles = [title for title, _ in evaluated.plots]
    assert titles == [
        "Precision and recall",
        "F1 against score threshold",
        "Average precision by class",
        "Confusion matrix",
        "Worst images",
    ]
    again = measure(samples(image_count=12), MODEL, Noise(), seed=3)
    assert again.metrics == evaluated.metrics
    assert again.plots == evaluated.plots


def nothing():
    return targets.Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
    )


@pytest.mark.parametrize("is_found", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_one_image_with_or_without_objects_and_detections(is_there, is_found):
    """Whatever is missing, there are numbers, -1 where there is nothing to find, and pictures."""
    found = targets.Detections(
        np.array([[0, 0, 32, 32]], dtype=np.float32), np.array([1]), np.array([0.9], np.float32)
    )
    sample = Sample(
        0,
        "a.jpg",
        {"objects": [{"label": 1, "box": [0, 0, 60, 60]}] if is_there else []},
        found if is_found else nothing(),
        500,
        600,
    )

    evaluated = measure([sample], MODEL, Noise())

    box = evaluated.metrics.detection.box
    expected = float(is_found) if is_there else -1
    assert (box.ap, box.ap_medium, box.ar_100) == pytest.approx((expected,) * 3)
    assert (box.ap_small, box.ap_large, box.ar_small, box.ar_large) == (-1,) * 4
    assert [one.ap for one in box.per_class] == pytest.approx([-1, expected, -1, -1])
    assert set(box.confidence_intervals) == ({"ap", "ap50", "ap75"} if is_there else set())
    counts = np.array([row.counts for row in evaluated.metrics.detection.confusion_matrix.rows])
    assert counts.sum() == (is_there or is_found)
    assert len(evaluated.plots) == (5 if is_there else 2)
    (row,) = evaluated.rows
    assert (len(row["truth"]), len(row["objects"])) == (is_there, is_found)


@pytest.mark.parametrize("field", ["boxes_K4", "scores_K"])
def test_answers_that_are_no_numbers_are_named(field):
    """Not measured as if they were detections."""
    made = samples(image_count=8)
    broken = next(one for one in made if len(one.output))
    getattr(broken.output, field)[0] = np.nan

    with pytest.raises(Internal, match=f"1 of 8 images, e.g. {broken.file}") as raised:
        measure(made, MODEL, Noise())

    assert raised.value.reason == "DIVERGED"
