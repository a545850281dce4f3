"""What it takes to evaluate a detector, beside pycocotools: `make bench-evaluate`.

Makes images with true objects and detections, and measures them in processes of their own that take
turns: pycocotools with its twelve numbers; ours with those, AP and best F1 of every class, and the
confusion matrix; ours with bootstrap intervals, too; plots are left out. Read the ratios; they are
of processor time, since all work in one thread. Memory is how much more a process needed at its
peak than when it had made the objects.

    python -m benchmarks.evaluate [--images N] [--classes N] [--rounds N]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.objects.evaluation import evaluate
from common.objects.targets import Detections, Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_RATIO = 0.3
OBJECTS = 7
DETECTIONS = 100
_SIDE_PX = 640


class Made(NamedTuple):
    """The objects to measure."""

    truths: Sequence[Truth]
    detections: Sequence[Detections]
    class_count: int


def main() -> None:
    """Measure, print, and exit with status 1 if it is slower than promised, or numbers differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=list(WAYS))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(WAYS[options.child], make(options.images, options.classes))))
        return
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            runs[way].append(run(way, options.images, options.classes))
    reference = _median(runs["pycocotools"])
    first = runs["pycocotools"][0]
    print(f"{options.images} images, {options.classes} classes, {first['counts']}")
    for way, measured in runs.items():
        middle = _median(measured)
        print(
            f"{way}: {middle['seconds']:.1f} s, {middle['mib']:.0f} MiB; to pycocotools: "
            f"time {middle['seconds'] / reference['seconds']:.3f}, "
            f"memory {middle['mib'] / reference['mib']:.3f}"
        )
    difference = np.abs(np.subtract(runs["ours"][0]["numbers"], first["numbers"])).max()
    print(f"largest difference of the twelve numbers: {difference:.1e}")
    ratio = _median(runs["ours"])["seconds"] / reference["seconds"]
    sys.exit(ratio > MAX_RATIO or bool(difference > 1e-6))


def run(way: str, image_count: int, class_count: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.evaluate", f"--child={way}"]
    command += [f"--images={image_count}", f"--classes={class_count}"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(ran.stdout)
    return measured


def measure(way: Callable[[Made], list[float]], made: Made) -> dict[str, Any]:
    """Return the processor time it takes, the growth of the peak memory, and the twelve numbers."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    numbers = way(made)
    seconds = time.process_time() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    true, found = sum(map(len, made.truths)), sum(map(len, made.detections))
    return {
        "seconds": seconds,
        "mib": (after - before) / 1024,
        "numbers": numbers,
        "counts": f"{true} true objects, {found} detections",
    }


def make(image_count: int, class_count: int) -> Made:
    """Make true objects, and detections of them that are more or less right."""
    rng = np.random.default_rng(0)
    truths, detections = [], []
    for _ in range(image_count):
        size = rng.poisson(OBJECTS)
        low_K2 = rng.uniform(0, 0.8 * _SIDE_PX, (size, 2))
        side_K2 = np.exp(rng.uniform(np.log(8), np.log(0.5 * _SIDE_PX), (size, 2)))
        box_K4 = np.hstack([low_K2, low_K2 + side_K2]).astype(np.float32)
        label_K = rng.integers(0, class_count, size)
        no_K = np.zeros(size, dtype=bool)
        area_K = (side_K2.prod(axis=1) * 0.7).astype(np.float32)
        truths.append(Truth(box_K4, label_K, rng.random(size) < 0.01, no_K, area_K))
        detections.append(_found(rng, box_K4, label_K, class_count))
    return Made(truths, detections, class_count)


def _found(
    rng: np.random.Generator, box_K4: np.ndarray, label_K: np.ndarray, class_count: int
) -> Detections:
    """Make up to `DETECTIONS`: of each true object a few, else anywhere and of any class."""
    count = int(rng.integers(0, DETECTIONS + 1))
    low_D2 = rng.uniform(0, 0.8 * _SIDE_PX, (count, 2))
    found_D4 = np.hstack([low_D2, low_D2 + rng.uniform(8, 0.5 * _SIDE_PX, (count, 2))])
    label_D = rng.integers(0, class_count, count)
    if len(box_K4):
        of_true = np.flatnonzero(rng.random(count) < 0.3)
        which = rng.integers(0, len(box_K4), len(of_true))
        side_K2 = box_K4[which, 2:] - box_K4[which, :2]
        noise_K4 = rng.normal(0, 0.08, (len(of_true), 4)) * np.tile(side_K2, 2)
        found_D4[of_true] = box_K4[which] + noise_K4
        label_D[of_true] = label_K[which]
    found_D4[:, 2:] = np.maximum(found_D4[:, 2:], found_D4[:, :2] + 1)
    score_D = np.sort(rng.random(count))[::-1].astype(np.float32)
    return Detections(found_D4.astype(np.float32), label_D, score_D)


def ours(made: Made) -> list[float]:
    """Measure everything but intervals."""
    return _ours(made, seed=None)


def ours_with_intervals(made: Made) -> list[float]:
    """Measure everything."""
    return _ours(made, seed=0)


def _ours(made: Made, seed: int | None) -> list[float]:
    names = [f"class {number}" for number in range(made.class_count)]
    thresholds = [0.5] * made.class_count
    found = evaluate(made.truths, made.detections, names, thresholds, seed=seed).metrics
    precision = [found.ap, found.ap50, found.ap75, found.ap_small, found.ap_medium, found.ap_large]
    recall = [found.ar_1, found.ar_10, found.ar_100, found.ar_small, found.ar_medium]
    return [*precision, *recall, found.ar_large]


def pycocotools(made: Made) -> list[float]:
    """Measure the twelve numbers as everybody does."""
    from pycocotools.coco import COCO  # noqa: PLC0415 - only this child may pay for it
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    true = COCO()
    true.dataset = {
        "images": [{"id": image} for image in range(len(made.truths))],
        "categories": [{"id": index} for index in range(made.class_count)],
        "annotations": _annotations(made),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        true.createIndex()
        evaluation = COCOeval(true, true.loadRes(_results(made)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats: list[float] = evaluation.stats.tolist()
    return stats


def _annotations(made: Made) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for image, truth in enumerate(made.truths):
        for box, label, crowd, area in zip(
            truth.boxes_K4.tolist(),
            truth.labels_K.tolist(),
            truth.crowd_K.tolist(),
            truth.area_K.tolist(),
            strict=True,
        ):
            annotations.append(
                _entry(image, box, label)
                | {"id": len(annotations) + 1, "iscrowd": int(crowd), "area": area}
            )
    return annotations


def _results(made: Made) -> list[dict[str, Any]]:
    return [
        _entry(image, box, label) | {"score": score}
        for image, found in enumerate(made.detections)
        for box, label, score in zip(
            found.boxes_K4.tolist(), found.labels_K.tolist(), found.scores_K.tolist(), strict=True
        )
    ]


def _entry(image: int, box: list[float], label: int) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = box
    size = [xmin, ymin, xmax - xmin, ymax - ymin]
    return {"image_id": image, "category_id": label, "bbox": size}


def _median(measured: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        key: statistics.median(float(one[key]) for one in measured) for key in ("seconds", "mib")
    }


WAYS: dict[str, Callable[[Made], list[float]]] = {
    "pycocotools": pycocotools,
    "ours": ours,
    "ours with intervals": ours_with_intervals,
}


if __name__ == "__main__":
    main()
