"""Mask R-CNN.

Papers: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", 2017, https://arxiv.org/abs/1703.06870; Li et
al., "Benchmarking Detection Transfer Learning with Vision Transformers", 2021,
https://arxiv.org/abs/2111.11429 (the heads of "v2").

Differs from torchvision: see `common.objects.two_stages`; masks of what is found are computed some
at a time.

Shape letters: N images, K objects of an image, C layers of a mask with the background's, M side of
a mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torchvision.models import detection
from torchvision.models.detection.roi_heads import RoIHeads

from common.architectures import Published, Recipe
from common.objects.backbones import RESNET50_FPN
from common.objects.two_stages import OPTIONS, adapted
from services.segmentation.instance.architectures.registry import instance_segmenters

if TYPE_CHECKING:
    from torch import Tensor, nn

    Features = dict[str, Tensor]
    Objects = dict[str, Tensor]

MASKS_AT_ONCE = 64
"""Of 500 objects in each of sixteen images, the mask head would hold some ten gigabytes."""

LEAST_SCORE = 0.05
"""What scores less is given no mask, as in torchvision: it would take most of the time."""

_FASTER_RCNN = Published(
    torchvision="FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1",  # the same names, without masks
    partial=True,
)


class Heads(RoIHeads):  # type: ignore[misc]
    """The second stage, as far as it differs from torchvision's."""

    @classmethod
    def of(cls, theirs: RoIHeads) -> Self:
        """Take the layers and settings of torchvision's: its builders make no other."""
        return cls(
            theirs.box_roi_pool,
            theirs.box_head,
            theirs.box_predictor,
            fg_iou_thresh=theirs.proposal_matcher.high_threshold,
            bg_iou_thresh=theirs.proposal_matcher.low_threshold,
            batch_size_per_image=theirs.fg_bg_sampler.batch_size_per_image,
            positive_fraction=theirs.fg_bg_sampler.positive_fraction,
            bbox_reg_weights=theirs.box_coder.weights,
            score_thresh=theirs.score_thresh,
            nms_thresh=theirs.nms_thresh,
            detections_per_img=theirs.detections_per_img,
            mask_roi_pool=theirs.mask_roi_pool,
            mask_head=theirs.mask_head,
            mask_predictor=theirs.mask_predictor,
        )

    def has_mask(self) -> bool:
        """Whether `RoIHeads.forward` computes masks: of what is found they are computed after."""
        return bool(self.training)

    def forward(
        self,
        features: Features,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Objects] | None = None,
    ) -> tuple[list[Objects], dict[str, Tensor]]:
        """Return what is found in each image, in evaluation, or losses by name, in training."""
        found, losses = super().forward(features, proposals, image_shapes, targets)
        if not self.training:
            for number, objects in enumerate(found):
                # Apart from other images, so that they cannot change the last digit.
                own = {name: maps[number : number + 1] for name, maps in features.items()}
                objects["masks"] = self._masks(own, objects, image_shapes[number])
        return found, losses

    def _masks(self, features: Features, objects: Objects, shape: tuple[int, int]) -> Tensor:
        """Return the masks of an image's objects, (K, 1, M, M) in [0, 1]."""
        masks = []
        for start in range(0, max(len(objects["boxes"]), 1), MASKS_AT_ONCE):
            some = slice(start, start + MASKS_AT_ONCE)
            pooled = self.mask_roi_pool(features, [objects["boxes"][some]], [shape])
            logits_KCMM = self.mask_predictor(self.mask_head(pooled))
            label_K = objects["labels"][some]
            chosen_KMM = logits_KCMM[torch.arange(len(label_K), device=label_K.device), label_K]
            masks.append(chosen_KMM.sigmoid())
        return torch.cat(masks)[:, None]


@instance_segmenters.register(
    "maskrcnn_resnet50_fpn_v2",
    display_name="Mask R-CNN, ResNet-50 FPN v2",
    paper="https://arxiv.org/abs/1703.06870",
    parameter_count=45_885_793,
    pretrained_weights="MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
    fallbacks=[_FASTER_RCNN, RESNET50_FPN],
    recipe=Recipe(
        epoch_count=30, batch_size=4, image_size_px=512, learning_rate=2e-4, weight_decay=1e-4
    ),
)
def maskrcnn_resnet50_fpn_v2(class_count: int) -> nn.Module:
    """Build a Mask R-CNN of a ResNet-50; see `registry` for what goes in and comes out."""
    options = OPTIONS | {"box_score_thresh": LEAST_SCORE}
    network: Any = detection.maskrcnn_resnet50_fpn_v2(num_classes=class_count + 1, **options)
    network.roi_heads = Heads.of(network.roi_heads)
    return adapted(network, network.roi_heads.mask_predictor)
