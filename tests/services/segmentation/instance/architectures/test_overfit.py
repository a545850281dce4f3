"""Each architecture learns eight real images by heart, from random weights.

What it must get right for that: matching, box coding, labels, losses, gradients, suppression, and
that masks lie where their objects do, in training as in the answer.
"""

import contextlib
import io
import json
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
from nocode.vision.v1 import model_pb2
from services.segmentation.instance.architectures import instance_segmenters
from services.segmentation.instance.learner import InstanceLearner
from tests.services import overfitting
from tests.services.detection.architectures.matching import matched

ARCHIVE = Path(__file__).parents[5] / "examples/segmentation/facades_coco.zip"
IMAGE_COUNT = 8
# That of the images.
SIZE_PX = 320
STEP_LIMIT = 700
# The second stage takes most of the time; this is a quarter of what it learns from otherwise.
BOXES_AN_IMAGE = 128
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


def build(entry, class_count):
    """Make a network that learns from fewer boxes."""
    model = entry.build(class_count)
    model.roi_heads.fg_bg_sampler.batch_size_per_image = BOXES_AN_IMAGE
    return model


def overfit(entry):
    """Train on the images until the AP50 of masks on them is 0.9.

    Returns it, the network and its inputs.
    """
    truth, used, images_N3SS, annotations = read_examples()
    inputs_N3SS = transforms.normalize(
        images_N3SS, model_pb2.Preprocessing(mean=entry.mean, std=entry.std)
    )
    targets = [
        LEARNER.target(annotation, image["width"], image["height"], SIZE_PX)
        for annotation, image in zip(annotations, truth.dataset["images"], strict=True)
    ]
    reached, model = overfitting.overfit(
        lambda: build(entry, len(used)),
        inputs_N3SS,
        targets,
        loss=lambda model, some_N3SS, theirs: LEARNER.loss(model, some_N3SS, theirs, None, None),
        measure=lambda model: mask_ap50(truth, used, LEARNER.forward(model, inputs_N3SS)),
        peak_rate=entry.recipe.learning_rate,
        step_limit=STEP_LIMIT,
        measured_every=EVALUATED_EVERY,
        most_norm=10.0,
    )
    return reached, model, inputs_N3SS


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("entry", list(instance_segmenters), ids=lambda entry: entry.name)
def test_it_learns_eight_images_by_heart(entry):
    """Nearly every mask is found, with nearly nothing else before it.

    And what is found in an image does not depend on the images beside it.
    """
    reached, model, inputs_N3SS = overfit(entry)
    assert reached >= 0.9

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
