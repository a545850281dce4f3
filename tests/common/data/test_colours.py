"""Colours are varied as their definition says, and nothing moves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from common.data.colours import Colours, vary, vary_bytes

STRONG = Colours(brightness=0.4, contrast=0.4, saturation=0.4)
DRAWS = st.tuples(*[st.floats(-1, 1, width=32)] * 3)


def noise(height=20, width=30, seed=0, least=0, most=256):
    """An image without any pattern, colours interleaved in memory."""
    generator = torch.Generator().manual_seed(seed)
    pixels_HW3 = torch.randint(
        least, most, (height, width, 3), dtype=torch.uint8, generator=generator
    )
    return pixels_HW3.permute(2, 0, 1)


def test_colours_change_as_their_definition_says():
    """Brightness times contrast around the mean grey, worked out for one pixel by hand."""
    image = torch.zeros(1, 3, 1, 2)
    image[0, :, 0, 0] = 100.0
    image[0, :, 0, 1] = 200.0  # mean grey 150
    draws = torch.tensor([[0.5, -0.5, 1.0]])  # brightness 1.2, contrast 0.8, saturation 1.4

    changed = vary(image, draws, STRONG)

    # grey pixels have no saturation: 1.2 · (150 + 0.8 · (100 - 150)) = 132
    assert changed[0, :, 0, 0].tolist() == pytest.approx([132.0] * 3, abs=1e-3)
    assert changed[0, :, 0, 1].tolist() == pytest.approx([228.0] * 3, abs=1e-3)


@pytest.mark.parametrize(
    ("draws", "adjust"),
    [
        pytest.param([0.5, 0.0, 0.0], reference.adjust_brightness, id="brightness"),
        pytest.param([0.0, 0.5, 0.0], reference.adjust_contrast, id="contrast"),
        pytest.param([0.0, 0.0, 0.5], reference.adjust_saturation, id="saturation"),
    ],
)
def test_each_change_is_that_of_torchvision(draws, adjust):
    """With a factor of 1.2, on colours that stay in the range to which torchvision cuts them."""
    images_N3HW = noise(least=80, most=160)[None].float() / 255

    changed_N3HW = vary(images_N3HW, torch.tensor([draws]), STRONG)

    assert torch.allclose(changed_N3HW, adjust(images_N3HW, 1.2), atol=1e-5)


@given(draws=DRAWS, height=st.integers(1, 150), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_bytes_change_as_floats_do(draws, height, width, seed):
    """Whatever the number of strips, up to the last grey level of rounding."""
    image_3HW = noise(height, width, seed)
    draws_3 = torch.tensor(draws)

    varied_3HW = vary_bytes(image_3HW, draws_3, STRONG)
    floats_3HW = vary(image_3HW[None].float(), draws_3[None], STRONG)[0]

    assert varied_3HW.dtype == torch.uint8
    assert varied_3HW.permute(1, 2, 0).is_contiguous()
    assert (varied_3HW - floats_3HW.clamp(0, 255)).abs().max() <= 0.51


@given(draws=DRAWS, seed=st.integers(0, 99))
def test_nothing_moves(draws, seed):
    """What becomes of a pixel depends on its colour and the mean, not on where it is."""
    image_3HW = noise(70, 11, seed)
    places_P = torch.randperm(70 * 11, generator=torch.Generator().manual_seed(seed))

    def shuffled(one_3HW):
        return one_3HW.flatten(1)[:, places_P].view_as(one_3HW)

    first = vary_bytes(shuffled(image_3HW), torch.tensor(draws), STRONG)
    last = shuffled(vary_bytes(image_3HW, torch.tensor(draws), STRONG))

    assert (first.int() - last.int()).abs().max() <= 1


def test_no_strength_changes_nothing():
    """Every draw is then the middle one."""
    image_3HW = noise(100, 40)
    still = Colours(brightness=0.0, contrast=0.0, saturation=0.0)

    assert torch.equal(vary_bytes(image_3HW, torch.ones(3), still), image_3HW)
