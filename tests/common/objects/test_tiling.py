"""What was found in tiles, merged."""

from dataclasses import replace

import numpy as np
import pytest

from common.objects.targets import Detections
from common.objects.tiling import MOST_MERGED, merge
from common.serving.tiles import Tile, cut

SIZE_PX = 100
# An image of 180 × 100: the whole, scaled by 100 / 180, then two tiles in its own resolution.
WIDTH, HEIGHT = 180, 100
TILES = [Tile(0, 0, 180, 100), Tile(0, 0, 100, 100), Tile(80, 0, 100, 100)]
SCALE = (100 / 180, 56 / 100) * 2
NONE = []


def detections(found):
    """From (box, label, score) each."""
    return Detections(
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([label for _, label, _ in found], np.int64),
        np.array([score for _, _, score in found], np.float32),
    )


def merged(whole, left, right):
    """Merge, and return boxes in pixels of the image with labels and scores."""
    whole = [(tuple(np.multiply(box, SCALE)), *rest) for box, *rest in whole]
    outputs = [detections(found) for found in (whole, left, right)]
    found = merge(outputs, TILES, WIDTH, HEIGHT, SIZE_PX)
    boxes = found.boxes_K4 / np.array(SCALE, np.float32)
    return [
        (tuple(round(float(side), 1) for side in box), int(label), pytest.approx(float(score)))
        for box, label, score in zip(boxes, found.labels_K, found.scores_K, strict=True)
    ]


def test_the_merge_is_in_pixels_of_the_networks_input():
    """180 pixels become 100, and 100 become 56."""
    outputs = [detections(found) for found in (NONE, NONE, [((10, 20, 30, 40), 1, 0.9)])]

    found = merge(outputs, TILES, WIDTH, HEIGHT, SIZE_PX)

    assert found.boxes_K4 == pytest.approx(np.array([[50, 11.2, 61.11, 22.4]]), abs=0.01)
    assert found.boxes_K4.dtype == np.float32


def test_boxes_of_a_tile_are_where_the_tile_is():
    assert merged(NONE, [((10, 20, 30, 40), 0, 0.8)], [((10, 20, 30, 40), 0, 0.7)]) == [
        ((10, 20, 30, 40), 0, 0.8),
        ((90, 20, 110, 40), 0, 0.7),
    ]


def test_an_object_that_two_tiles_see_is_one():
    """Both see it whole, where they overlap: from 80 to 100."""
    left, right = ((82, 50, 94, 60), 2, 0.6), ((2, 50, 15, 60), 2, 0.9)

    assert merged(NONE, [left], [right]) == [((82, 50, 95, 60), 2, 0.9)]


def test_neighbours_of_different_classes_stay():
    left, right = ((82, 50, 94, 60), 2, 0.6), ((2, 50, 14, 60), 1, 0.9)

    assert len(merged(NONE, [left], [right])) == 2


def test_a_part_that_a_border_has_cut_gives_way_to_the_whole():
    """The left tile sees a third, which scores more and overlaps too little to be suppressed."""
    part, whole = ((90, 50, 100, 60), 0, 0.95), ((10, 50, 40, 60), 0, 0.6)

    assert merged(NONE, [part], [whole]) == [((90, 50, 120, 60), 0, 0.6)]


def test_parts_of_what_no_tile_has_whole_give_way_to_the_image():
    large = (10, 10, 170, 90)
    parts = ((10, 10, 100, 90), 0, 0.9), ((0, 10, 90, 90), 0, 0.9)

    assert merged([(large, 0, 0.7)], [parts[0]], [parts[1]]) == [(large, 0, 0.7)]


def test_a_part_stays_if_nothing_else_has_the_object():
    part = ((90, 50, 100, 60), 0, 0.6)

    assert merged(NONE, [part], NONE) == [(*part[:1], 0, 0.6)]


