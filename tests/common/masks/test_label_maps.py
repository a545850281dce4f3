"""Labels of pixels come out as they went in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.masks.label_maps import VOID, LabelMap

LABELS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.int16, shape, elements=st.integers(VOID, 10_000))
)


@given(LABELS)
def test_labels_come_back(labels_HW):
    """Those of large numbers of classes, and void, too; and they can be written to."""
    packed = LabelMap.pack(labels_HW)
    unpacked_HW = packed.unpack()

    np.testing.assert_array_equal(unpacked_HW, labels_HW)
    assert (packed.height, packed.width) == labels_HW.shape
    assert unpacked_HW.flags.writeable


def test_an_even_map_is_small():
    """A megapixel of two classes takes some kilobytes."""
    labels_HW = np.zeros((1000, 1000), np.int16)
    labels_HW[300:700] = 3

    assert len(LabelMap.pack(labels_HW).data) < 20_000
