"""U-Net.

Papers: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015, https://arxiv.org/abs/1505.04597; He et al., "Deep Residual Learning for Image
Recognition", 2015, https://arxiv.org/abs/1512.03385 (its encoder).

Built by segmentation-models-pytorch (MIT). Differs from the paper: the encoder is a ResNet-34;
convolutions are padded, so that logits are as large as the image, and each is followed by batch
normalization.

Shape letters: N images, S side of the network's input, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from common.architectures import Published, Recipe
from services.segmentation.semantic.architectures.registry import segmenters

if TYPE_CHECKING:
    from torch import Tensor


class UNet(nn.Module):
    """An encoder, a decoder that sees what each of its stages says, and a last convolution.

    Weights are named as segmentation-models-pytorch names them.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder: nn.Module = network.encoder
        self.decoder: nn.Module = network.decoder
        self.segmentation_head: nn.Module = network.segmentation_head

    def forward(self, images_N3SS: Tensor) -> Tensor | dict[str, Tensor]:
        """Return logits; see `registry`."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(images_N3SS)))
        return {"out": logits} if self.training else logits


def _encoder(published: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"encoder.{name}": tensor
        for name, tensor in published.items()
        if not name.startswith("fc.")
    }


@segmenters.register(
    "unet_resnet34",
    display_name="U-Net, ResNet-34",
    paper="https://arxiv.org/abs/1505.04597",
    parameter_count=24_436_514,
    pretrained_weights=Published(
        torchvision="ResNet34_Weights.IMAGENET1K_V1", convert=_encoder, partial=True
    ),
    input_multiple_px=32,  # as often as it is halved
    recipe=Recipe(
        epoch_count=60, batch_size=8, image_size_px=256, learning_rate=1e-3, weight_decay=0.01,
        early_stopping_patience=20, min_step_count=1000,
    ),
)  # fmt: skip
def unet_resnet34(class_count: int) -> nn.Module:
    """Build a U-Net of a ResNet-34, with logits of the input's size."""
    # Not above: it takes a second, and who lists architectures builds none.
    import segmentation_models_pytorch as smp  # noqa: PLC0415  # type: ignore[import-untyped]

    return UNet(smp.Unet("resnet34", encoder_weights=None, classes=class_count))
