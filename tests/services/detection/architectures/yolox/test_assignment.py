"""SimOTA gives what a slow and obvious implementation gives."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.detection.architectures.yolox import anchors as anchoring
from services.detection.architectures.yolox import assignment

SHAPES = [(8, 8), (4, 4), (2, 2)]  # of an input of 64 pixels: 84 anchors
NO_BOXES, NO_LABELS = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return common / (area - common) if area > common else 0.0


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def slowly(boxes, objects, classes, centres, strides, true_boxes, true_labels):
    """SimOTA for one image, in plain numbers: {anchor: (object, IoU)} and the sums of IoUs."""

    def is_inside(anchor, box):
        (x, y), (xmin, ymin, xmax, ymax) = centres[anchor], box
        return xmin < x < xmax and ymin < y < ymax

    def is_near(anchor, box):
        (x, y), (xmin, ymin, xmax, ymax) = centres[anchor], box
        across, down = abs(x - (xmin + xmax) / 2), abs(y - (ymin + ymax) / 2)
        return max(across, down) < 2.5 * strides[anchor]

    def cost(anchor, box, label):
        total = 0.0
        for c, logit in enumerate(classes[anchor]):
            score = math.sqrt(sigmoid(logit) * sigmoid(objects[anchor]))
            total -= math.log(score if c == label else 1 - score)
        total -= 3 * math.log(iou(boxes[anchor], box) + 1e-8)
        return total if is_inside(anchor, box) and is_near(anchor, box) else total + 1000

    asked = [
        anchor
        for anchor in range(len(centres))
        if any(is_inside(anchor, box) or is_near(anchor, box) for box in true_boxes)
    ]
    costs = [
        {anchor: cost(anchor, box, label) for anchor in asked}
        for box, label in zip(true_boxes, true_labels, strict=True)
    ]
    takers, sums = {}, []
    for number, box in enumerate(true_boxes):
        best = sorted((iou(boxes[anchor], box) for anchor in asked), reverse=True)[:10]
        sums.append(sum(best))
        cheapest = sorted(asked, key=costs[number].__getitem__)[: max(1, int(sums[-1]))]
        for anchor in cheapest:
            takers.setdefault(anchor, []).append(number)
    matches = {}
    for anchor, numbers in takers.items():
        owner = numbers[0]
        if len(numbers) > 1:
            owner = min(range(len(true_boxes)), key=lambda number: costs[number][anchor])
        matches[anchor] = (owner, iou(boxes[anchor], true_boxes[owner]))
    return matches, sums


def draw_batch(seed, counts, class_count, shapes=SHAPES):
    """Return what a half-trained network might tell of images with these numbers of objects."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape, low=0.0, high=1.0):
        return torch.rand(*shape, generator=generator) * (high - low) + low

    anchors = anchoring.make(shapes)
    side = 8 * shapes[0][0]
    boxes, labels = [], []
    for count in counts:
        centres_K2 = uniform(count, 2, high=side)
        halves_K2 = uniform(count, 2, low=1, high=side / 4)
        boxes.append(torch.cat((centres_K2 - halves_K2, centres_K2 + halves_K2), 1).clamp(0, side))
        labels.append(torch.randint(class_count, (count,), generator=generator))
    told_NA4 = uniform(len(counts), len(anchors), 4, low=-1, high=2)
    objects_NA = uniform(len(counts), len(anchors), low=-4, high=4)
    classes_NAC = uniform(len(counts), len(anchors), class_count, low=-4, high=4)
    return anchoring.decode(told_NA4, anchors), objects_NA, classes_NAC, anchors, boxes, labels


def matches(found, image):
    """Return {anchor: (object, IoU)} of an image; an anchor may be there only once."""
    of_image = found.images_F == image
    anchors = found.anchors_F[of_image].tolist()
    assert len(set(anchors)) == len(anchors)
    objects, ious = found.objects_F[of_image].tolist(), found.ious_F[of_image].tolist()
    return dict(zip(anchors, zip(objects, ious, strict=True), strict=True))


def assert_as_slowly(batch):
    boxes_NA4, objects_NA, classes_NAC, anchors, true_boxes, true_labels = batch
    found = assignment.assign(*batch)
    for image, (boxes, labels) in enumerate(zip(true_boxes, true_labels, strict=True)):
        expected, sums = slowly(
            boxes_NA4[image].tolist(),
            objects_NA[image].tolist(),
            classes_NAC[image].tolist(),
            anchors.centres_A2.tolist(),
            anchors.strides_A1[:, 0].tolist(),
            boxes.tolist(),
            labels.tolist(),
        )
        # A sum at 2, 3, … may fall on either side of it by the last bit.
        if any(total > 1.5 and abs(total - round(total)) < 1e-4 for total in sums):
            continue
        ours = matches(found, image)
        assert {a: k for a, (k, _) in ours.items()} == {a: k for a, (k, _) in expected.items()}
        assert all(abs(ours[anchor][1] - expected[anchor][1]) < 1e-4 for anchor in ours)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    class_count=st.integers(1, 5),
)
def test_a_batch_is_assigned_as_slowly(seed, counts, class_count):
    """Images without an object and with many, which have to share anchors, beside each other."""
    assert_as_slowly(draw_batch(seed, counts, class_count))


