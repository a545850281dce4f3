"""From pixels to the network's input."""

import numpy as np
import pytest
import torch
from PIL import Image

from common.architectures import IMAGENET_MEAN, IMAGENET_STD
from common.data import images, transforms
from nocode.vision.v1.model_pb2 import Preprocessing
from tests.common.data.pictures import encode, picture


def preprocessing(size_px: int = 32, resize: str = "stretch") -> Preprocessing:
    return Preprocessing(
        image_size_px=size_px,
        resize=resize,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


class TestResize:
    """To the network's size."""

    @pytest.mark.parametrize("size", [(64, 48), (20, 90), (31, 33), (1, 1), (300, 7)])
    def test_stretch_is_pillows_antialiased_bilinear(self, size):
        """The reference is another implementation of the same filter."""
        resized = transforms.resize(picture(*size), preprocessing())
        reference = Image.fromarray(picture(*size)).resize((32, 32), Image.Resampling.BILINEAR)

        assert (resized.dtype, resized.shape) == (torch.uint8, (3, 32, 32))
        difference = resized.permute(1, 2, 0).numpy().astype(int) - np.asarray(reference)
        assert np.abs(difference).max() <= 1

    def test_an_image_of_the_right_size_is_untouched_and_copied(self):
        pixels = picture(32, 32)
        resized = transforms.resize(pixels, preprocessing())
        pixels[:] = 0

        assert np.array_equal(resized.permute(1, 2, 0).numpy(), picture(32, 32))

    @pytest.mark.parametrize(
        ("size", "inner"), [((64, 48), (32, 24)), ((48, 64), (24, 32)), ((1000, 1), (32, 1))]
    )
    def test_letterbox_keeps_the_shape_and_fills_with_grey(self, size, inner):
        resized = transforms.resize(picture(*size), preprocessing(resize="letterbox"))
        width, height = inner

        assert resized.shape == (3, 32, 32)
        assert (resized[:, height:] == 114).all()
        assert (resized[:, :, width:] == 114).all()
        reference = Image.fromarray(picture(*size)).resize(inner, Image.Resampling.BILINEAR)
        difference = resized[:, :height, :width].permute(1, 2, 0).int() - torch.tensor(
            np.array(reference).astype(np.int32)
        )
        assert difference.abs().max() <= 1

    @pytest.mark.parametrize("size", [(1280, 960), (2000, 1500), (1040, 2080)])
    def test_a_jpeg_shrunk_while_decoding_looks_the_same(self, size):
        """As `decode_size` states it."""
        data = encode(picture(*size), quality=90)
        chosen = preprocessing(224)
        full = images.decode(data, max_pixels=10**7)
        shrunk = images.decode(data, max_pixels=10**7, at_least_px=transforms.decode_size(chosen))

        assert shrunk.shape[0] * 2 == full.shape[0]
        difference = (
            transforms.resize(shrunk, chosen).int() - transforms.resize(full, chosen).int()
        ).abs()
        assert difference.float().quantile(0.999) <= 4
        assert difference.float().mean() <= 0.2


class TestNormalize:
    """To the network's numbers."""

    def test_is_the_textbook_formula(self):
        batch = transforms.stack(
            [transforms.resize(picture(seed=seed), preprocessing()) for seed in range(3)]
        )
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(3, 1, 1)
            for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

        normalized = transforms.normalize(batch, preprocessing())

        assert normalized.dtype == torch.float32
        assert normalized.is_contiguous(memory_format=torch.channels_last)
        expected = (batch.double() / 255 - mean) / std
        assert (normalized.double() - expected).abs().max() < 1e-6

    def test_memory_layout_of_the_batch_does_not_matter(self):
        one = [transforms.resize(picture(seed=seed), preprocessing()) for seed in range(2)]

        fast = transforms.normalize(transforms.stack(one), preprocessing())
        plain = transforms.normalize(torch.stack(one), preprocessing())

        assert torch.equal(fast, plain)
