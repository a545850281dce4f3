"""YOLOX as the rest of the service sees it."""

import onnxruntime
import pytest
import torch

from common.training.precision import to_bf16
from services.detection.architectures.registry import MAX_DETECTIONS, SCORE_FLOOR, detectors
from services.detection.architectures.yolox import Yolox, from_published
from services.detection.architectures.yolox.head import DecoupledHead

NAMES = ["yolox_nano", "yolox_tiny", "yolox_s"]
# Millions, as published for the 80 classes of COCO.
PUBLISHED = {"yolox_nano": 0.91, "yolox_tiny": 5.06, "yolox_s": 8.97}


def small(class_count=3):
    torch.manual_seed(0)
    return Yolox(class_count, width=0.125, depthwise=True)


def settled(model, size_px=64):
    """Fill in the statistics that a network has after training, and let it find something."""
    model.train()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None  # the mean over all batches
    with torch.no_grad():
        for seed in range(3):
            model(draw(4, size_px, seed), [target() for _ in range(4)])
    for last in model.head.reg_preds:
        torch.nn.init.normal_(last.weight, std=0.02)
    for last in (*model.head.obj_preds, *model.head.cls_preds):
        torch.nn.init.normal_(last.weight, std=0.3)
        torch.nn.init.constant_(last.bias, 0)
    return model.eval()


def draw(count, size_px=64, seed=0):
    """Images of coloured tiles: noise would be averaged away, and leave only rounding errors."""
    generator = torch.Generator().manual_seed(seed)
    tiles = torch.rand(count, 3, size_px // 16, size_px // 16, generator=generator) * 255
    return tiles.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)


def target(*boxes, labels=()):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_as_many_as_published(name):
    """To two digits after the point, as the paper's tables have them."""
    with torch.device("meta"):
        model = detectors.get(name).build(80)

    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, 2) == PUBLISHED[name]


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_named_as_published(name):
    """A sample of names and shapes that a published checkpoint has."""
    width = {"yolox_nano": 16, "yolox_tiny": 24, "yolox_s": 32}[name]
    depthwise = name == "yolox_nano"
    conv, pointwise = ("pconv.conv", 1) if depthwise else ("conv", 3)
    with torch.device("meta"):
        state = detectors.get(name).build(80).state_dict()

    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    expected = {
        "backbone.backbone.stem.conv.conv.weight": (width, 12, 3, 3),
        f"backbone.backbone.dark2.0.{conv}.weight": (2 * width, width, pointwise, pointwise),
        "backbone.backbone.dark3.1.m.2.conv1.conv.weight": (2 * width, 2 * width, 1, 1),
        "backbone.backbone.dark5.1.conv2.conv.weight": (16 * width, 32 * width, 1, 1),
        "backbone.backbone.dark5.2.conv3.bn.running_var": (16 * width,),
        "backbone.lateral_conv0.conv.weight": (8 * width, 16 * width, 1, 1),
        "backbone.C3_p4.conv1.conv.weight": (4 * width, 16 * width, 1, 1),
        "backbone.reduce_conv1.bn.bias": (4 * width,),
        "backbone.C3_p3.m.0.conv1.conv.weight": (2 * width, 2 * width, 1, 1),
        f"backbone.bu_conv2.{conv}.weight": (4 * width, 4 * width, pointwise, pointwise),
        "backbone.C3_n3.conv3.conv.weight": (8 * width, 8 * width, 1, 1),
        f"backbone.bu_conv1.{conv}.weight": (8 * width, 8 * width, pointwise, pointwise),
        "backbone.C3_n4.conv3.conv.weight": (16 * width, 16 * width, 1, 1),
        f"head.cls_convs.0.0.{conv}.weight": (4 * width, 4 * width, pointwise, pointwise),
        "head.stems.2.conv.weight": (4 * width, 16 * width, 1, 1),
        "head.cls_preds.1.weight": (80, 4 * width, 1, 1),
        "head.reg_preds.2.bias": (4,),
        "head.obj_preds.0.weight": (1, 4 * width, 1, 1),
    }
    assert expected.items() <= shapes.items()
    assert len(shapes) == (642 if depthwise else 462)


