"""What an evaluation of an instance segmenter consists of."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.errors import Internal
from common.training.learner import ImageSource, Sample
from nocode.vision.v1 import model_pb2
from services.segmentation.instance.evaluation import condense, measure
from tests.services.segmentation.instance.made import annotation, detections

TWELVE = [
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
]
CLASSES = ["cat", "dog", "eel"]
SIZE_PX, WIDTH, HEIGHT = 320, 500, 600
MODEL = model_pb2.Model(classes=CLASSES, score_thresholds=[0.3, 0.4, 0.5])
MODEL.preprocessing.image_size_px = SIZE_PX
SCALE = np.tile([267 / WIDTH, 320 / HEIGHT], 2)


class Noise(ImageSource):
    """Pictures of the size of the samples."""

    def load(self, index):
        return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def sample(number, objects, found):
    """Objects and detections in pixels of the image; the network sees the latter smaller."""
    given = detections(*[(tuple(np.array(box) * SCALE), *rest) for box, *rest in found])
    return Sample(
        7 + number,
        f"{number}.jpg",
        annotation(objects, WIDTH, HEIGHT),
        condense(given, MODEL, WIDTH, HEIGHT),
        WIDTH,
        HEIGHT,
    )


def samples(seed=0, image_count=20):
    """Each with a few objects, most of them found, some twice or a bit off; some are crowds."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(image_count):
        objects, found = [], []
        for _ in range(rng.integers(0, 6)):
            low = rng.uniform(0, 350, 2)
            box = np.concatenate([low, low + np.exp(rng.uniform(np.log(12), np.log(140), 2))])
            label = int(rng.integers(0, 2))
            marks = [("crowd",), ("difficult",), (), (), (), (), (), ()][rng.integers(0, 8)]
            objects.append((tuple(box.tolist()), label, *marks))
            for _ in range(rng.integers(0, 3)):
                off = np.tile(box[2:] - box[:2], 2) * rng.normal(0, 0.08, 4)
                moved = np.clip(box + off, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
                found.append((moved, label if rng.random() < 0.8 else 2, rng.random()))
        found.sort(key=lambda one: -one[2])
        made.append(sample(number, objects, found))
    return made


def pycocotools(rows, kind):
    """Its twelve numbers, from the rows as they were written."""
    annotations = [
        {
            "id": number,
            "image_id": row["index"],
            "category_id": one["label"],
            "bbox": _xywh(one["box"]),
            # A difficult object is outside of all ranges of area, see `common.metrics.coco`.
            "area": -1.0 if one.get("difficult") else one["area"],
            "iscrowd": int(one.get("crowd", False)),
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": one["counts"]},
        }
        for number, (row, one) in enumerate(
            ((row, one) for row in rows for one in row["truth"]), start=1
        )
    ]
    results = [
        {
            "image_id": row["index"],
            "category_id": one["label"],
            "score": one["score"],
        }
        | (
            {"bbox": _xywh(one["box"])}
            if kind == "bbox"
            else {"segmentation": {"size": [HEIGHT, WIDTH], "counts": one["counts"]}}
        )
        for row in rows
        for one in row["objects"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": row["index"], "width": WIDTH, "height": HEIGHT} for row in rows],
            "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES)],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def _xywh(box):
    xmin, ymin, xmax, ymax = box
    return [xmin, ymin, xmax - xmin, ymax - ymin]


def test_all_twelve_of_boxes_and_of_masks_equal_pycocotools_on_the_rows():
    """The rows survive JSON without losing a digit."""
    evaluated = measure(samples(), MODEL, Noise())

    rows = [json.loads(json.dumps(row)) for row in evaluated.rows]
    metrics = evaluated.metrics.instance_segmentation
    by_mask = [getattr(metrics.mask, name) for name in TWELVE]
    by_box = [getattr(metrics.box, name) for name in TWELVE]
    assert by_mask == pytest.approx(pycocotools(rows, "segm"), abs=1e-9)
    assert by_box == pytest.approx(pycocotools(rows, "bbox"), abs=1e-9)
    assert by_mask != by_box
    assert 0.2 < metrics.mask.ap50 < 0.99


def test_it_has_every_part():
    evaluated = measure(samples(image_count=8), MODEL, Noise(), seed=3)

    metrics = evaluated.metrics.instance_segmentation
    for one in (metrics.box, metrics.mask):
        assert [each.class_name for each in one.per_class] == CLASSES
        assert set(one.confidence_intervals) == {"ap", "ap50", "ap75"}
    assert list(metrics.confusion_matrix.class_names) == [*CLASSES, "background"]
    assert [title for title, _ in evaluated.plots] == [
        "Precision and recall of masks",
        "F1 against score threshold of masks",
        "Average precision by class of masks",
        "Confusion matrix of masks",
        "Precision and recall of boxes",
        "F1 against score threshold of boxes",
        "Average precision by class of boxes",
        "Worst images",
    ]
    again = measure(samples(image_count=8), MODEL, Noise(), seed=3)
    assert again.metrics == evaluated.metrics
    assert again.plots == evaluated.plots


def test_masks_decide_where_boxes_would_not():
    """A box that is right around a mask that is not: the mask fills a corner of it."""
    box = (100, 100, 200, 200)
    corner_MM = np.zeros((28, 28))
    corner_MM[:10, :10] = 1
    output = detections((tuple(np.array(box) * SCALE), 0, 0.9), cells_MM=corner_MM)
    made = Sample(
        0, "a.jpg", annotation([(box, 0)], WIDTH, HEIGHT),
        condense(output, MODEL, WIDTH, HEIGHT), WIDTH, HEIGHT,
    )  # fmt: skip

    metrics = measure([made], MODEL, Noise()).metrics.instance_segmentation

    assert metrics.box.ap50 == pytest.approx(1)
    assert metrics.mask.ap50 == 0
    counts = np.array([row.counts for row in metrics.confusion_matrix.rows])
    assert (counts[0, 3], counts[3, 0], counts.sum()) == (1, 1, 2)


@pytest.mark.parametrize("is_found", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_one_image_with_or_without_objects_and_detections(is_there, is_found):
    box = (50, 60, 140, 170)
    made = sample(0, [(box, 1)] if is_there else [], [(box, 1, 0.9)] if is_found else [])

    evaluated = measure([made], MODEL, Noise())

    metrics = evaluated.metrics.instance_segmentation
    assert metrics.mask.ap50 == pytest.approx(float(is_found) if is_there else -1)
    assert len(evaluated.plots) == (8 if is_there else 2)
    (row,) = evaluated.rows
    assert (len(row["truth"]), len(row["objects"])) == (is_there, is_found)


def test_what_an_evaluation_keeps_of_an_image_is_small():
    """500 masks as the network gives them have 1.6 megabytes; here all are 2000 pixels tall."""
    boxes = [((5 + 0.4 * n, 60, 60 + 0.4 * n, 220), 0, 1 - n / 1000) for n in range(500)]

    kept = condense(detections(*boxes), MODEL, 4000, 4000)

    assert sum(len(mask["counts"]) for mask in kept.masks_K) < 0.8e6
    assert kept.found.masks_KMM is None
    assert kept.found.spans_K4 is None


@pytest.mark.parametrize("field", ["boxes_K4", "scores_K", "masks_KMM"])
def test_answers_that_are_no_numbers_are_named(field):
    """Not measured as if they were detections."""
    output = detections(((10, 10, 50, 50), 0, 0.9))
    getattr(output, field)[0] = np.nan
    note = annotation([], WIDTH, HEIGHT)
    bad = Sample(0, "bad.jpg", note, condense(output, MODEL, WIDTH, HEIGHT), WIDTH, HEIGHT)

    with pytest.raises(Internal, match=r"1 of 4 images, e.g. bad.jpg") as raised:
        measure([*samples(image_count=3), bad], MODEL, Noise())

    assert raised.value.reason == "DIVERGED"
