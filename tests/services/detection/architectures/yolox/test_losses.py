"""The loss, counted by hand, and overlaps."""

import math

import pytest
import torch

from services.detection.architectures.yolox import anchors as anchoring
from services.detection.architectures.yolox import overlap
from services.detection.architectures.yolox.head import Told
from services.detection.architectures.yolox.losses import losses

# Of a 32×32 input: 16, 4 and 1 anchors.
ANCHORS = anchoring.make([(4, 4), (2, 2), (1, 1)])
NO_BOXES, NO_LABELS = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)


def told(boxes_NA4, objects=0.0, classes=(0.0, 0.0)):
    """What a network tells that sees everywhere the same, but for the boxes."""
    size = boxes_NA4.shape[:2]
    return Told(
        anchoring.encode(boxes_NA4, ANCHORS).requires_grad_(),
        torch.full(size, objects, requires_grad=True),
        torch.tensor(classes).expand(*size, -1).clone().requires_grad_(),
        ANCHORS,
    )


def squares(count):
    """Every anchor tells a square of 8 pixels around its centre."""
    centres_A2 = ANCHORS.centres_A2
    return torch.cat((centres_A2 - 4, centres_A2 + 4), dim=1).expand(count, -1, -1)


def test_a_box_found_exactly():
    """The object is the square of one anchor; no other overlaps it enough to share it.

    The four anchors of stride 16 and the one of stride 32 overlap it partly: centres (8, 8) and
    (16, 16) against (12, 12) share 4×4 of 8×8 pixels, IoU 16 / 112, as do (24, 8) not at all. So
    the sum of IoUs is 1 + 2 × 1/7, and the object gets one anchor.
    """
    parts = losses(told(squares(1)), [torch.tensor([[8.0, 8, 16, 16]])], [torch.tensor([1])])

    # Every logit is 0: each of 21 anchors costs log 2, as does each of the two classes.
    assert parts["box"].item() == pytest.approx(0, abs=1e-5)
    assert parts["objectness"].item() == pytest.approx(21 * math.log(2))
    assert parts["class"].item() == pytest.approx(2 * math.log(2))


def test_a_box_found_by_half():
    """An IoU of one half costs 5 × (1 - 1/4), and the class should score one half."""
    parts = losses(
        told(squares(1), objects=2.0, classes=(3.0, -1.0)),
        [torch.tensor([[8.0, 8, 16, 12]])],
        [torch.tensor([0])],
    )

    def cross_entropy(logit, wanted):
        chance = 1 / (1 + math.exp(-logit))
        return -wanted * math.log(chance) - (1 - wanted) * math.log(1 - chance)

    assert parts["box"].item() == pytest.approx(3.75, rel=1e-4)
    assert parts["objectness"].item() == pytest.approx(
        cross_entropy(2, 1) + 20 * cross_entropy(2, 0), rel=1e-4
    )
    assert parts["class"].item() == pytest.approx(
        cross_entropy(3, 0.5) + cross_entropy(-1, 0), rel=1e-4
    )


def test_labels_and_boxes_are_those_of_the_right_image():
    """An image without an object between two with one: classes differ, boxes differ."""
    network = told(squares(3), objects=0.0, classes=(20.0, -20.0))
    boxes = [torch.tensor([[8.0, 8, 16, 16]]), NO_BOXES, torch.tensor([[16.0, 16, 24, 24]])]
    right = losses(network, boxes, [torch.tensor([0]), NO_LABELS, torch.tensor([0])])
    wrong = losses(network, boxes, [torch.tensor([0]), NO_LABELS, torch.tensor([1])])

    assert right["box"].item() == pytest.approx(0, abs=1e-5)
    assert right["class"].item() == pytest.approx(0, abs=1e-4)
    # One of two anchors is sure of the wrong class, twice by 20.
    assert wrong["class"].item() == pytest.approx(20, rel=1e-3)


def test_the_loss_is_a_mean_over_anchors_that_got_an_object():
    """The same image twice costs as much as once."""
    boxes, labels = torch.tensor([[3.0, 5, 25, 21], [20, 20, 31, 31]]), torch.tensor([1, 0])
    once = losses(told(squares(1)), [boxes], [labels])
    twice = losses(told(squares(2)), [boxes, boxes], [labels, labels])

    assert {name: part.item() for name, part in twice.items()} == pytest.approx(
        {name: part.item() for name, part in once.items()}
    )


def test_without_an_object_only_objectness_costs():
    """Its sum is taken as it is, and all that was told still gets a gradient."""
    network = told(squares(2))
    parts = losses(network, [NO_BOXES, NO_BOXES], [NO_LABELS, NO_LABELS])
    sum(parts.values()).backward()

    assert parts["box"].item() == parts["class"].item() == 0
    assert parts["objectness"].item() == pytest.approx(42 * math.log(2))
    assert network.boxes_NA4.grad.count_nonzero() == 0
    assert network.classes_NAC.grad.count_nonzero() == 0


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        pytest.param((0, 0, 4, 4), (0, 0, 4, 4), 1.0, id="the same"),
        pytest.param((0, 0, 4, 4), (2, 0, 6, 4), 1 / 3, id="half shared"),
        pytest.param((0, 0, 4, 4), (1, 1, 3, 3), 0.25, id="one in the other"),
        pytest.param((0, 0, 4, 4), (4, 0, 8, 4), 0.0, id="touching"),
        pytest.param((0, 0, 4, 4), (9, 9, 12, 12), 0.0, id="apart"),
        pytest.param((1, 1, 1, 1), (1, 1, 1, 1), 0.0, id="without area"),
    ],
)
def test_overlap(box, other, expected):
    """Intersection over union."""
    box_14 = torch.tensor([box], dtype=torch.float32)
    other_14 = torch.tensor([other], dtype=torch.float32)

    assert overlap.paired(box_14, other_14).item() == pytest.approx(expected)
    assert overlap.pairwise(box_14[None], other_14[None]).item() == pytest.approx(expected)
