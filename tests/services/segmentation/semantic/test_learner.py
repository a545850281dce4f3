"""The half of semantic segmentation that needs torch."""

import numpy as np
import pytest
import torch
from torch import nn

from common.data import transforms
from common.data.findings import FINDINGS, Report
from common.errors import Internal
from common.masks.label_maps import VOID, LabelMap
from common.serving import network as serving
from common.serving.tiles import cut
from nocode.vision.v1 import pipeline_pb2, prediction_pb2
from services.segmentation.semantic import annotation
from services.segmentation.semantic.learner import LEAST_REGION_PX, SemanticLearner
from services.segmentation.semantic.outputs import CERTAIN, PixelClasses, PixelScores
from tests.services.segmentation.semantic.made import (
    CLASSES,
    COLOURS,
    Sees,
    answer,
    blocks,
    model,
)

LEARNER = SemanticLearner()
SIZE_PX = 64


def target(labels_HW, size_px=SIZE_PX):
    height, width = labels_HW.shape
    return LEARNER.target(annotation.write(labels_HW), width, height, size_px)


def picture_of(labels_HW):
    """Colours of the classes; black where there are none."""
    return np.where((labels_HW == VOID)[..., None], np.uint8(0), COLOURS[labels_HW])


class TestTarget:
    """Classes of pixels in the letterbox."""

    def test_they_lie_where_the_image_does(self):
        """An image of 128 × 64 pixels is half as large there, and above void."""
        labels_HW = blocks(64, 128, 16)

        found = target(labels_HW)

        assert (found.width, found.height) == (SIZE_PX, SIZE_PX)
        assert (found.unpack()[:32] == labels_HW[::2, ::2]).all()
        assert (found.unpack()[32:] == VOID).all()

    @pytest.mark.parametrize(("width", "height"), [(97, 61), (240, 60), (31, 45), (5, 64)])
    def test_they_lie_as_the_pixels_do(self, width, height):
        """Where the resized image has a pure colour, the target has its class."""
        labels_HW = blocks(height, width, max(8, max(width, height) // 6))
        image_3SS = transforms.resize(picture_of(labels_HW), model(SIZE_PX).preprocessing)
        pure_SS = (image_3SS == 255).any(dim=0).numpy()

        found_SS = target(labels_HW).unpack()

        seen_SS = image_3SS.numpy().argmax(axis=0)
        assert (seen_SS == found_SS)[pure_SS].all()
        assert pure_SS.sum() > 0.4 * (found_SS != VOID).sum()

    def test_void_stays_void(self):
        labels_HW = np.full((64, 64), VOID, dtype=np.int16)
        labels_HW[3:9, 4:7] = 2

        assert (target(labels_HW).unpack() == labels_HW).all()

    def test_classes_with_hardly_a_pixel_left_are_reported(self):
        """One of 4 × 3 pixels, and one of 8 × 8 of which the network sees 2 × 2."""
        small, large = np.zeros((64, 64), np.int16), np.zeros((256, 256), np.int16)
        small[:4, :3] = 1
        large[:8, :8] = 1
        large[100:120, 100:120] = 2
        seen = {}

        class Heard(Report):
            def add(self, finding_id, examples, *, count=None, **values):
                seen[finding_id] = (count, values)

        LEARNER.check_targets([target(small), target(large)], SIZE_PX, Heard())

        assert "REGIONS_TINY" in FINDINGS
        assert seen == {"REGIONS_TINY": (2, {"minimum_px": LEAST_REGION_PX, "size_px": SIZE_PX})}


class TestTraining:
    """What it learns from."""

    def test_the_loss_is_that_of_what_the_network_says(self):
        """A network that sees colours has little to learn of an image of them, and void nothing."""
        labels_HW = blocks(64, 64, 8)
        images = torch.from_numpy(COLOURS[labels_HW]).permute(2, 0, 1)[None] / 255.0
        half_HW = labels_HW.copy()
        half_HW[:, 32:] = VOID
        wrong_HW = (labels_HW + 1) % 3

        def loss(labels):
            config = pipeline_pb2.TrainingConfig()
            return LEARNER.loss(Sees().train(), images, [target(labels)], config, None).item()

        assert loss(labels_HW) == pytest.approx(0.0013, abs=5e-4)
        assert loss(half_HW) == pytest.approx(0.0013, abs=5e-4)
        assert loss(wrong_HW) > 8

    def test_weights_of_classes_change_it(self):
        images = torch.rand(1, 3, 64, 64)
        config = pipeline_pb2.TrainingConfig()
        args = (Sees().train(), images, [target(blocks(64, 64, 8))], config)

        assert LEARNER.loss(*args, None) != LEARNER.loss(*args, torch.tensor([9.0, 1, 0.5]))
        assert LEARNER.loss(*args, None).item() == pytest.approx(
            LEARNER.loss(*args, torch.ones(3)).item()
        )


class TestValidation:
    """What decides on the best epoch."""

    def digest(self, logits, labels_HW, class_count=3):
        output = PixelScores(np.asarray(logits, dtype=np.float16))
        return LEARNER.digest(output, LabelMap.pack(np.int16(labels_HW)), class_count)

    def always(self, label, labels_HW):
        logits = np.zeros((3, 1, 1))
        logits[label] = 4
        return self.digest(logits, labels_HW)

    def test_it_is_counted_over_all_images_together(self):
        """Six pixels of class 0 and two of 1, of which all get 0; then two of 2, all right."""
        kept = [
            self.always(0, [[0, 0, VOID], [0, 0, 1], [1, 0, 0]]),
            self.always(2, [[2, VOID], [VOID, 2]]),
        ]

        metrics = LEARNER.validate(kept, [], 3)

        assert set(metrics) == {LEARNER.best_metric, LEARNER.tie_break}
        assert metrics["val_mean_iou"] == pytest.approx((6 / 8 + 0 + 1) / 3)
        assert metrics["val_pixel_accuracy"] == pytest.approx(8 / 10)

    def test_without_a_class_there_is_nothing_to_choose_an_epoch_by(self):
        assert LEARNER.validate([self.always(0, [[VOID, VOID], [VOID, VOID]])], [], 3) == {}

    def test_little_is_kept_of_an_answer(self):
        """However large it is; what is kept is spread over the image."""
        rng = np.random.default_rng(0)
        labels_HW = np.zeros((256, 256), dtype=np.int16)
        labels_HW[:64] = VOID

        kept = self.digest(rng.normal(size=(3, 256, 256)), labels_HW)

        assert 400 <= len(kept.logits_PC) <= 512
        assert kept.logits_PC.dtype == np.float16
        assert (kept.labels_P == 0).all()
        assert kept.cells.pixels_K.sum() == 192 * 256

    def test_what_is_kept_are_logits_of_those_pixels(self):
        """The network sees each pixel's class, so each kept logit says the kept label."""
        labels_HW = blocks(64, 64, 4)
        output = answer(COLOURS[labels_HW], SIZE_PX, LEARNER)

        kept = LEARNER.digest(output, target(labels_HW), 3)

        assert (kept.logits_PC.argmax(axis=1) == kept.labels_P).all()
        assert set(kept.labels_P.tolist()) == {0, 1, 2}


class TestCalibration:
    """Confidence that is honest."""

    def test_a_network_that_is_too_sure_gets_a_temperature(self):
        """It says 8 to 0 of every pixel, and is wrong at a quarter of them."""
        rng = np.random.default_rng(0)
        kept = []
        for _ in range(20):
            labels_HW = rng.integers(0, 2, (64, 64)).astype(np.int16)
            said_HW = np.where(rng.random((64, 64)) < 0.25, 1 - labels_HW, labels_HW)
            logits = np.stack([said_HW == 0, said_HW == 1]) * 8.0
            kept.append(
                LEARNER.digest(PixelScores(logits.astype(np.float16)), LabelMap.pack(labels_HW), 2)
            )

        temperature = LEARNER.calibrate(kept, [], 2).temperature

        assert 1 / (1 + np.exp(-8 / temperature)) == pytest.approx(0.75, abs=0.01)

    def test_of_nothing_nothing_is_learned(self):
        assert LEARNER.calibrate([], [], 3).temperature == 1.0

    def test_many_classes_and_pixels_take_bounded_memory(self, monkeypatch):
        """Of 40 images' pixels, only every tenth is looked at."""
        seen = []
        monkeypatch.setattr(
            "services.segmentation.semantic.learner.fit_temperature",
            lambda logits, labels: seen.append((len(logits), len(labels))) or 1.0,
        )
        monkeypatch.setattr("services.segmentation.semantic.learner._MOST_LOGITS", 6144)
        labels_HW = blocks(64, 64, 8)
        kept = LEARNER.digest(answer(COLOURS[labels_HW], 64, LEARNER), target(labels_HW), 3)

        LEARNER.calibrate([kept] * 40, [], 3)

        assert seen == [(2048, 2048)]


class TestAnswers:
    """From an image to what a caller gets."""

    def test_condensing_changes_no_answer(self):
        labels_HW = blocks(61, 97, 12)
        made = model(SIZE_PX, temperature=1.5)
        output = answer(COLOURS[labels_HW], SIZE_PX, LEARNER)
        options = prediction_pb2.PredictOptions()

        kept = LEARNER.condense(output, made, 97, 61)

        assert isinstance(kept, PixelClasses)
        assert LEARNER.predict(kept, made, 97, 61, options) == LEARNER.predict(
            output, made, 97, 61, options
        )

    def test_an_answer_that_is_not_finite_is_no_answer(self):
        """An evaluation must not count it as class 0."""
        logits_Chw = np.zeros((3, 8, 8), np.float16)
        logits_Chw[1, 2, 3] = np.nan

        with pytest.raises(Internal, match="lower learning rate"):
            LEARNER.condense(PixelScores(logits_Chw), model(SIZE_PX), 64, 64)

    def test_the_models_temperature_is_taken(self):
        labels_HW = np.zeros((64, 64), np.int16)
        output = answer(COLOURS[labels_HW], SIZE_PX, LEARNER)

        kept = LEARNER.condense(output, model(SIZE_PX, temperature=8.0), 64, 64)

        assert (kept.confidence_HW == round(CERTAIN * np.e / (np.e + 2))).all()

    def test_tiles_are_merged_to_an_answer_for_the_image(self):
        """Squares of three pixels, of which the image as a whole shows a blur."""
        labels_HW = blocks(150, 230, 3)
        image_HW3, made = COLOURS[labels_HW], model(SIZE_PX)
        tiles = cut(230, 150, SIZE_PX)
        said = [
            answer(
                image_HW3[one.ymin : one.ymin + one.height, one.xmin : one.xmin + one.width],
                SIZE_PX,
                LEARNER,
            )
            for one in tiles
        ]

        merged = LEARNER.merge(said, tiles, made, 230, 150)
        prediction = LEARNER.predict(merged, made, 230, 150, prediction_pb2.PredictOptions())

        assert (merged.labels.unpack() == labels_HW).all()
        counts = {
            one.class_name: one.pixel_count for one in prediction.semantic_segmentation.regions
        }
        assert counts == {
            name: int((labels_HW == label).sum()) for label, name in enumerate(CLASSES)
        }

    def test_an_answer_is_on_the_cpu_in_half_precision(self):
        with torch.inference_mode():
            found = LEARNER.forward(Sees(4).eval(), torch.rand(2, 3, 64, 64).bfloat16())

        assert [one.logits_Chw.shape for one in found] == [(3, 16, 16)] * 2
        assert all(one.logits_Chw.dtype == np.float16 for one in found)
        # What is kept of one does not keep the batch.
        assert all(one.logits_Chw.base is None for one in found)


class _Rounds(nn.Module):
    """In bf16 what it says differs by a lot, or hardly."""

    def __init__(self, offset):
        super().__init__()
        self.scale = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.scale.weight.copy_(4 * torch.eye(3)[:, :, None, None])
            self.scale.bias.copy_(torch.tensor([offset, 0.0, offset]))

    def forward(self, images):
        """Logits of each pixel."""
        return self.scale(images)


@pytest.mark.parametrize(
    ("offset", "precision"),
    [
        pytest.param(0.0, "bf16", id="it agrees"),
        # Near 1000, bf16 knows only every fourth number.
        pytest.param(1000.0, "fp32", id="it does not agree"),
    ],
)
def test_a_segmenter_is_served_in_bf16_where_the_answers_agree(monkeypatch, offset, precision):
    monkeypatch.setattr(serving, "has_bf16", lambda _: True)
    network = _Rounds(offset).eval().requires_grad_(requires_grad=False)

    made = serving.make(model(SIZE_PX), network, LEARNER, torch.device("cpu"), "auto")

    assert made.precision == precision
