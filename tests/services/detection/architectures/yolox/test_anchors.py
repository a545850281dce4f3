"""Anchors lie where they should, and what is told of boxes can be read both ways."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from services.detection.architectures.yolox import anchors as anchoring


def test_anchors_lie_in_the_middle_of_their_cells_row_by_row():
    """An input of 64×32 pixels has 8×4, 4×2 and 2×1 cells."""
    anchors = anchoring.make([(4, 8), (2, 4), (1, 2)])

    assert len(anchors) == 32 + 8 + 2
    assert anchors.centres_A2[:2].tolist() == [[4, 4], [12, 4]]
    assert anchors.centres_A2[8].tolist() == [4, 12]
    assert anchors.centres_A2[32].tolist() == [8, 8]
    assert anchors.centres_A2[-2:].tolist() == [[16, 16], [48, 16]]
    assert anchors.strides_A1[[0, 31, 32, 39, 40, 41], 0].tolist() == [8, 8, 16, 16, 32, 32]


def test_a_box_by_hand():
    """Centre (12, 20) in cell (1, 2) of stride 8, half a cell in; 16 by 8 pixels."""
    anchors = anchoring.Anchors(torch.tensor([[1.0, 2.0]]), torch.tensor([[8.0]]))
    told_14 = torch.tensor([[0.5, 0.5, 0.6931472, 0.0]])

    assert torch.allclose(
        anchoring.decode(told_14, anchors), torch.tensor([[4.0, 16.0, 20.0, 24.0]])
    )


@given(seed=st.integers(0, 2**32 - 1))
def test_encode_and_decode_are_inverse(seed):
    """For boxes anywhere, of a tenth of a pixel to two thousand, at any anchor."""
    generator = torch.Generator().manual_seed(seed)
    anchors = anchoring.make([(8, 8), (4, 4), (2, 2)])
    centres_A2 = torch.rand(len(anchors), 2, generator=generator) * 128 - 32
    sizes_A2 = 10 ** (torch.rand(len(anchors), 2, generator=generator) * 4.3 - 1)
    boxes_A4 = torch.cat((centres_A2 - sizes_A2 / 2, centres_A2 + sizes_A2 / 2), dim=1)

    told_A4 = anchoring.encode(boxes_A4, anchors)
    again_A4 = anchoring.decode(told_A4, anchors)

    assert torch.allclose(again_A4, boxes_A4, atol=1e-3)
    assert torch.allclose(anchoring.encode(again_A4, anchors), told_A4, atol=2e-3, rtol=1e-3)


def test_what_is_told_stays_finite():
    """A network that has lost its way still gives boxes that can be compared."""
    anchors = anchoring.make([(1, 1), (1, 1), (1, 1)])

    boxes_34 = anchoring.decode(torch.full((3, 4), 1e4), anchors)

    assert boxes_34.isfinite().all()
