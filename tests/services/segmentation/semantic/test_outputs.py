"""Masks lie on their images to the pixel, whatever the sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from common.data.transforms import inner_size
from common.masks.label_maps import LabelMap
from services.segmentation.semantic import outputs
from services.segmentation.semantic.learner import SemanticLearner
from services.segmentation.semantic.outputs import (
    CERTAIN,
    PixelClasses,
    PixelScores,
    classes,
    logits_at,
    settle,
)
from tests.services.segmentation.semantic.made import COLOURS, answer, blocks

LEARNER = SemanticLearner()
SIZES = [
    pytest.param(97, 61, id="odd"),
    pytest.param(64, 64, id="as the input"),
    pytest.param(240, 60, id="4 to 1"),
    pytest.param(59, 237, id="1 to 4"),
    pytest.param(31, 45, id="smaller"),
    pytest.param(640, 480, id="much larger"),
    pytest.param(64, 1, id="a line"),
    pytest.param(1, 1, id="a pixel"),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_classes_lie_where_the_image_has_them(width, height):
    """All pixels but those at an outline, where the input may mix two colours, are right."""
    size_px = 64
    ratio = max(1.0, max(width, height) / size_px)
    labels_HW = blocks(height, width, side=max(8, round(8 * ratio)))

    found_HW, _ = classes(answer(COLOURS[labels_HW], size_px, LEARNER), width, height, size_px, 1.0)

    assert found_HW.dtype == np.int16
    wrong_HW = found_HW != labels_HW
    # As far as a pixel of the input reaches, and not further.
    assert not (wrong_HW & ~near_outline(labels_HW, reach=int(np.ceil(ratio / 2)))).any()
    assert wrong_HW.mean() < 0.05


@pytest.mark.parametrize("side", [1, 2, 3])
def test_in_an_image_as_large_as_the_input_each_pixel_is_right(side):
    labels_HW = blocks(64, 64, side)

    found_HW, confidence_HW = classes(answer(COLOURS[labels_HW], 64, LEARNER), 64, 64, 64, 1.0)

    assert (found_HW == labels_HW).all()
    # One logit of 8 against two of 0.
    assert (confidence_HW == round(CERTAIN / (1 + 2 * np.exp(-8)))).all()


@pytest.mark.parametrize(("width", "height"), [(33, 63), (63, 9), (128, 128), (320, 192)])
def test_an_image_twice_or_a_few_times_as_large_as_the_input_is_not_shifted(width, height):
    """Wrong pixels on either side of an outline are equally many: no side wins."""
    labels_HW = np.zeros((height, width), dtype=np.int16)
    labels_HW[:, width // 3 :] = 1
    labels_HW[height // 2 :, :] += 1

    found_HW, _ = classes(answer(COLOURS[labels_HW], 64, LEARNER), width, height, 64, 1.0)

    for label in range(3):
        off = np.argwhere(found_HW == label).mean(axis=0) - np.argwhere(labels_HW == label).mean(
            axis=0
        )
        assert np.abs(off).max() <= 0.5 * max(width, height) / 64


def near_outline(labels_HW, reach):
    """Which pixels have one of another class within a few pixels, in both directions."""
    near_HW = np.zeros(labels_HW.shape, dtype=bool)
    padded = np.pad(labels_HW, reach, mode="edge")
    height, width = labels_HW.shape
    for down in range(2 * reach + 1):
        for across in range(2 * reach + 1):
            near_HW |= padded[down : down + height, across : across + width] != labels_HW
    return near_HW


@settings(max_examples=40)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size_px=st.sampled_from([16, 32, 40]),
    stride=st.sampled_from([1, 2, 4, 8]),
    seed=st.integers(0, 9),
)
def test_logits_are_those_of_torch_enlarged_to_the_letterbox(width, height, size_px, stride, seed):
    """Where the image is as large as in its letterbox, torch's own enlarging says the same."""
    inner_width, inner_height = inner_size(width, height, size_px)
    generator = torch.Generator().manual_seed(seed)
    side = size_px // stride
    logits = torch.randn(1, 5, side, side, generator=generator).half().float()
    large = functional.interpolate(
        logits, size=(size_px, size_px), mode="bilinear", align_corners=False
    )
    expected_CHW = large[0, :, :inner_height, :inner_width]
    output = PixelScores(logits[0].half().numpy())

    found_HW, confidence_HW = classes(output, inner_width, inner_height, size_px, 2.0)

    likeliest = (expected_CHW / 2).softmax(dim=0).amax(dim=0)
    assert np.abs(confidence_HW - CERTAIN * likeliest.numpy()).max() <= 0.5 + 1e-3
    # Where two are as likely as each other, either may come out.
    best_CHW = expected_CHW.topk(2, dim=0).values
    clear = (best_CHW[0] - best_CHW[1] > 1e-4).numpy()
    assert (found_HW == expected_CHW.argmax(dim=0).numpy())[clear].all()

    places_P = np.arange(0, size_px**2, 7)
    some_PC = logits_at(output, places_P, size_px)
    assert some_PC == pytest.approx(large[0].flatten(1).T[places_P].numpy(), abs=5e-3)


@pytest.mark.parametrize("values", [1, 700, 10**9], ids=["a row each", "a few rows", "all"])
def test_bands_change_nothing(monkeypatch, values):
    labels_HW = blocks(75, 130, 10)
    output = answer(COLOURS[labels_HW], 64, LEARNER)
    expected = classes(output, 130, 75, 64, 1.0)

    monkeypatch.setattr(outputs, "_BAND_VALUES", values)

    for one, other in zip(classes(output, 130, 75, 64, 1.0), expected, strict=True):
        assert (one == other).all()


def test_a_temperature_changes_confidence_and_no_class():
    output = answer(COLOURS[blocks(64, 64, 4)], 64, LEARNER)

    sharp_HW, sharp = classes(output, 64, 64, 64, 1.0)
    dull_HW, dull = classes(output, 64, 64, 64, 8.0)

    assert (sharp_HW == dull_HW).all()
    assert (dull == round(CERTAIN * np.e / (np.e + 2))).all()
    assert sharp.min() > dull.max()


def test_numbers_beyond_float16_stay_finite():
    logits = torch.tensor([1e6, -1e6, 0.0]).view(1, 3, 1, 1)

    (output,) = outputs.scores(logits)
    found_HW, confidence_HW = classes(output, 2, 2, 32, 1.0)

    assert np.isfinite(output.logits_Chw).all()
    assert (found_HW == 0).all()
    assert (confidence_HW == CERTAIN).all()


class TestPixelClasses:
    """Kept small, and the same when they are looked at."""

    def test_they_are_what_they_were(self):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 300, (7, 5)).astype(np.int16)
        confidence = rng.integers(0, 256, (7, 5), dtype=np.uint8)

        kept = PixelClasses(LabelMap.pack(labels), confidence.T.copy().T)

        assert (kept.labels.unpack() == labels).all()
        assert (kept.confidence_HW == confidence).all()
        assert settle(kept, 5, 7, 64, 1.0) is kept
        found, sure = classes(kept, 5, 7, 64, 1.0)
        assert (found == labels).all()
        assert (sure == confidence).all()

    def test_sizes_must_agree(self):
        with pytest.raises(ValueError, match="is not"):
            PixelClasses(LabelMap.pack(np.zeros((2, 3), np.int16)), np.zeros((3, 2), np.uint8))
