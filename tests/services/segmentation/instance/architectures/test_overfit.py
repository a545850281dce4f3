"""Each architecture learns eight real images by heart, from random weights.

What it must get right for that: matching, box coding, labels, losses, gradients, suppression, and
that masks lie where their objects do, in training as in the answer.
"""

import contextlib
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.data import transforms
from common.masks import rle
from common.objects.annotation import Object, write
from common.training.optimizers import learning_rate
from common.training.precision import cpu_has_bf16
from nocode.vision.v1 import model_pb2
from services.segmentation.instance.architectures import instance_segmenters
from services.segmentation.instance.learner import InstanceLearner
from tests.services.detection.architectures.matching import matched

ARCHIVE = Path(__file__).parents[5] / "examples/segmentation/facades_coco.zip"
IMAGE_COUNT = 8
# That of the images.
SIZE_PX = 320
STEP_LIMIT = 400
EVALUATED_EVERY = 50
LEARNER = InstanceLearner()


def read_examples():
    """The file's truth alone, and the images, uint8 (N, 3, S, S), with their annotations."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        (path,) = (
            name for name in archive.namelist() if name.endswith("train/_annotations.coco.json")
        )
        content = json.loads(archive.read(path))
        content["images"] = content["images"][:IMAGE_COUNT]
        letterbox = model_pb2.Preprocessing(image_size_px=SIZE_PX, resize="letterbox")
        images = []
        for one in content["images"]:
            data = archive.read(path.replace("_annotations.coco.json", one["file_name"]))
            pixels_HW3 = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
            images.append(transforms.resize(pixels_HW3, letterbox))
    shown = {one["id"] for one in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in shown]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
    used = sorted({one["category_id"] for one in content["annotations"]})
    annotations = []
    for image in content["images"]:
        objects = []
        for one in truth.imgToAnns[image["id"]]:
            mask = truth.annToRLE(one)
            one["area"] = float(coco_mask.area(mask))
            box = rle.bounds(mask)
            if box is not None:
                label = used.index(one["category_id"])
                text = mask["counts"].decode()
                objects.append(Object(label, box, crowd=bool(one["iscrowd"]), mask=text))
        annotations.append(write(objects))
    return truth, used, transforms.stack(images), annotations


def mask_ap50(truth, used, outputs):
    """Pycocotools' average precision of masks at an IoU of 0.5, in the images themselves."""
    model = model_pb2.Model(preprocessing=model_pb2.Preprocessing(image_size_px=SIZE_PX))
    results = []
    for image, output in zip(truth.dataset["images"], outputs, strict=True):
        laid = LEARNER.condense(output, model, image["width"], image["height"])
        results += [
            {
                "image_id": image["id"],
                "category_id": used[label],
                "segmentation": mask,
                "score": float(score),
            }
            for label, score, mask in zip(
                laid.found.labels_K, laid.found.scores_K, laid.masks_K, strict=True
            )
        ]
    if not results:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def autocast():
    if cpu_has_bf16():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def overfit(entry, *, step_limit=STEP_LIMIT, log=print):
    """Train on the images until the AP50 of masks on them is 0.9.

    Returns it, the steps taken, the network and its inputs.
    """
    truth, used, images_N3SS, annotations = read_examples()
    inputs_N3SS = transforms.normalize(
        images_N3SS, model_pb2.Preprocessing(mean=entry.mean, std=entry.std)
    )
    targets = [
        LEARNER.target(annotation, image["width"], image["height"], SIZE_PX)
        for annotation, image in zip(annotations, truth.dataset["images"], strict=True)
    ]
    torch.manual_seed(0)
    model = entry.build(len(used)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True)
    started, reached = time.monotonic(), 0.0
    for step in range(step_limit):
        model.train()
        rate = learning_rate(
            step, step_count=step_limit, warmup_step_count=20, peak=entry.recipe.learning_rate
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        half = slice(0, None, 2) if step % 2 else slice(1, None, 2)
        with autocast():
            loss = LEARNER.loss(model, inputs_N3SS[half], targets[half], None, None)
        assert torch.isfinite(loss)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % EVALUATED_EVERY == 0:
            model.eval()
            with torch.inference_mode(), autocast():
                outputs = LEARNER.forward(model, inputs_N3SS)
            reached = mask_ap50(truth, used, outputs)
            seconds, loss, count = time.monotonic() - started, loss.item(), sum(map(len, outputs))
            log(
                f"{entry.name}: step {step + 1}, {seconds:.0f} s, loss {loss:.3f}, mask AP50 "
                f"{reached:.3f}, {count} found"
            )
            if reached >= 0.9:
                break
    return reached, step + 1, model, inputs_N3SS


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("entry", list(instance_segmenters), ids=lambda entry: entry.name)
def test_it_learns_eight_images_by_heart(entry):
    """Nearly every mask is found, with nearly nothing else before it.

    And what is found in an image does not depend on the images beside it.
    """
    reached, _, model, inputs_N3SS = overfit(entry)
    assert reached >= 0.9

    model.eval()
    with torch.inference_mode():
        together = model(inputs_N3SS[:4])
        alone = [model(image_3SS[None])[0] for image_3SS in inputs_N3SS[:4]]
    for one, other in zip(together, alone, strict=True):
        for found, reference in ((one, other), (other, one)):
            # Those that score nothing may stand on either side of a limit.
            worth_seeing = found["scores"] > 0.05
            assert worth_seeing.any()
            assert matched(found, reference, iou=0.99, score=1e-3)[worth_seeing].all()
        sure = min(len(one["scores"]), int((one["scores"] > 0.5).sum()))
        assert one["masks"][:sure] == pytest.approx(other["masks"][:sure], abs=1e-2)
