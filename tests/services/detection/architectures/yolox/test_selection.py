"""What of the scores at all anchors is called an object."""

import pytest
import torch

from services.detection.architectures.registry import MAX_DETECTIONS
from services.detection.architectures.yolox.selection import select


def found(boxes, scores, side=100):
    answer = select(torch.tensor(boxes, dtype=torch.float32), torch.tensor(scores), side, side)
    return answer["boxes"].tolist(), answer["labels"].tolist(), answer["scores"].tolist()


def test_of_two_boxes_on_one_object_the_surer_stays():
    """They share 0.8 of their union; the third shares 0.6 with the second and stays."""
    boxes = [[0, 0, 8, 10], [0, 0, 10, 10], [0, 0, 6, 10]]

    assert found(boxes, [[0.5], [0.9], [0.7]]) == (
        [[0, 0, 10, 10], [0, 0, 6, 10]],
        [0, 0],
        pytest.approx([0.9, 0.7]),
    )


def test_classes_do_not_suppress_each_other():
    """Two things may be in one place."""
    boxes, labels, _ = found([[0, 0, 10, 10]] * 2, [[0.2, 0.5], [0.6, 0.1]])

    assert boxes == [[0, 0, 10, 10]] * 2
    assert labels == [0, 1]


def test_an_anchor_finds_its_best_class_alone():
    """The second best is not an answer of its own."""
    _, labels, scores = found([[0, 0, 10, 10]], [[0.3, 0.8, 0.5]])

    assert labels == [1]
    assert scores == pytest.approx([0.8])


def test_boxes_are_cut_at_the_border():
    """And gone if nothing is left of them."""
    boxes, _, scores = found(
        [[-5, 90, 10, 120], [-20, 0, -5, 10], [50, 100, 60, 110]], [[0.5], [0.9], [0.9]]
    )

    assert boxes == [[0, 90, 10, 100]]
    assert scores == [0.5]


def test_the_border_is_that_of_the_image():
    """Height and width are not mixed up."""
    answer = select(torch.tensor([[0.0, 0, 99, 99]]), torch.tensor([[0.5]]), 32, 64)

    assert answer["boxes"].tolist() == [[0, 0, 64, 32]]


def test_what_hardly_scores_is_not_looked_at():
    """The floor itself is not above it."""
    boxes, labels, scores = found([[0, 0, 10, 10]] * 2, [[0.01], [0.001]])

    assert boxes == labels == scores == []


def test_at_most_so_many_are_found():
    """The surest of them; equal ones in the order of the anchors."""
    places_A2 = torch.cartesian_prod(torch.arange(40.0), torch.arange(40.0)) * 10
    boxes_A4 = torch.cat((places_A2, places_A2 + 8), dim=1)
    scores_A1 = torch.full((1600, 1), 0.5)
    scores_A1[-1] = 0.9

    answer = select(boxes_A4, scores_A1, 400, 400)

    assert len(answer["boxes"]) == MAX_DETECTIONS
    assert torch.equal(answer["boxes"][0], boxes_A4[-1])
    assert torch.equal(answer["boxes"][1:], boxes_A4[: MAX_DETECTIONS - 1])
