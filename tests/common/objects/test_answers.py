"""How far the answers for some images are apart."""

import pytest

from common.objects import answers
from tests.common.metrics.made_objects import detections

BOX, OTHER, THIRD = (10, 20, 30, 40), (50, 10, 90, 30), (5, 5, 95, 45)
FOUND = detections((BOX, 0, 0.9), (OTHER, 1, 0.5), (THIRD, 2, 0.25), (BOX, 2, 0.05))


def test_equal_answers_do_not_differ():
    assert answers.difference([FOUND], [FOUND]) == 0
    assert answers.difference([detections()], [detections()]) == 0


def test_it_is_that_of_the_score_at_the_same_place():
    """The boxes are off by a pixel, an IoU of 0.95."""
    ours = detections(((10, 20, 30, 39), 0, 0.87))

    assert difference(ours, detections((BOX, 0, 0.9))) == pytest.approx(0.03)


def test_three_in_four_decide():
    """Differences of 0, 0.1, 0.2, 0.3 and 0.4, each seen from both answers."""
    places = [((20 * i, 0, 20 * i + 10, 10), 0) for i in range(5)]
    ours = detections(*[(box, label, 0.5) for box, label in places])
    theirs = detections(*[(*one, 0.5 + i / 10) for i, one in enumerate(places)])

    assert difference(ours, theirs) == pytest.approx(0.3)
    assert answers.difference([ours, ours], [theirs, theirs]) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(((10, 20, 30, 29), 0, 0.9), id="its box is another"),
        pytest.param((BOX, 1, 0.9), id="its class is another"),
    ],
)
def test_an_object_that_the_other_lacks_counts_whole(moved):
    assert difference(detections(moved), detections((BOX, 0, 0.9))) == pytest.approx(0.9)


def test_one_too_many_counts_as_one_too_few():
    assert difference(detections(), FOUND) == pytest.approx(difference(FOUND, detections()))
    assert difference(detections(), detections((BOX, 0, 0.9))) == pytest.approx(0.9)


def test_it_does_not_matter_which_of_two_near_equals_suppressed_the_other():
    """Boxes of an IoU of 0.67, of which suppression leaves one."""
    ours, theirs = ((10, 20, 30, 40), 0, 0.802), ((14, 20, 34, 40), 0, 0.8)

    assert difference(detections(ours), detections(theirs)) == pytest.approx(0.002, rel=1e-3)


def test_what_hardly_scores_is_not_compared():
    """But may be what an object of the other has become."""
    assert difference(detections((BOX, 0, 0.09)), detections()) == 0
    assert difference(detections((BOX, 0, 0.09)), detections((BOX, 0, 0.11))) == pytest.approx(0.02)


def difference(ours, theirs):
    """That of one image."""
    return answers.difference([ours], [theirs])
