"""The loss of semantic segmentation, on numbers counted by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.masks.label_maps import VOID
from services.segmentation.semantic.loss import (
    AUXILIARY,
    MOST_WEIGHT,
    cross_entropy,
    dice,
    pixel_loss,
    tempered,
)


def log_likelihood(probabilities):
    """From the probability of class 1 of two for each pixel of one row."""
    ones_W = torch.tensor(probabilities)
    return torch.stack([1 - ones_W, ones_W]).log()[None, :, None]


class TestCrossEntropy:
    """What it averages over."""

    def test_it_is_the_mean_over_pixels_that_are_not_void(self):
        """The likelihoods of the truths are 0.5 and 0.25; the third pixel has no truth."""
        likelihood = log_likelihood([0.5, 0.75, 0.9])

        found = cross_entropy(likelihood, torch.tensor([[[1, 0, VOID]]]))

        assert found.item() == pytest.approx((math.log(2) + math.log(4)) / 2)

    def test_images_count_alike_however_many_pixels_are_void(self):
        likelihood = torch.cat([log_likelihood([0.5, 0.5]), log_likelihood([0.25, 0.9])])

        found = cross_entropy(likelihood, torch.tensor([[[1, 0]], [[1, VOID]]]))

        assert found.item() == pytest.approx((math.log(2) + math.log(4)) / 2)

    def test_a_pixel_counts_as_its_class(self):
        found = cross_entropy(
            log_likelihood([0.5, 0.75]), torch.tensor([[[1, 0]]]), torch.tensor([3.0, 0.5])
        )

        assert found.item() == pytest.approx((0.5 * math.log(2) + 3 * math.log(4)) / 2)

    def test_of_nothing_known_it_is_0(self):
        assert cross_entropy(log_likelihood([0.5]), torch.tensor([[[VOID]]])).item() == 0


class TestDice:
    """Twice what is shared over what both have, plus a pixel on both sides."""

    def test_by_hand(self):
        """Class 0: shares 0.75 of 1 and 0.75 + 0.5; class 1: 0.5 of 1 and 0.25 + 0.5."""
        ones = torch.tensor([0.25, 0.5, 1.0])
        probabilities = torch.stack([1 - ones, ones])[None, :, None]

        found = dice(probabilities, torch.tensor([[[0, 1, VOID]]]))

        zero = (2 * 0.75 + 1) / (1 + 1.25 + 1)
        one = (2 * 0.5 + 1) / (1 + 0.75 + 1)
        assert found.item() == pytest.approx(1 - (zero + one) / 2)

    def test_a_right_answer_costs_nothing(self):
        probabilities = torch.tensor([[[[1.0, 0.0, 0.3]], [[0.0, 1.0, 0.7]]]])

        assert dice(probabilities, torch.tensor([[[0, 1, VOID]]])).item() == pytest.approx(0)

    def test_classes_that_an_image_does_not_have_are_left_out(self):
        """Of three classes only the first is there, and it is found."""
        probabilities = torch.tensor([[[[1.0]], [[0.0]], [[0.0]]]])

        assert dice(probabilities, torch.tensor([[[0]]])).item() == pytest.approx(0)

    def test_of_nothing_known_it_is_0(self):
        assert dice(torch.tensor([[[[0.5]], [[0.5]]]]), torch.tensor([[[VOID]]])).item() == 0


class TestTempered:
    """Square roots of weights that were inverse to pixels."""

    def test_by_hand(self):
        """Of 100 pixels, 90 and 10: weights 5/9 and 5, roots as 1 : 3, and 1 on average."""
        weights = tempered(torch.tensor([100 / 2 / 90, 0.0, 100 / 2 / 10]))

        assert weights[1] == 0
        assert (weights[2] / weights[0]).item() == pytest.approx(3)
        assert (0.9 * weights[0] + 0.1 * weights[2]).item() == pytest.approx(1)

    @given(st.lists(st.integers(1, 10**7), min_size=1, max_size=9))
    def test_a_pixel_counts_1_on_average(self, counts):
        pixels = torch.tensor(counts, dtype=torch.float64)
        weights = tempered(pixels.mean() / pixels)

        assert (weights * pixels).sum().item() == pytest.approx(pixels.sum().item())

    def test_a_class_of_a_few_pixels_does_not_decide_on_a_step(self):
        """Of a hundred million pixels it has one; the root of that would be ten thousand."""
        pixels = torch.tensor([1.0, 1e5, 1e8 - 1e5 - 1])

        weights = tempered(pixels.mean() / pixels)

        assert (weights[0] / weights[2]).item() == pytest.approx(MOST_WEIGHT)
        assert (weights[0] / weights[1]).item() == pytest.approx(1, rel=1e-2)
        assert weights.max() <= MOST_WEIGHT


class TestPixelLoss:
    """All of it."""

    labels = torch.tensor([[[0, 1], [1, VOID]], [[1, 1], [0, 0]], [[VOID, VOID], [VOID, 0]]])

    def logits(self, side=2):
        generator = torch.Generator().manual_seed(0)
        return torch.randn(3, 2, side, side, generator=generator)

    @settings(max_examples=20)
    @given(st.integers(1, 2), st.booleans())
    def test_the_parts_of_a_split_batch_add_up(self, first, weighs):
        weights = torch.tensor([0.7, 2.0]) if weighs else None
        answers = {"out": self.logits(), "aux": self.logits(1)}

        def loss(where):
            part = {name: logits[where] for name, logits in answers.items()}
            return pixel_loss(part, self.labels[where], weights).item()

        whole = loss(slice(None))
        parts = first * loss(slice(first)) + (3 - first) * loss(slice(first, None))
        assert whole == pytest.approx(parts / 3)

    def test_the_second_classifier_counts_less(self):
        out, aux = self.logits(), self.logits(1)
        alone = pixel_loss({"out": out}, self.labels, None)
        together = pixel_loss({"out": out, "aux": aux}, self.labels, None)
        enlarged = aux.expand(3, 2, 2, 2).log_softmax(dim=1)

        assert (together - alone).item() == pytest.approx(
            AUXILIARY * cross_entropy(enlarged, self.labels).item(), rel=1e-5
        )

    def test_void_pixels_have_no_gradient(self):
        logits = self.logits().requires_grad_()

        pixel_loss({"out": logits}, self.labels, None).backward()

        void = (self.labels == VOID)[:, None].expand_as(logits)
        assert (logits.grad[void] == 0).all()
        assert (logits.grad[~void] != 0).all()

    def test_it_is_computed_in_fp32(self):
        """Under autocast and of logits in bf16, to all digits."""
        logits = self.logits().bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = pixel_loss({"out": logits}, self.labels, None)

        assert found.dtype == torch.float32
        assert found == pixel_loss({"out": logits.float()}, self.labels, None)
