"""What stands between our interface and torchvision's detectors, with numbers by hand."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from common.objects.fixed_input import FixedInput, exact_inputs, exact_outputs


def objects(boxes, labels, **more):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        **more,
    }


@pytest.mark.parametrize(("offset", "theirs"), [(0, [0, 2]), (1, [1, 3])])
def test_labels_are_theirs_on_the_way_in_and_ours_on_the_way_out(offset, theirs):
    """A background in front moves all classes by one."""
    transform = FixedInput(offset)
    _, (target,) = transform(
        torch.zeros(1, 3, 64, 64), [objects([[0, 0, 9, 9], [1, 1, 5, 5]], [0, 2])]
    )
    (found,) = transform.postprocess([target], [(64, 64)], [(64, 64)])

    assert target["labels"].tolist() == theirs
    assert found["labels"].tolist() == [0, 2]
    assert found["boxes"].tolist() == [[0, 0, 9, 9], [1, 1, 5, 5]]


def test_the_callers_targets_are_left_alone():
    """They are used again in the next epoch."""
    target = objects([[0, 0, 9, 9]], [0])
    FixedInput(1)(torch.zeros(1, 3, 64, 64), [target])

    assert target["labels"].tolist() == [0]


def test_a_batch_is_packed_as_it_is():
    """Neither resized nor padded nor copied."""
    images_N3SS = torch.rand(2, 3, 40, 40)
    packed, targets = FixedInput(1)(images_N3SS)

    assert packed.tensors is images_N3SS
    assert packed.image_sizes == [(40, 40), (40, 40)]
    assert targets is None


def test_boxes_without_area_are_left_out_with_all_that_is_theirs():
    """As a scaled box of a thousandth of a pixel can be, in float32."""
    target = objects(
        [[5, 5, 5, 9], [1, 2, 3, 4], [7, 6, 9, 6]], [0, 1, 2], masks=torch.arange(3)[:, None, None]
    )
    _, (kept,) = FixedInput(0)(torch.zeros(1, 3, 64, 64), [target])

    assert kept["boxes"].tolist() == [[1, 2, 3, 4]]
    assert kept["labels"].tolist() == [1]
    assert kept["masks"].tolist() == [[[1]]]


def test_no_box_at_all_keeps_its_shape():
    """An image without an object."""
    _, (target,) = FixedInput(1)(torch.zeros(1, 3, 64, 64), [objects([], [])])

    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == (0,)


class Echo(nn.Module):
    """Returns what it is given, and notes its types."""

    def forward(self, *inputs):
        self.dtypes = [one.dtype for one in inputs[0]]
        return inputs[0]


@pytest.mark.parametrize("kind", [list, tuple])
def test_outputs_become_float32_whatever_holds_them(kind):
    """Tensors in lists, tuples and dictionaries; whole numbers stay what they are."""
    module = Echo()
    exact_outputs(module)
    out = module(kind([torch.ones(1).bfloat16(), torch.ones(1, dtype=torch.int64)]))

    assert isinstance(out, kind)
    assert [one.dtype for one in out] == [torch.float32, torch.int64]


def test_outputs_keep_their_names_and_their_order():
    """As heads return them."""
    module = nn.Identity()
    exact_outputs(module)
    out = module(OrderedDict(b=torch.ones(1).half(), a=torch.ones(1).bfloat16()))

    assert list(out) == ["b", "a"]
    assert {one.dtype for one in out.values()} == {torch.float32}


def test_inputs_become_float32():
    """What the module sees, not what the caller has."""
    module, given = Echo(), [torch.ones(1).bfloat16()]
    exact_inputs(module)
    module(given)

    assert module.dtypes == [torch.float32]
    assert given[0].dtype == torch.bfloat16


def test_a_copy_of_the_network_is_as_exact_and_has_the_same_weights():
    """Averages of weights are copies, and published names must fit."""
    module = nn.Linear(2, 2)
    names = list(module.state_dict())
    exact_outputs(module)
    copied = copy.deepcopy(module)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert copied(torch.ones(1, 2)).dtype == torch.float32
    assert list(copied.state_dict()) == names


def test_gradients_pass():
    """Through the change of type."""
    module = nn.Linear(2, 1)
    exact_outputs(module)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        module(torch.ones(1, 2)).sum().backward()

    assert module.weight.grad.tolist() == [[1.0, 1.0]]
