"""Average precision and recall as COCO counts them.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014,
https://arxiv.org/abs/1405.0312, and its evaluation, https://cocodataset.org/#detection-eval.
Counted by faster-coco-eval (Apache-2.0), whose numbers are those of pycocotools.

Crowds: what is found inside counts neither as right nor as wrong, as `iscrowd` has it in COCO.
Difficult objects: COCO has none. They are given an area outside of every range, so COCO's own rule
for objects of other sizes applies to them: not finding one is no miss, and the detection that is
matched with one is left out; a second detection of the same one is false, though Pascal VOC would
leave it out, too.

Classes are counted one after the other. That gives the same numbers, since COCO never lets objects
of different classes meet, and the memory that is needed is that of the most frequent class.

Shape letters: T IoU thresholds, R levels of recall, C classes, A ranges of area, M limits on the
number of detections, G true objects, D detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle

from nocode.vision.v1 import evaluation_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from common.metrics.object_pool import Pool
    from common.objects.targets import Truth

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

IOU_T: Floats = np.linspace(0.5, 0.95, 10)
RECALL_R: Floats = np.linspace(0, 1, 101)
AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0, 1e5**2),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e5**2),
}
"""From and to, in pixels; both ends count in."""

DETECTION_LIMIT = 100
"""Detections of a class in an image that COCO looks at."""
LARGEST_DETECTION_LIMIT = 500
"""As many as a detector of ours gives."""

_OUTSIDE = -1.0
"""An area that no range has; see above on difficult objects."""


def choose_max_detections(truths: Sequence[Truth]) -> int:
    """Return how many detections of a class in an image to look at, by what there is to find.

    That is 100, as in COCO, so that numbers can be compared; but if an image has more objects of
    one class, of which 100 detections could never find all, it is their number, at most
    `LARGEST_DETECTION_LIMIT`.
    """
    most = max((np.bincount(one.labels_K).max() for one in truths if len(one)), default=0)
    return int(np.clip(most, DETECTION_LIMIT, LARGEST_DETECTION_LIMIT))


@dataclass(frozen=True)
class CocoCounts:
    """What COCO's numbers are means of; -1 where there is no true object.

    Attributes:
        precision_TRCA: The best precision at a recall or any higher one, in [0, 1], with the
            highest limit on detections.
        recall_TCAM: The recall reached with all detections, in [0, 1].
    """

    precision_TRCA: Floats
    recall_TCAM: Floats

    @property
    def ap_TC(self) -> Floats:
        """Average precision of each class at each IoU threshold, of objects of all sizes."""
        # The precisions of a class are all there or all -1.
        return np.asarray(self.precision_TRCA[..., 0].mean(axis=1))


def count_coco(
    pool: Pool,
    max_detections: int = DETECTION_LIMIT,
    *,
    areas: Sequence[str] = tuple(AREAS),
) -> CocoCounts:
    """Match detections with true objects and sum up.

    Args:
        pool: The objects; of their masks, if there are masks.
        max_detections: The highest of the limits, at least 10; the others are 1 and 10.
        areas: Of `AREAS`, "all" first.
    """
    limits = [1, 10, max_detections]
    precision_TRCA = np.full((len(IOU_T), len(RECALL_R), pool.class_count, len(areas)), -1.0)
    recall_TCAM = np.full((len(IOU_T), pool.class_count, len(areas), len(limits)), -1.0)
    true_order_G = np.argsort(pool.true_label_G, kind="stable")
    order_D = np.argsort(pool.label_D, kind="stable")
    classes = np.arange(pool.class_count + 1)
    true_ends = np.searchsorted(pool.true_label_G[true_order_G], classes)
    ends = np.searchsorted(pool.label_D[order_D], classes)
    for index in np.flatnonzero(pool.support()):
        evaluation = COCOeval_faster(
            _true_objects(pool, true_order_G[true_ends[index] : true_ends[index + 1]]),
            _detections(pool, order_D[ends[index] : ends[index + 1]]),
            "bbox" if pool.masks is None else "segm",
            print_function=_silent,
            rle_iou_max_workers=1,
        )
        evaluation.params.imgIds = sorted(
            evaluation.cocoGt.imgs.keys() | evaluation.cocoDt.imgs.keys()
        )
        evaluation.params.iouThrs = IOU_T
        evaluation.params.recThrs = RECALL_R
        evaluation.params.maxDets = limits
        evaluation.params.areaRng = [list(AREAS[area]) for area in areas]
        evaluation.params.areaRngLbl = list(areas)
        evaluation.evaluate()
        evaluation.accumulate()
        precision_TRCA[:, :, index] = evaluation.eval["precision"][:, :, 0, :, -1]
        recall_TCAM[:, index] = evaluation.eval["recall"][:, 0]
    return CocoCounts(precision_TRCA, recall_TCAM)


def _silent(*_: object) -> None:
    """Stand in for the library's progress messages."""


