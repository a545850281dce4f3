"""Answers of a segmenter."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from common.masks import rle
from common.masks.label_maps import LabelMap
from nocode.vision.v1.model_pb2 import Model
from nocode.vision.v1.prediction_pb2 import PredictOptions
from services.segmentation.semantic import answers
from services.segmentation.semantic.learner import SemanticLearner
from services.segmentation.semantic.outputs import CERTAIN, PixelClasses, PixelScores

CLASSES = ["sky", "tree", "car"]
# By class and by certainty, in tenths of 255 (rounded).
LABELS = np.array([[1, 1, 1, 0], [1, 2, 2, 0], [1, 2, 2, 2]], dtype=np.int16)
SCORES = np.array([[0.9, 0.8, 0.5, 0.6], [0.9, 0.4, 0.4, 0.6], [0.9, 0.4, 0.4, 1.0]])


def model(classes=CLASSES):
    made = Model(classes=classes, temperature=1.0)
    made.preprocessing.image_size_px = 32
    return made


def output(labels=LABELS, scores=SCORES):
    return PixelClasses(LabelMap.pack(labels), np.rint(scores * CERTAIN).astype(np.uint8))


def predict(said=None, made=None, size=(4, 3), **options):
    return answers.predict(said or output(), made or model(), *size, PredictOptions(**options))


def image_of(png):
    return np.array(Image.open(io.BytesIO(png)))


def mask_of(mask):
    if mask.WhichOneof("encoding") == "png":
        return image_of(mask.png)
    return rle.decode(rle.from_text(mask.rle.counts, mask.rle.height, mask.rle.width))


class TestPredict:
    """What a caller gets."""

    def test_each_pixel_has_the_index_of_its_class(self):
        prediction = predict()

        png = Image.open(io.BytesIO(prediction.semantic_segmentation.class_index_png))
        assert png.format == "PNG"
        assert png.mode == "L"
        assert (np.array(png) == LABELS).all()
        assert (prediction.image_width, prediction.image_height) == (4, 3)

    def test_regions_are_the_classes_there_largest_first(self):
        """Trees and cars have five pixels each: the lower index comes first."""
        regions = predict().semantic_segmentation.regions

        assert [(one.class_name, one.class_index, one.pixel_count) for one in regions] == [
            ("tree", 1, 5),
            ("car", 2, 5),
            ("sky", 0, 2),
        ]
        means = [(3 * 0.9 + 0.8 + 0.5) / 5, (4 * 0.4 + 1) / 5, 0.6]
        assert [one.mean_score for one in regions] == pytest.approx(means, abs=0.5 / CERTAIN)

    @pytest.mark.parametrize(
        ("mask_format", "inside"),
        [("MASK_FORMAT_UNSPECIFIED", 1), ("MASK_FORMAT_RLE", 1), ("MASK_FORMAT_PNG", 255)],
    )
    def test_masks_are_those_pixels_in_the_format_asked_for(self, mask_format, inside):
        regions = predict(mask_format=mask_format).semantic_segmentation.regions

        for region in regions:
            expected = np.where(region.class_index == LABELS, inside, 0)
            assert (mask_of(region.mask) == expected).all()

    def test_unlikely_pixels_are_in_no_region(self):
        """But each still has its likeliest class in the PNG."""
        answer = predict(score_threshold=0.6).semantic_segmentation

        assert [(one.class_name, one.pixel_count) for one in answer.regions] == [
            ("tree", 4),
            ("sky", 2),
            ("car", 1),
        ]
        assert mask_of(answer.regions[2].mask).tolist() == [[0] * 4, [0] * 4, [0, 0, 0, 1]]
        assert (image_of(answer.class_index_png) == LABELS).all()

    def test_a_threshold_above_all_leaves_no_region(self):
        likely = output(scores=np.full(LABELS.shape, 0.9))

        answer = predict(likely, score_threshold=0.95).semantic_segmentation

        assert not answer.regions
        assert answer.class_index_png

    def test_more_classes_than_8_bits_count_take_16(self):
        labels = np.array([[0, 256], [299, 255]], dtype=np.int16)
        made = model([f"c{number}" for number in range(300)])

        answer = predict(output(labels, np.ones((2, 2))), made, (2, 2)).semantic_segmentation

        png = Image.open(io.BytesIO(answer.class_index_png))
        assert png.mode == "I;16"
        assert (np.array(png) == labels).all()
        assert {one.class_name for one in answer.regions} == {"c0", "c255", "c256", "c299"}

    def test_256_classes_fit_8_bits(self):
        made = model([f"c{number}" for number in range(256)])

        answer = predict(output(np.int16([[255]]), np.ones((1, 1))), made, (1, 1))

        png = Image.open(io.BytesIO(answer.semantic_segmentation.class_index_png))
        assert png.mode == "L"
        assert np.array(png).tolist() == [[255]]

    def test_scores_of_a_letterbox_are_settled_first(self):
        """Of an image of 4 × 2 pixels the letterbox of 32 shows nothing in its lower half."""
        logits = np.zeros((3, 2, 2), dtype=np.float16)
        logits[2, 0], logits[0, 1] = 5, 9

        answer = predict(PixelScores(logits), size=(4, 2)).semantic_segmentation

        assert image_of(answer.class_index_png).shape == (2, 4)
        assert answer.regions[0].class_name == "car"


def enlarged(pixels_HW):
    """Large enough to be drawn as it is."""
    return np.repeat(np.repeat(pixels_HW, 100, axis=0), 100, axis=1)


class TestDraw:
    """The picture of an answer."""

    def test_pixels_of_a_class_look_alike_and_others_differ(self):
        labels, scores = enlarged(LABELS), enlarged(SCORES)
        image = np.full((300, 400, 3), 128, dtype=np.uint8)
        prediction = predict(output(labels, scores), size=(400, 300))

        drawn = answers.draw(image, prediction)

        assert (image == 128).all()
        tree, other_tree, car = drawn[250, 30], drawn[30, 70], drawn[250, 150]
        assert (tree == other_tree).all()
        assert (tree != car).any()

    @pytest.mark.parametrize("mask_format", ["MASK_FORMAT_RLE", "MASK_FORMAT_PNG"])
    def test_pixels_below_the_threshold_are_not_drawn_as_their_class(self, mask_format):
        labels, scores = enlarged(LABELS), enlarged(SCORES)
        image = np.full((300, 400, 3), 128, dtype=np.uint8)

        def drawn(**options):
            said = predict(output(labels, scores), size=(400, 300), **options)
            return answers.draw(image, said)

        every = drawn(mask_format=mask_format)
        likely = drawn(score_threshold=0.6, mask_format=mask_format)

        # The tree in the upper left has 0.9; the cars in the middle have 0.4.
        assert (likely[30, 30] == every[30, 30]).all()
        assert (likely[110:290, 110:290] != every[110:290, 110:290]).any()

    def test_without_a_region_the_picture_is_still_drawn(self):
        said = predict(output(scores=np.full(LABELS.shape, 0.5)), score_threshold=0.9)

        drawn = answers.draw(np.zeros((3, 4, 3), dtype=np.uint8), said)

        assert drawn.dtype == np.uint8


class TestDifference:
    """Whether two kinds of arithmetic agree."""

    def scores(self, *logits):
        """From rows of logits of one class; the other has 0."""
        rows = np.array(logits, dtype=np.float16)
        return PixelScores(np.stack([rows, np.zeros_like(rows)]))

    def test_it_is_in_probability_at_the_models_temperature(self):
        made = Model(classes="ab", temperature=2.0)
        one, other = self.scores([[4.0] * 5]), self.scores([[2.0] * 5])

        found = answers.difference([one, one], [other, other], made)

        assert found == pytest.approx(1 / (1 + np.exp(-2)) - 1 / (1 + np.exp(-1)), abs=1e-3)

    @pytest.mark.parametrize("flipped", [0, 1, 3])
    def test_clear_pixels_of_another_class_count_tenfold(self, flipped):
        """Of a thousand; to be as sure of one class as of the other is no other confidence."""
        logits = np.full((1, 1000), 6.0)
        wrong = logits.copy()
        wrong[0, :flipped] = -6

        found = answers.difference(
            [self.scores(*wrong)], [self.scores(*logits)], Model(classes="ab")
        )

        clear = 1 / (1 + np.exp(-6))
        assert found == pytest.approx(10 * (2 * clear - 1) * flipped / 1000, abs=1e-6)
        assert (found <= SemanticLearner.tolerance) == (flipped < 3)

    def test_pixels_between_two_classes_count_little(self):
        """A hundred of a thousand change sides, from 0.501 to 0.499."""
        logits = np.full((1, 1000), 6.0)
        logits[0, :100] = 0.004
        other = logits.copy()
        other[0, :100] = -0.004

        found = answers.difference(
            [self.scores(*other)], [self.scores(*logits)], Model(classes="ab")
        )

        assert found == pytest.approx(10 * 0.002 * 0.1, rel=0.01)

    def test_a_few_pixels_at_an_outline_do_not_decide(self):
        """Of one in a hundred the confidence is 0.3 off, and the class the same."""
        logits = np.full((1, 1000), 6.0)
        logits[0, :10] = 0.1
        other = logits.copy()
        other[0, :10] = 1.5

        found = answers.difference(
            [self.scores(*other)], [self.scores(*logits)], Model(classes="ab")
        )

        assert 0.002 < found < 0.004
        assert found < SemanticLearner.tolerance

    def test_the_gate_refuses_arithmetic_that_is_too_coarse(self):
        """Near 1,000, bf16 knows only every fourth number, so that colours become alike."""
        pixel = torch.nn.Conv2d(3, 3, 1).eval().requires_grad_(False)
        images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        learner, made = SemanticLearner(), Model(classes="abc")
        differences = []
        for bias in (0.0, 1000.0):
            pixel.weight.copy_(8 * torch.eye(3)[..., None, None])
            pixel.bias.fill_(bias)
            exact = learner.forward(pixel, images)
            fast = learner.forward(learner.in_bf16(pixel), images.bfloat16())
            differences.append(learner.difference(fast, exact, made))

        assert differences[0] < learner.tolerance < differences[1]
