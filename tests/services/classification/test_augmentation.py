"""Training images are varied as their generators say, and their classes stay what they are."""

import pytest
import torch

from services.classification import augmentation
from services.classification.augmentation import STRENGTHS, augment

VARYING = [level for level, strength in STRENGTHS.items() if strength]


def generators(count, first=0):
    return [torch.Generator().manual_seed(first + number) for number in range(count)]


def pictures(count, size_px=32):
    """Smooth pictures, brighter to the right and redder below."""
    ramp = torch.linspace(0, 1, size_px)
    picture_3HW = torch.stack(
        [
            ramp[:, None].expand(size_px, size_px) * 200,
            ramp[None].expand(size_px, size_px) * 200,
            torch.full((size_px, size_px), 60.0),
        ]
    )
    return picture_3HW.round().to(torch.uint8).expand(count, 3, size_px, size_px).clone()


def test_none_changes_nothing():
    """Somebody who wants no variation gets none."""
    images_N3HW = pictures(3)

    assert torch.equal(augment(images_N3HW, "none", generators(3)), images_N3HW)


@pytest.mark.parametrize("level", VARYING)
def test_the_same_generator_gives_the_same_image(level):
    """Nothing else is random."""
    images_N3HW = pictures(4)

    torch.manual_seed(1)
    first = augment(images_N3HW, level, generators(4))
    torch.manual_seed(2)
    again = augment(images_N3HW, level, generators(4))

    assert torch.equal(first, again)
    assert first.dtype == torch.uint8
    assert first.shape == images_N3HW.shape


@pytest.mark.parametrize("level", VARYING)
def test_every_image_of_a_batch_varies_differently(level):
    """One draw for a whole batch would vary too little."""
    varied_N3HW = augment(pictures(6), level, generators(6))

    assert len({image.numpy().tobytes() for image in varied_N3HW}) == 6


@pytest.mark.parametrize("level", VARYING)
def test_an_image_comes_out_the_same_in_any_batch(level):
    """Its neighbours have no say, beyond the last grey level of rounding."""
    together = augment(pictures(5), level, generators(5))
    alone = augment(pictures(1), level, generators(1, first=3))

    assert (together[3].int() - alone[0].int()).abs().max() <= 1


def test_stronger_levels_change_more():
    """The names are in order."""
    images_N3HW = pictures(64)
    change = {
        level: (augment(images_N3HW, level, generators(64)).float() - images_N3HW).abs().mean()
        for level in VARYING
    }

    assert 0 < change["light"] < change["standard"] < change["strong"]


@pytest.mark.parametrize("level", VARYING)
def test_images_are_never_mirrored(level):
    """An arrow to the left stays one: the right side stays the brighter one, below the redder."""
    varied_N3HW = augment(pictures(200, size_px=64), level, generators(200)).float()
    # The brightness of the middle, where nothing is mirrored in from outside or painted over much.
    green_NHW, red_NHW = varied_N3HW[:, 1, 8:56, 8:56], varied_N3HW[:, 0, 8:56, 8:56]

    assert (green_NHW[:, :, 24:].mean(dim=(1, 2)) > green_NHW[:, :, :24].mean(dim=(1, 2))).all()
    assert (red_NHW[:, 24:].mean(dim=(1, 2)) > red_NHW[:, :24].mean(dim=(1, 2))).all()


def test_a_plain_image_stays_plain():
    """Warping draws nothing in from outside, and colours change evenly."""
    plain = torch.full((8, 3, 32, 32), 120, dtype=torch.uint8)

    varied_N3HW = augment(plain, "standard", generators(8))

    assert (varied_N3HW.flatten(2).amax(2) - varied_N3HW.flatten(2).amin(2)).max() <= 1


def test_half_of_the_strongly_varied_images_lose_a_rectangle():
    """With the mean colour in its place, of 2 to 20 % of the area."""
    noise = torch.rand(400, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    draws_NK = torch.stack([torch.rand(5, generator=g) for g in generators(400)])

    erased_N3HW = augmentation._erase(noise, draws_NK, 0.5)

    share_N = (erased_N3HW != noise).any(dim=1).float().mean(dim=(1, 2))
    assert 0.42 < (share_N > 0).float().mean() < 0.58
    assert share_N[share_N > 0].min() > 0.01
    assert share_N.max() < 0.22