def _true_objects(pool: Pool, chosen: Ints) -> COCO:
    area_G = np.where(pool.ignored_G & ~pool.crowd_G, _OUTSIDE, pool.true_area_G)
    columns = zip(
        chosen.tolist(),
        pool.true_image_G[chosen].tolist(),
        _origin_and_size(pool.true_box_G4[chosen]),
        area_G[chosen].tolist(),
        pool.crowd_G[chosen].tolist(),
        strict=True,
    )
    return _data_set(
        [
            {"image_id": image, "bbox": box, "area": area, "iscrowd": int(crowd)}
            | ({"segmentation": pool.true_masks[number]} if pool.true_masks else {})
            for number, image, box, area, crowd in columns
        ]
    )


def _detections(pool: Pool, chosen: Ints) -> COCO:
    boxes = _origin_and_size(pool.box_D4[chosen])
    if pool.masks is None:
        areas = [width * height for _, _, width, height in boxes]
    else:
        areas = [float(rle.area(pool.masks[number])) for number in chosen.tolist()]
    columns = zip(
        chosen.tolist(),
        pool.image_D[chosen].tolist(),
        boxes,
        areas,
        pool.score_D[chosen].tolist(),
        strict=True,
    )
    return _data_set(
        [
            {"image_id": image, "bbox": box, "area": area, "score": score}
            | ({"segmentation": pool.masks[number]} if pool.masks else {})
            for number, image, box, area, score in columns
        ]
    )


def _data_set(annotations: list[dict[str, Any]]) -> COCO:
    """Make a data set of one class; ids start at 1, since 0 means no match."""
    images: dict[int, dict[str, Any]] = {}
    for number, annotation in enumerate(annotations, start=1):
        annotation |= {"id": number, "category_id": 0}
        image = images.setdefault(annotation["image_id"], {"id": annotation["image_id"]})
        if "segmentation" in annotation:
            image["height"], image["width"] = annotation["segmentation"]["size"]
    return COCO(
        {"images": list(images.values()), "annotations": annotations, "categories": [{"id": 0}]}
    )


def _origin_and_size(box_K4: Floats) -> list[list[float]]:
    """Turn boxes into x, y, width, height, as COCO has them."""
    converted: list[list[float]] = np.hstack(
        [box_K4[:, :2], box_K4[:, 2:] - box_K4[:, :2]]
    ).tolist()
    return converted


def mean_where_true(values: Floats) -> float:
    """Average over what is not -1; -1 if nothing is."""
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0


def coco_numbers(counts: CocoCounts) -> pb.CocoMetrics:
    """Return the twelve numbers, and AP at each IoU threshold; nothing else is filled in."""
    precision_TRCA, recall_TCAM = counts.precision_TRCA, counts.recall_TCAM
    precision = [mean_where_true(precision_TRCA[..., area]) for area in range(len(AREAS))]
    recall = [mean_where_true(recall_TCAM[:, :, area, -1]) for area in range(len(AREAS))]
    at_iou = [mean_where_true(precision_RC) for precision_RC in precision_TRCA[..., 0]]
    return pb.CocoMetrics(
        ap=precision[0],
        ap50=at_iou[0],
        ap75=at_iou[5],
        ap_small=precision[1],
        ap_medium=precision[2],
        ap_large=precision[3],
        ar_1=mean_where_true(recall_TCAM[:, :, 0, 0]),
        ar_10=mean_where_true(recall_TCAM[:, :, 0, 1]),
        ar_100=recall[0],
        ar_small=recall[1],
        ar_medium=recall[2],
        ar_large=recall[3],
        ap_at_iou=[
            pb.CocoMetrics.ApAtIou(iou=round(iou, 2), ap=ap)
            for iou, ap in zip(IOU_T.tolist(), at_iou, strict=True)
        ],
    )
