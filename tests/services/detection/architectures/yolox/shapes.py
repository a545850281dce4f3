"""Made images of coloured circles, squares and triangles on noise, and how well they are found."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster

from common.training.optimizers import WeightAverage, learning_rate, make_optimizer
from nocode.vision.v1 import pipeline_pb2

CLASSES = ("circle", "square", "triangle")


def draw(count, size_px, seed):
    """Return uint8 images (N, 3, S, S) and for each its boxes and labels.

    An image has 1 to 3 shapes of a sixth to two fifths of its side, which may hide each other.
    """
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:size_px, :size_px] + 0.5
    images, targets = [], []
    for _ in range(count):
        image_HW3 = random.integers(0, 256, (size_px, size_px, 3)) / 3
        boxes, labels = [], []
        for _ in range(random.integers(1, 4)):
            side = random.uniform(size_px / 6, size_px * 2 / 5)
            x, y = random.uniform(0, size_px - side, 2)
            label = int(random.integers(3))
            u, v = (across - x) / side, (down - y) / side
            inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
            if label == 0:
                inside = (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.25
            elif label == 2:
                inside &= np.abs(u - 0.5) < v / 2
            image_HW3[inside] = random.integers(96, 256, 3)
            boxes.append((x, y, x + side, y + side))
            labels.append(label)
        images.append(torch.from_numpy(image_HW3.astype(np.uint8)).permute(2, 0, 1))
        targets.append(
            {"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.tensor(labels)}
        )
    return torch.stack(images), targets


def train(
    model,
    images,
    targets,
    *,
    step_count,
    batch_size,
    autocast=None,
    rate=1e-3,
    decay=0.98,
    flip=False,
):
    """Train as the service does, but on images that are not varied; return the averaged network."""
    config = pipeline_pb2.TrainingConfig(optimizer="adamw", learning_rate=rate, weight_decay=0.05)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = make_optimizer(model, config)
    average = WeightAverage(model, decay)
    random = np.random.default_rng(0)
    order = []
    for step in range(step_count):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(
                step, step_count=step_count, warmup_step_count=step_count // 10, peak=rate
            )
        if len(order) < batch_size:
            order = list(random.permutation(len(images)))
        chosen, order = order[:batch_size], order[batch_size:]
        batch = images[chosen].float().contiguous(memory_format=torch.channels_last)
        with autocast or contextlib.nullcontext():
            losses = model(batch, [targets[index] for index in chosen])
        sum(losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(model, step)
    return average.model


def ap50(model, images, targets):
    """Return COCO's average precision at an IoU of 0.5."""
    truth, found = [], []
    for index in range(len(images)):
        with torch.inference_mode():
            answer = model(images[index : index + 1].float())[0]
        for box, label in zip(
            targets[index]["boxes"].tolist(), targets[index]["labels"], strict=True
        ):
            truth.append(_coco(index, box, label) | {"id": len(truth) + 1, "iscrowd": 0})
        for box, label, score in zip(
            answer["boxes"].tolist(), answer["labels"], answer["scores"].tolist(), strict=True
        ):
            found.append(_coco(index, box, label) | {"score": score})
    if not found:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(
            {
                "images": [{"id": index} for index in range(len(images))],
                "annotations": truth,
                "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES)],
            }
        )
        evaluation = COCOeval_faster(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def _coco(image, box, label):
    xmin, ymin, xmax, ymax = box
    width, height = xmax - xmin, ymax - ymin
    return {
        "image_id": image,
        "category_id": int(label),
        "bbox": [xmin, ymin, width, height],
        "area": width * height,
    }
