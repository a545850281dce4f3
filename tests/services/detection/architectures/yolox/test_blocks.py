"""The parts of YOLOX of which one can say what they should give."""

import torch
from torch.nn import functional

from services.detection.architectures.yolox.blocks import Focus, SpatialPyramidPooling


def test_squares_of_pixels_are_read_column_by_column():
    """Upper left, lower left, upper right, lower right; each with its three colours."""
    focus = Focus(12).eval()
    torch.nn.init.dirac_(focus.conv.conv.weight)  # lets its input through
    focus.conv.act = torch.nn.Identity()
    image_13HW = torch.rand(1, 3, 4, 6)
    expected = torch.cat(
        [image_13HW[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1
    )

    with torch.inference_mode():
        out = focus(image_13HW)

    assert torch.allclose(out * (1 + 1e-3) ** 0.5, expected, atol=1e-6)


def test_a_maximum_of_maxima_is_that_of_the_larger_square():
    """Pooling over 5, 9 and 13 pixels, as published, to the last bit."""
    pooling = SpatialPyramidPooling(8).eval()
    x = torch.randn(2, 8, 10, 7)

    with torch.inference_mode():
        hidden = pooling.conv1(x)
        pooled = [functional.max_pool2d(hidden, side, 1, side // 2) for side in (5, 9, 13)]
        expected = pooling.conv2(torch.cat([hidden, *pooled], dim=1))
        assert torch.equal(pooling(x), expected)
