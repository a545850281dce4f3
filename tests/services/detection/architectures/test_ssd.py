"""SSD300's default boxes lie over the image, whatever its size."""

import pytest
import torch
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from services.detection.architectures import detectors


def default_boxes(network, size_px):
    """Boxes (A, 4) in pixels, and how many each map has."""
    with torch.device("meta"):
        image_13SS = torch.zeros(1, 3, size_px, size_px)
    features = list(network.to("meta").backbone(image_13SS).values())
    maps = [torch.zeros(1, 1, *feature.shape[2:]) for feature in features]
    packed = ImageList(torch.zeros(1, 3, size_px, size_px), [(size_px, size_px)])
    (boxes_A4,) = network.anchor_generator(packed, maps)
    per_cell = network.anchor_generator.num_anchors_per_location()
    return boxes_A4, [m.shape[2] ** 2 * count for m, count in zip(maps, per_cell, strict=True)]


@pytest.fixture(scope="module")
def network():
    with torch.device("meta"):
        return detectors.get("ssd300_vgg16").build(2)


def test_at_300_pixels_they_are_those_of_the_published_weights(network):
    """8,732 of them, as in the paper."""
    with torch.device("meta"):
        published = detection.ssd300_vgg16(weights=None, weights_backbone=None)
    ours_A4, _ = default_boxes(network, 300)
    theirs_A4, _ = default_boxes(published, 300)

    assert len(ours_A4) == 8732
    assert torch.equal(ours_A4, theirs_A4)


@pytest.mark.parametrize("size_px", [268, 320, 512, 800])
def test_at_other_sizes_their_centers_are_in_the_image(network, size_px):
    """And the last map's lie evenly over it."""
    boxes_A4, counts = default_boxes(network, size_px)
    centers_A2 = (boxes_A4[:, :2] + boxes_A4[:, 2:]) / 2
    last_2 = centers_A2[-counts[-1] :]

    assert centers_A2.min() >= 0
    assert centers_A2.max() <= size_px + 32  # half a cell of the fourth map
    torch.testing.assert_close(last_2.mean(dim=0), torch.full((2,), size_px / 2))


def test_below_the_smallest_size_nothing_is_left_to_look_at(network):
    """The registered minimum is the true one."""
    entry = detectors.get("ssd300_vgg16")
    below_px = entry.input_minimum_px - entry.input_multiple_px

    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        default_boxes(network, below_px)