@pytest.mark.parametrize(
    "counts", [[1], [0, 3], [100, 0, 2]], ids=["one", "an empty image", "more objects than anchors"]
)
def test_edges_are_assigned_as_slowly(counts):
    """Cases that a random draw may miss."""
    for seed in range(3):
        assert_as_slowly(draw_batch(seed, counts, 3))


def test_images_do_not_depend_on_their_neighbours(monkeypatch):
    """Looked at together or one by one, to save memory, the same comes out."""
    batch = draw_batch(0, [3, 0, 40, 1, 0, 7], 3)
    together = assignment.assign(*batch)
    monkeypatch.setattr(assignment, "_PAIRS", 300)
    alone = assignment.assign(*batch)

    for image in range(6):
        assert matches(together, image) == matches(alone, image)


def test_identical_boxes_share_no_anchor():
    """Two objects in one place with one class cost the same; the first gets the anchors."""
    boxes_NA4, objects_NA, classes_NAC, anchors, _, _ = draw_batch(1, [1], 2)
    twice = [torch.tensor([[10.0, 10, 40, 44]] * 2)]

    found = assignment.assign(
        boxes_NA4, objects_NA, classes_NAC, anchors, twice, [torch.tensor([1, 1])]
    )

    assert len(found.anchors_F) >= 1
    assert set(found.objects_F.tolist()) == {0}
    assert len(set(found.anchors_F.tolist())) == len(found.anchors_F)


def test_identical_boxes_of_two_classes_go_to_the_likelier():
    """Where the network says class 0, the object of class 0 gets the anchor."""
    boxes_NA4, objects_NA, _, anchors, _, _ = draw_batch(1, [1], 2)
    classes_NAC = torch.tensor([3.0, -3.0]).expand(1, len(anchors), 2).clone()
    classes_NAC[:, ::2] *= -1
    twice = [torch.tensor([[10.0, 10, 40, 44]] * 2)]

    found = assignment.assign(
        boxes_NA4, objects_NA, classes_NAC, anchors, twice, [torch.tensor([0, 1])]
    )

    assert set(found.objects_F.tolist()) == {0, 1}
    assert torch.equal(found.objects_F, 1 - found.anchors_F % 2)


@pytest.mark.parametrize("counts", [[], [0], [0, 0]], ids=["no image", "one", "two"])
def test_without_objects_nothing_is_assigned(counts):
    """And nothing breaks."""
    anchors = anchoring.make(SHAPES)
    size = (len(counts), len(anchors))

    found = assignment.assign(
        torch.zeros(*size, 4),
        torch.zeros(size),
        torch.zeros(*size, 2),
        anchors,
        [NO_BOXES] * len(counts),
        [NO_LABELS] * len(counts),
    )

    assert [len(part) for part in found] == [0, 0, 0, 0]


def test_an_object_smaller_than_a_cell_gets_an_anchor():
    """Even if no anchor's centre lies in it: one near it must do."""
    boxes_NA4, objects_NA, classes_NAC, anchors, _, _ = draw_batch(2, [0], 1)
    tiny = [torch.tensor([[0.0, 0, 2, 2]])]

    found = assignment.assign(
        boxes_NA4, objects_NA, classes_NAC, anchors, tiny, [torch.tensor([0])]
    )

    assert len(found.anchors_F) == 1


def test_each_of_five_hundred_objects_at_640_pixels_is_found():
    """On a grid, so that each has anchors of its own; the two images are looked at one by one."""
    shapes = [(80, 80), (40, 40), (20, 20)]
    boxes_NA4, objects_NA, classes_NAC, anchors, _, labels = draw_batch(0, [500, 500], 80, shapes)
    lower_K2 = torch.cartesian_prod(torch.arange(25.0), torch.arange(20.0)) * 25.6
    grid = [torch.cat((lower_K2, lower_K2 + 24), dim=1)] * 2

    found = assignment.assign(boxes_NA4, objects_NA, classes_NAC, anchors, grid, labels)

    for image in range(2):
        assert len({k for k, _ in matches(found, image).values()}) == 500
    assert len(list(assignment._groups([500, 500], len(anchors)))) == 2


def test_images_are_grouped_by_what_they_need():
    """Neighbours share a group unless filling up to the fullest would take too much."""
    groups = assignment._groups([2, 3, 5000, 1, 0, 1], 8400)

    assert [(group.start, group.stop) for group in groups] == [(0, 2), (2, 3), (3, 6)]


def test_a_network_that_has_diverged_breaks_nothing():
    """The loop says so, once the loss is no number."""
    _, objects_NA, classes_NAC, anchors, boxes, labels = draw_batch(3, [4], 2)
    nothing_NA4 = torch.full((1, len(anchors), 4), torch.nan)

    found = assignment.assign(nothing_NA4, objects_NA, classes_NAC, anchors, boxes, labels)

    assert len(found.anchors_F) <= len(anchors)