@pytest.mark.parametrize("size_px", [32, 64, 96, 160])
def test_any_multiple_of_32_works(size_px):
    """One anchor a cell of 8, 16 and 32 pixels; the state does not depend on the size."""
    model = small(2)
    names = set(model.state_dict())
    losses = model(draw(2, size_px), [target((4, 4, 20, 28), labels=[1]), target()])
    with torch.inference_mode():
        boxes_NA4, scores_NAC = model.eval().raw(draw(2, size_px))

    anchor_count = (size_px // 8) ** 2 + (size_px // 16) ** 2 + (size_px // 32) ** 2
    assert boxes_NA4.shape == (2, anchor_count, 4)
    assert scores_NAC.shape == (2, anchor_count, 2)
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    assert set(model.state_dict()) == names


@pytest.mark.parametrize("size_px", [320, 416, 640])
@pytest.mark.parametrize("name", NAMES)
def test_usual_sizes_work(name, size_px):
    """Shapes alone, of the real networks."""
    with torch.device("meta"):
        model = detectors.get(name).build(80).eval()
        boxes_NA4, scores_NAC = model.raw(torch.empty(1, 3, size_px, size_px))

    assert boxes_NA4.shape == (1, 21 * (size_px // 32) ** 2, 4)
    assert scores_NAC.shape == (1, 21 * (size_px // 32) ** 2, 80)


def test_it_starts_from_finding_next_to_nothing():
    """Objects and classes begin at one in a hundred."""
    head = DecoupledHead(3, (8, 8, 8), 8, lambda *_: torch.nn.Identity()).eval()
    told = head([torch.zeros(1, 8, 4, 4)] * 3)

    assert torch.allclose(told.objects_NA.sigmoid(), torch.tensor(0.01))
    assert torch.allclose(told.classes_NAC.sigmoid(), torch.tensor(0.01))


def test_answers_keep_to_the_interface():
    """Within the input, sorted, above the floor, not too many."""
    with torch.inference_mode():
        answers = settled(small())(draw(3, 160))

    for answer in answers:
        boxes, labels, scores = answer["boxes"], answer["labels"], answer["scores"]
        assert 0 < len(boxes) == len(labels) == len(scores) <= MAX_DETECTIONS
        assert boxes.dtype == scores.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0
        assert boxes.max() <= 160
        assert 0 <= labels.min() <= labels.max() < 3
        assert (scores.diff() <= 0).all()
        assert scores[-1] > SCORE_FLOOR
        assert scores[0] <= 1


def test_an_image_alone_and_in_a_batch_gives_the_same():
    """Its neighbours do not show."""
    model, images_N3SS = settled(small()), draw(4)
    with torch.inference_mode():
        together = model(images_N3SS)
        alone = [model(images_N3SS[index : index + 1])[0] for index in range(4)]

    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        assert torch.allclose(one["boxes"], other["boxes"], atol=1e-2)
        assert torch.allclose(one["scores"], other["scores"], atol=1e-3)


def test_training_needs_targets():
    """To forget them is a mistake in the program."""
    with pytest.raises(ValueError, match="targets"):
        small()(draw(2))


def test_the_same_seed_gives_the_same_gradients():
    """To the last bit."""
    gradients = []
    for _ in range(2):
        model = small()
        losses = model(draw(2), [target((4, 4, 20, 28), (30, 30, 60, 64), labels=[1, 0]), target()])
        sum(losses.values()).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])

    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("targets", [0, 1], ids=["no object", "an object"])
def test_each_weight_gets_a_gradient(targets):
    """Also in a batch without an object: processes that train together wait for all of them."""
    model = small()
    model.train()
    losses = model(draw(2), [target(*[(4, 4, 20, 28)] * targets, labels=[1] * targets), target()])
    sum(losses.values()).backward()

    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_bf16_trains():
    """Losses are computed in float32, and each weight gets a gradient that is a number."""
    model = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(draw(2), [target((4, 4, 20, 28), labels=[1]), target()])
    sum(losses.values()).backward()

    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_bf16_finds_boxes_in_float32():
    """Under autocast, and with weights in bf16 as they are served."""
    model, images_N3SS = settled(small()), draw(2)
    with torch.inference_mode():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model.raw(images_N3SS)
        served = to_bf16(model).raw(images_N3SS.bfloat16())

    for told in (*mixed, *served):
        assert told.dtype == torch.float32
        assert told.isfinite().all()


def test_published_weights_take_the_same_image_in_our_order_of_colours():
    """What a published network says of blue, green, red, ours says of red, green, blue."""
    published = settled(small()).double()
    ours = small().eval().double()
    ours.load_state_dict(from_published(published.state_dict()))
    rgb_N3SS = draw(2).double()
    with torch.inference_mode():
        expected = published.raw(rgb_N3SS.flip(1))
        given = ours.raw(rgb_N3SS)

    assert torch.allclose(given[0], expected[0], atol=1e-3)
    assert torch.allclose(given[1], expected[1], atol=1e-5)
    assert not torch.allclose(published.raw(rgb_N3SS)[1], expected[1], atol=1e-3)


def test_from_published_leaves_the_given_weights_alone():
    """It is a pure function, and its own inverse."""
    state = small().state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}

    again = from_published(from_published(state))

    assert all(torch.equal(state[name], before[name]) for name in before)
    assert all(torch.equal(again[name], before[name]) for name in before)


class Raw(torch.nn.Module):
    """What is exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images_N3SS):
        return self.model.raw(images_N3SS)


def test_it_can_be_traced():
    """For any number of images; nothing in it depends on what they show."""
    model = settled(small())
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(Raw(model).eval(), (draw(2),), dynamic_shapes=(batch,))

    with torch.inference_mode():
        for count in (1, 3):
            boxes_NA4, scores_NAC = model.raw(draw(count))
            traced = program.module()(draw(count))
            assert torch.allclose(traced[0], boxes_NA4, atol=1e-3)
            assert torch.allclose(traced[1], scores_NAC, atol=1e-5)


@pytest.mark.slow
def test_it_can_be_exported(tmp_path):
    """ONNX Runtime says the same, for any number of images."""
    model = settled(small())
    program = torch.onnx.export(
        Raw(model).eval(),
        (torch.zeros(2, 3, 64, 64),),
        input_names=["images"],
        output_names=["boxes", "scores"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")

    for count in (1, 3):
        images_N3SS = draw(count, seed=count)
        with torch.inference_mode():
            boxes_NA4, scores_NAC = model.raw(images_N3SS)
        boxes, scores = session.run(None, {"images": images_N3SS.numpy()})
        assert torch.allclose(torch.from_numpy(boxes), boxes_NA4, rtol=1e-3, atol=0.02)
        assert torch.allclose(torch.from_numpy(scores), scores_NAC, atol=1e-3)