def test_a_part_stays_if_the_whole_is_unlikely_or_of_another_class():
    part = ((90, 50, 100, 60), 0, 0.9)
    unlikely = ((10, 50, 40, 60), 0, 0.1)
    other = ((10, 70, 40, 90), 1, 0.9)

    assert merged(NONE, [part], [unlikely, other])[0] == ((90, 50, 100, 60), 0, 0.9)


def test_the_border_of_the_image_cuts_nothing():
    """What ends there ends there, though something larger of its class lies around it."""
    at_border, around = ((0, 0, 10, 10), 0, 0.6), ((0, 0, 60, 60), 0, 0.9)

    assert len(merged(NONE, [at_border, around], NONE)) == 2


def test_the_merge_is_in_the_order_of_scores():
    rng = np.random.default_rng(0)
    outputs = []
    for _ in TILES:
        corners = rng.uniform(0, 90, (50, 2))
        boxes = np.hstack([corners, corners + rng.uniform(2, 10, (50, 2))])
        scores = -np.sort(-rng.uniform(size=50))
        labels = rng.integers(0, 3, 50)
        outputs.append(Detections(boxes.astype(np.float32), labels, scores.astype(np.float32)))

    found = merge(outputs, TILES, WIDTH, HEIGHT, SIZE_PX)

    assert 50 < len(found) < 150
    assert (np.diff(found.scores_K) <= 0).all()


def test_the_work_is_bounded():
    """65 tiles with 500 objects each, all over each other."""
    tiles = cut(700, 700, SIZE_PX)
    rng = np.random.default_rng(0)
    outputs = []
    for _ in tiles:
        corners = rng.uniform(0, 99, (500, 2))
        boxes = np.hstack([corners, np.minimum(corners + 5, 100)])
        scores = np.full(500, 0.5)
        outputs.append(
            Detections(boxes.astype(np.float32), np.zeros(500, np.int64), scores.astype(np.float32))
        )

    found = merge(outputs, tiles, 700, 700, SIZE_PX)

    assert 500 < len(found) <= MOST_MERGED


def test_a_sliver_of_what_is_larger_than_a_tile_gives_way_to_the_image():
    """A pixel of it reaches into the right tile, and the box of the whole ends just before."""
    whole = (10, 10, 80, 90)
    sliver = ((0, 12, 1, 88), 0, 0.9)

    assert merged([(whole, 0, 0.7)], NONE, [sliver]) == [(whole, 0, 0.7)]


def test_masks_stay_with_their_objects_and_lie_where_their_tiles_do():
    """A mask says by its value whose it is; its span is that of the box that the network gave."""
    outputs = [
        with_masks([((5, 5, 60, 50), 1, 0.3)], 0.1),
        with_masks([((10, 20, 30, 40), 0, 0.8), ((82, 50, 94, 60), 2, 0.6)], 0.2),
        with_masks([((50, 20, 130, 40), 0, 0.7), ((2, 50, 15, 60), 2, 0.9)], 0.3),
    ]

    found = merge(outputs, TILES, WIDTH, HEIGHT, SIZE_PX)

    assert found.masks_KMM[:, 0, 0].tolist() == pytest.approx([0.31, 0.2, 0.3, 0.1])
    assert found.labels_K.tolist() == [2, 0, 0, 1]
    spans = found.spans_K4 / np.array(SCALE, np.float32)
    assert spans[0] == pytest.approx([82, 50, 95, 60])
    # The third box reaches out of its tile, where it is cut and its mask is not.
    assert spans[2] == pytest.approx([130, 20, 210, 40])
    assert (found.boxes_K4 / np.array(SCALE, np.float32))[2] == pytest.approx([130, 20, 180, 40])


def with_masks(found, value):
    """The masks of the first, second … object are full of the value, the value + 0.01, …."""
    plain = detections(found)
    values_K = np.float32(value) + np.arange(len(plain), dtype=np.float32) / 100
    masks_KMM = np.broadcast_to(values_K[:, None, None], (len(plain), 28, 28)).copy()
    return replace(plain, masks_KMM=masks_KMM)


def test_nothing_found_is_nothing():
    assert merged(NONE, NONE, NONE) == []
