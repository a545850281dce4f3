"""Objects and detections for tests, and what pycocotools says of them."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.objects.targets import Detections, Truth


def truth(*objects):
    """An image's truth from (box, label) or (box, label, mark); area is that of the box."""
    boxes = np.array([one[0] for one in objects], dtype=np.float32).reshape(-1, 4)
    marks = [one[2] if len(one) > 2 else "" for one in objects]
    return Truth(
        boxes_K4=boxes,
        labels_K=np.array([one[1] for one in objects], dtype=np.int64),
        crowd_K=np.array([mark == "crowd" for mark in marks], dtype=bool),
        difficult_K=np.array([mark == "difficult" for mark in marks], dtype=bool),
        area_K=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )


def detections(*found):
    """An image's detections from (box, label, score), highest scores first."""
    return Detections(
        boxes_K4=np.array([one[0] for one in found], dtype=np.float32).reshape(-1, 4),
        labels_K=np.array([one[1] for one in found], dtype=np.int64),
        scores_K=np.array([one[2] for one in found], dtype=np.float32),
    )


def make(
    seed,
    *,
    image_count=40,
    class_count=4,
    objects=5,
    most=40,
    ties=False,
    crowd=0.06,
    difficult=0.1,
):
    """Random images: some empty, some without detections, crowds, objects of all sizes.

    With `ties`, coordinates and scores are coarse, so that many overlaps and scores are equal. The
    last class has no true object.
    """
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(image_count):
        count = rng.poisson(objects) * int(rng.random() > 0.1)
        low = rng.uniform(0, 320, (count, 2))
        boxes = np.hstack([low, low + np.exp(rng.uniform(np.log(6), np.log(240), (count, 2)))])
        labels = rng.integers(0, max(class_count - 1, 1), count)
        boxes = _tidy(boxes, ties)
        truths.append(
            Truth(
                boxes,
                labels,
                rng.random(count) < crowd,
                rng.random(count) < difficult,
                (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * 0.8).astype(np.float32),
            )
        )
        found.append(_find(rng, boxes, labels, class_count, most, ties))
    return truths, found


def _find(rng, boxes, labels, class_count, most, ties):
    count = int(rng.integers(0, most + 1)) * int(rng.random() > 0.1)
    low = rng.uniform(0, 320, (count, 2))
    made = np.hstack([low, low + rng.uniform(5, 200, (count, 2))])
    given = rng.integers(0, class_count, count)
    if len(boxes):
        near = np.flatnonzero(rng.random(count) < 0.8)
        which = rng.integers(0, len(boxes), len(near))
        sides = np.tile(boxes[which, 2:] - boxes[which, :2], 2)
        spread = rng.choice([0.02, 0.1, 0.3], (len(near), 1))
        made[near] = boxes[which] + rng.normal(0, 1, (len(near), 4)) * spread * sides
        given[near] = np.where(rng.random(len(near)) < 0.8, labels[which], given[near])
    scores = np.sort(rng.random(count))[::-1]
    scores = np.round(scores * 8) / 8 if ties else scores
    return Detections(_tidy(made, ties), given, scores.astype(np.float32))


def _tidy(boxes, ties):
    step = 16 if ties else 1e-3
    boxes = np.round(boxes / step) * step
    return np.hstack([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + step)]).astype(
        np.float32
    )


def pycocotools(truths, found, class_count, *, max_detections=100, masks=None):
    """The evaluation of pycocotools, accumulated; difficult objects have area -1."""
    annotations, results = [], []
    for image, (one, two) in enumerate(zip(truths, found, strict=True)):
        for number, label in enumerate(one.labels_K.tolist()):
            crowd, difficult = bool(one.crowd_K[number]), bool(one.difficult_K[number])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": label,
                    "iscrowd": int(crowd),
                    "area": -1.0 if difficult and not crowd else float(one.area_K[number]),
                    **_shape(one.boxes_K4[number], masks and masks.true[image][number]),
                }
            )
        for number, label in enumerate(two.labels_K.tolist()):
            results.append(
                {
                    "image_id": image,
                    "category_id": label,
                    "score": float(two.scores_K[number]),
                    **_shape(two.boxes_K4[number], masks and masks.found[image][number]),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO()
        true.dataset = {
            "images": [{"id": image, "height": 400, "width": 400} for image in range(len(truths))],
            "categories": [{"id": index} for index in range(class_count)],
            "annotations": annotations,
        }
        true.createIndex()
        evaluation = COCOeval(true, true.loadRes(results), "segm" if masks else "bbox")
        evaluation.params.maxDets = [1, 10, max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _shape(box, mask):
    if mask:
        return {"segmentation": mask}
    xmin, ymin, xmax, ymax = box.tolist()
    return {"bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
