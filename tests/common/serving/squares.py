"""A detector that needs no training: it finds bright squares, white ones and red ones."""

import hashlib
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from scipy import ndimage
from torch import nn

from common.architectures import Recipe, Registry
from common.objects import answers, tiling
from common.objects.targets import Detections
from common.storage import resources
from common.storage.bucket import Bucket
from nocode.vision.v1.model_pb2 import Model, Preprocessing
from services.detection import answers as detection_answers
from tests.common.serving.tiny import TinyLearner, TinyTask

SIZE_PX = 64
WHITE, RED = 0, 1
CLASSES = ("white", "red")
SEEN_PX = 4
"""Side of the smallest square that is seen, in pixels of the network's input."""

registry = Registry()


class Squares(nn.Module):
    """Finds bright connected areas; a larger one scores more."""

    def __init__(self) -> None:
        super().__init__()
        self.brightness = nn.Parameter(torch.tensor([0.7]))

    def forward(self, images_N3SS: torch.Tensor) -> list[Detections]:
        """Return what is in each image; black is 0 and white is 1."""
        bright_N3SS = (images_N3SS > self.brightness).numpy()
        return [_find(bright_3SS) for bright_3SS in bright_N3SS]


def _find(bright_3SS: Any) -> Detections:
    boxes, labels, scores = [], [], []
    red, green, blue = bright_3SS
    for label, mask in ((WHITE, red & green & blue), (RED, red & ~green & ~blue)):
        for rows, columns in ndimage.find_objects(ndimage.label(mask)[0]):
            sides = (columns.stop - columns.start, rows.stop - rows.start)
            if max(sides) >= SEEN_PX:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop))
                labels.append(label)
                scores.append(0.5 + 0.4 * min(1.0, min(sides) / SIZE_PX))
    order = np.argsort([-score for score in scores], kind="stable").astype(int)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4)[order],
        np.array(labels, np.int64)[order],
        np.array(scores, np.float32)[order],
    )


@registry.register(
    "squares",
    display_name="Squares",
    paper="",
    parameter_count=1,
    recipe=Recipe(epoch_count=1, batch_size=8, image_size_px=SIZE_PX, learning_rate=0.1),
)
def squares(class_count: int) -> nn.Module:
    """Build it, for any number of classes."""
    del class_count
    return Squares()


class SquaresLearner(TinyLearner):
    """Detection, as far as prediction goes."""

    registry = registry
    resize = "letterbox"
    tiles = True

    def answers(self, model: nn.Module, images_N3HW: torch.Tensor) -> list[Detections]:
        """Return detections at once."""
        return model(images_N3HW)

    def predict(self, output, model, width, height, options):
        """Answer as detection does."""
        return answers.detection(output, model, width, height, options)

    def merge(self, outputs, tiles, model, width, height):
        """Merge as detection does."""
        size_px = model.preprocessing.image_size_px
        return tiling.merge(outputs, tiles, width, height, size_px)

    def difference(self, outputs, references, model):
        """Compare as detection does."""
        return detection_answers.difference(outputs, references)

    def draw(self, image_HW3, prediction):
        """Draw as detection does."""
        return detection_answers.draw(image_HW3, prediction)


class SquaresTask(TinyTask):
    """Detection, as far as prediction goes."""

    name = "detection"

    def __init__(self) -> None:
        super().__init__()
        self.made = SquaresLearner()


def put_model(bucket: Bucket, model_id: str = "squares") -> Model:
    """Write the model to a bucket, as a training does."""
    weights = save(Squares().state_dict())
    model = Model(
        name=f"tasks/detection/models/{model_id}",
        architecture="squares",
        classes=CLASSES,
        score_thresholds=(0.5, 0.5),
        preprocessing=Preprocessing(
            image_size_px=SIZE_PX, resize="letterbox", mean=(0, 0, 0), std=(1, 1, 1)
        ),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_size_bytes=len(weights),
    )
    bucket.put(f"{model.name}/model.safetensors", weights)
    resources.models(bucket).create(model.name, model)
    return model


def scene(width: int, height: int, *squares: tuple[int, int, int, int]) -> np.ndarray:
    """Paint squares on a dark picture: xmin, ymin, side and class of each."""
    pixels_HW3 = np.full((height, width, 3), 40, np.uint8)
    for xmin, ymin, side, label in squares:
        colour = (255, 255, 255) if label == WHITE else (255, 0, 0)
        pixels_HW3[ymin : ymin + side, xmin : xmin + side] = colour
    return pixels_HW3
