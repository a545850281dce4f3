"""The half of semantic segmentation that needs torch.

Shape letters: N images, C classes, H height, W width, S side of the network's input, 3 colours, P
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from common.data.transforms import inner_size
from common.errors import Internal
from common.masks.drafts import resized
from common.masks.label_maps import VOID, LabelMap
from common.metrics.calibration import fit_temperature
from common.metrics.semantic import Areas, Cells, confusion_cells
from common.reasons import Reason
from common.training.learner import Calibration, Learner
from services.segmentation.semantic import answers, augmentation, evaluation, exporting, mosaic
from services.segmentation.semantic import outputs as pixels
from services.segmentation.semantic.annotation import read
from services.segmentation.semantic.architectures import segmenters
from services.segmentation.semantic.loss import pixel_loss
from services.segmentation.semantic.mosaic import Mosaic
from services.segmentation.semantic.outputs import PixelClasses, PixelScores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from common.data.findings import Report
    from common.serving.tiles import Tile
    from nocode.vision.v1 import model_pb2, pipeline_pb2

LEAST_REGION_PX = 16
"""What a class has less of in an image, as the network sees it, is hardly seen by it."""

# Neighbours say the same, so that more of an image add little.
_PIXELS_AN_IMAGE = 512
# In all, of classes times pixels, so that calibration takes bounded memory and time.
_MOST_LOGITS = 1 << 23


@dataclass(frozen=True, slots=True)
class Digest:
    """What is kept of an answer to a validation image.

    Attributes:
        cells: How often pixels of a class were given each class, at the size of the input.
        logits_PC: float16, of some pixels spread evenly over those that have a class.
        labels_P: The classes of those pixels.
    """

    cells: Cells
    logits_PC: NDArray[np.float16]
    labels_P: NDArray[np.int16]


class SemanticLearner(Learner):
    """A target is the `LabelMap` of a letterbox, an output `PixelScores`.

    Or it is `PixelClasses`: what `condense` and `merge` make, at the size of the image.
    """

    registry = segmenters
    best_metric = "val_mean_iou"
    tie_break = "val_pixel_accuracy"
    resize = "letterbox"
    # Two more pixels of a thousand that are wrong, or a confidence that is 0.02 off on average; see
    # `difference`. On noise, where arithmetic shows most, U-Nets and DeepLabs that were trained
    # briefly or until they knew their images by heart stay below 0.004, and lose one in ten
    # thousand; on their own images below 0.002, and one in fifty thousand.
    tolerance = 0.02
    slow_answers = True
    tiles = True

    # Training.

    def target(
        self, annotation: Mapping[str, Any], width: int, height: int, size_px: int
    ) -> LabelMap:
        """Put the classes of an image's pixels into the letterbox, whose grey is void."""
        inner_width, inner_height = inner_size(width, height, size_px)
        boxed_SS = np.full((size_px, size_px), VOID, dtype=np.int16)
        boxed_SS[:inner_height, :inner_width] = resized(read(annotation), inner_width, inner_height)
        return LabelMap.pack(boxed_SS)

    def check_targets(self, targets: Sequence[LabelMap], size_px: int, report: Report) -> None:
        """Report classes of which images have hardly a pixel left at the size that they have."""
        tiny = 0
        for target in targets:
            count_C = np.bincount((target.unpack() - VOID).ravel())[-VOID:]
            tiny += int(((count_C > 0) & (count_C < LEAST_REGION_PX)).sum())
        report.add("REGIONS_TINY", [], count=tiny, minimum_px=LEAST_REGION_PX, size_px=size_px)

    augment = staticmethod(augmentation.augment)

    def loss(
        self,
        model: nn.Module,
        images_N3HW: Tensor,
        targets: Sequence[LabelMap],
        config: pipeline_pb2.TrainingConfig,
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """See `services.segmentation.semantic.loss`."""
        del config
        labels_NHW = torch.from_numpy(np.stack([target.unpack() for target in targets]))
        labels_NHW = labels_NHW.to(images_N3HW.device).long()
        return pixel_loss(model(images_N3HW), labels_NHW, class_weights_C)

    # Inference.

    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[PixelScores]:
        """Return the logits of each image, at the network's own resolution."""
        return pixels.scores(model(images_N3HW))

    def digest(self, output: PixelScores, target: LabelMap, class_count: int) -> Digest:
        """Compare an answer with the truth in the letterbox."""
        size_px = target.width
        true_SS = target.unpack()
        predicted_SS, _ = pixels.classes(output, size_px, size_px, size_px, 1.0)
        known_P = np.flatnonzero(true_SS != VOID)
        some_P = known_P[:: max(1, -(-len(known_P) // _PIXELS_AN_IMAGE))]
        return Digest(
            cells=confusion_cells(predicted_SS, true_SS, class_count),
            logits_PC=pixels.logits_at(output, some_P, size_px),
            labels_P=true_SS.ravel()[some_P],
        )

    def validate(
        self, outputs: Sequence[Digest], targets: Sequence[LabelMap], class_count: int
    ) -> dict[str, float]:
        """Return mean IoU and pixel accuracy, in the network's input.

        Without a pixel that has a class there are none, and no epoch is better than another.
        """
        del targets
        confusion_CC = np.zeros((class_count, class_count), dtype=np.int64)
        for kept in outputs:
            kept.cells.add_to(confusion_CC)
        if not confusion_CC.any():
            return {}
        areas = Areas.of(confusion_CC)
        return {
            "val_mean_iou": float(areas.mean_iou),
            "val_pixel_accuracy": float(areas.pixel_accuracy),
        }

    def calibrate(
        self, outputs: Sequence[Digest], targets: Sequence[LabelMap], class_count: int
    ) -> Calibration:
        """Fit the temperature to some pixels of each image."""
        del targets
        if not outputs:
            return Calibration()
        logits_PC = np.concatenate([kept.logits_PC for kept in outputs])
        labels_P = np.concatenate([kept.labels_P for kept in outputs])
        every = max(1, -(-len(labels_P) * class_count // _MOST_LOGITS))
        return Calibration(temperature=fit_temperature(logits_PC[::every], labels_P[::every]))

    def condense(
        self, output: PixelScores, model: model_pb2.Model, width: int, height: int
    ) -> PixelClasses:
        """Decide on the class of each pixel of the image.

        Raises:
            Internal: The network gave something else than finite numbers.
        """
        if not np.isfinite(output.logits_Chw).all():
            raise Internal(
                Reason.DIVERGED,
                "The model's answer is not finite. Train it again, with a lower learning rate.",
            )
        size_px = model.preprocessing.image_size_px
        return pixels.settle(output, width, height, size_px, model.temperature or 1.0)

    measure = staticmethod(evaluation.measure)
    predict = staticmethod(answers.predict)

    def merge(
        self,
        outputs: Sequence[PixelScores],
        tiles: Sequence[Tile],
        model: model_pb2.Model,
        width: int,
        height: int,
    ) -> PixelClasses:
        """See `services.segmentation.semantic.mosaic`."""
        size_px = model.preprocessing.image_size_px
        return mosaic.merge(outputs, tiles, width, height, size_px, model.temperature or 1.0)

    def merger(
        self, tiles: Sequence[Tile], model: model_pb2.Model, width: int, height: int
    ) -> Mosaic:
        """See `services.segmentation.semantic.mosaic`."""
        size_px = model.preprocessing.image_size_px
        return Mosaic(tiles, width, height, size_px, model.temperature or 1.0)

    draw = staticmethod(answers.draw)
    difference = staticmethod(answers.difference)

    # Export.

    exportable = staticmethod(exporting.exportable)
