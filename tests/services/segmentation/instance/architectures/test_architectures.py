"""What every entry of the registry states is true, and all keep to one interface."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from common.objects.targets import MAX_DETECTIONS, SCORE_FLOOR
from common.objects.two_stages import OPTIONS
from common.training import pretrained, recipes
from common.training.parts import normalizable
from nocode.vision.v1 import pipeline_pb2
from services.segmentation.instance.architectures import instance_segmenters, mask_rcnn
from tests.services.detection.architectures.favour import favour
from tests.services.detection.architectures.matching import matched

CLASS_COUNT, SIZE_PX = 3, 64
ENTRIES = list(instance_segmenters)


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def network(entry):
    """A network that no test may change; see `model`."""
    torch.manual_seed(1)
    network = entry.build(CLASS_COUNT).to(memory_format=torch.channels_last)
    # Fewer proposals, to save time.
    network.roi_heads.fg_bg_sampler.batch_size_per_image = 16
    network.rpn._post_nms_top_n["testing"] = 100
    return network


@pytest.fixture
def model(network):
    return copy.deepcopy(network)


def on_meta(build, class_count):
    """Build without drawing weights, which takes most of the time."""
    with torch.device("meta"):
        return build(class_count)


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def pictures(count, *, seed=0, size_px=SIZE_PX):
    """Smooth blobs, which look different from each other."""
    generator = torch.Generator().manual_seed(seed)
    coarse_N388 = 2 * torch.rand(count, 3, 8, 8, generator=generator) - 1
    images_N3SS = functional.interpolate(coarse_N388, size=(size_px, size_px), mode="bilinear")
    return images_N3SS.contiguous(memory_format=torch.channels_last)


def target(boxes, labels, *, size_px=SIZE_PX):
    """Objects that fill their boxes."""
    masks_KSS = torch.zeros(len(boxes), size_px, size_px, dtype=torch.uint8)
    for mask_SS, (xmin, ymin, xmax, ymax) in zip(masks_KSS, boxes, strict=True):
        mask_SS[ymin:ymax, xmin:xmax] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks_KSS,
    }


def two_targets(label=0, other=2):
    """One image with two objects, and one with none."""
    return [target([(6, 6, 38, 45), (32, 26, 58, 64)], [label, other]), target([], [])]


@torch.inference_mode()
def answers(model, images_N3SS):
    return model.eval()(images_N3SS)


# What is stated.


def test_the_architectures_of_the_contract_are_there():
    """Names that callers rely on."""
    assert {entry.name for entry in ENTRIES} == {"maskrcnn_resnet50_fpn_v2"}


def test_parameter_count_is_true(entry):
    """What the user is shown is what is built, and all of it is trained."""
    model = on_meta(entry.build, entry.parameter_count_class_count)

    assert sum(p.numel() for p in model.parameters()) == entry.parameter_count
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_published_weights_are_of_this_network(entry):
    """With COCO's classes, names and shapes are those of torchvision's builder."""
    weights = torchvision.models.get_weight(entry.pretrained_weights)
    build = getattr(torchvision.models.detection, entry.name)
    published = on_meta(lambda _: build(weights=None, weights_backbone=None), 0)
    ours = on_meta(entry.build, 90)

    assert shapes(ours) == shapes(published)
    assert sum(p.numel() for p in ours.parameters()) == weights.meta["num_params"]
    assert entry.mean == tuple(published.transform.image_mean)
    assert entry.std == tuple(published.transform.image_std)


def test_the_second_stage_keeps_the_settings_of_torchvisions(entry):
    """All of them, those of its parts too; only what `OPTIONS` and `LEAST_SCORE` say differs."""
    options = OPTIONS | {"box_score_thresh": mask_rcnn.LEAST_SCORE}
    build = getattr(torchvision.models.detection, entry.name)
    theirs = on_meta(lambda count: build(num_classes=count + 1, **options), CLASS_COUNT).roi_heads
    ours = on_meta(entry.build, CLASS_COUNT).roi_heads

    def settings(heads):
        parts = {"": heads} | {
            name: getattr(heads, name)
            for name in ("proposal_matcher", "fg_bg_sampler", "box_coder")
        }
        return {
            f"{part}.{name}": value
            for part, whole in parts.items()
            for name, value in vars(whole).items()
            if not name.startswith("_") and name not in parts
        }

    assert settings(ours) == settings(theirs)
    assert {".nms_thresh", "proposal_matcher.high_threshold"} <= set(settings(ours))
    assert {name for name, _ in ours.named_modules()} == {
        name for name, _ in theirs.named_modules()
    }


def test_only_last_layers_depend_on_the_classes(entry):
    """All else can be taken from published weights."""
    names = {name.rpartition(".")[0] for name in pretrained.class_dependent(entry)}

    assert names == {
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
        "roi_heads.mask_predictor.mask_fcn_logits",
    }


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("number", [0, 1, 2], ids=["whole", "detector", "classifier"])
def test_published_weights_fit(number):
    """Those of the whole network, of a detector without masks, and of a classifier."""
    entry = instance_segmenters.get("maskrcnn_resnet50_fpn_v2")
    published = entry.published[number]
    build = (
        torchvision.models.detection.maskrcnn_resnet50_fpn_v2,
        torchvision.models.detection.fasterrcnn_resnet50_fpn_v2,
        torchvision.models.resnet50,
    )[number]
    options = {"weights_backbone": None} if number < 2 else {}
    with torch.device("meta"):
        file = build(weights=None, **options).state_dict()
    network = on_meta(entry.build, 5)
    taken = published.convert(file) if published.convert else file

    pretrained._fill(network, taken, entry, partial=published.partial)

    kind = {0: "MaskRCNN_ResNet50_FPN_V2", 1: "FasterRCNN_ResNet50_FPN_V2", 2: "ResNet50"}
    assert published.name.startswith(f"{kind[number]}_Weights.")
    assert published.partial == (number > 0)
    head = pretrained.class_dependent(entry)
    own = {name for name in network.state_dict() if name not in head and "num_batches" not in name}
    masks = {name for name in own if name.startswith("roi_heads.mask")}
    body = {name for name in own if name.startswith("backbone.body.")}
    expected = (own, own - masks, body)[number]
    assert {name for name in taken if name in own} == expected


def test_the_recipe_is_within_the_schema(entry):
    """A default that a caller could not send would be absurd."""
    config = recipes.resolve(entry, pipeline_pb2.TrainingConfig())
    for field in entry.without:
        config.ClearField(field)

    recipes.validate(entry, config, prefix="")
    assert config.image_size_px % entry.input_multiple_px == 0
    assert {"label_smoothing", "class_balance"} <= set(entry.without)


# Evaluation.


def test_answers_keep_to_the_contract(model):
    """Boxes in the input, our labels, scores that do not rise, and a mask for each."""
    for label in range(CLASS_COUNT):
        favour(model, label, 1.0)

    (found,) = answers(model, pictures(1))

    assert set(found) == {"boxes", "labels", "scores", "masks"}
    count = len(found["scores"])
    assert mask_rcnn.MASKS_AT_ONCE < count <= MAX_DETECTIONS
    assert found["masks"].shape == (count, 1, 28, 28)
    assert {found[name].dtype for name in ("boxes", "scores", "masks")} == {torch.float32}
    assert found["masks"].min() >= 0
    assert found["masks"].max() <= 1
    assert found["boxes"].min() >= 0
    assert found["boxes"].max() <= SIZE_PX
    assert set(found["labels"].tolist()) <= set(range(CLASS_COUNT))
    assert (found["scores"].diff() <= 0).all()
    assert found["scores"].min() > SCORE_FLOOR


@pytest.mark.parametrize("label", [0, CLASS_COUNT - 1])
def test_a_mask_is_that_of_the_class(model, label):
    """An index that were off by one, by the background's, would be seen here."""
    favour(model, label, 200.0)
    last = model.roi_heads.mask_predictor.mask_fcn_logits
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.arange(CLASS_COUNT + 1) - 1.0)  # the background's comes first

    (found,) = answers(model, pictures(1))

    sure = found["scores"] > 0.5
    assert sure.any()
    assert (found["labels"][sure] == label).all()
    expected = torch.sigmoid(torch.tensor(float(label)))
    assert torch.allclose(found["masks"][sure], expected.expand_as(found["masks"][sure]))


def test_masks_are_what_torchvision_computes_at_once(model, monkeypatch):
    """Some at a time, and only for what is found, they are the same numbers."""
    favour(model, 1, 3.0)
    images_N3SS = pictures(2)

    ours = answers(model, images_N3SS)
    monkeypatch.setattr(mask_rcnn.Heads, "has_mask", lambda _: True)
    monkeypatch.setattr(
        mask_rcnn.Heads,
        "forward",
        lambda self, *args: super(mask_rcnn.Heads, self).forward(*args),
    )
    theirs = answers(model, images_N3SS)

    for one, other in zip(ours, theirs, strict=True):
        assert len(one["masks"]) > mask_rcnn.MASKS_AT_ONCE // 2
        assert torch.equal(one["boxes"], other["boxes"])
        assert torch.allclose(one["masks"], other["masks"], atol=1e-5)


def test_an_image_has_the_same_answer_alone_and_in_a_batch(model):
    """What else is in the batch is nobody's business."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:  # statistics, without which random networks see hardly anything
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(pictures(2, seed=5), two_targets())
    favour(model, 1, 3.0)
    images_N3SS = pictures(2)

    together = answers(model, images_N3SS)
    alone = [answers(model, image_3SS[None])[0] for image_3SS in images_N3SS]

    assert not torch.equal(together[0]["boxes"], together[1]["boxes"])
    for one, other in zip(together, alone, strict=True):
        assert matched(one, other, iou=0.99, score=1e-3).mean() >= 0.9
        first = min(len(one["masks"]), len(other["masks"]), 5)
        assert first
        assert torch.allclose(one["masks"][:first], other["masks"][:first], atol=1e-3)


def test_nothing_found_has_the_shapes_of_nothing(model):
    """What comes after can do without a special case."""
    for label in range(CLASS_COUNT):
        favour(model, label, -1000.0)

    (found,) = answers(model, pictures(1))

    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 1, 28, 28)


# Training.


@pytest.mark.parametrize("are_there", [True, False])
def test_losses_are_numbers_that_move_all_weights(model, are_there):
    """Each weight has a gradient, also where no image has an object: several devices need that.

    And statistics stay numbers.
    """
    targets = two_targets() if are_there else [target([], []), target([], [])]
    losses = model.train()(pictures(2), targets)
    sum(losses.values()).backward()

    assert "loss_mask" in losses
    assert all(loss.ndim == 0 and loss.dtype == torch.float32 for loss in losses.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert all(buffer.isfinite().all() for buffer in model.buffers())


def test_a_right_mask_has_the_lower_loss(network):
    """Objects fill their boxes: a network that says so has less to learn than one that denies."""
    losses = []
    for bias in (4.0, -4.0):
        model = copy.deepcopy(network)
        last = model.roi_heads.mask_predictor.mask_fcn_logits
        with torch.no_grad():
            last.weight.zero_()
            last.bias.fill_(bias)
        torch.manual_seed(0)
        with torch.no_grad(), normalizable(model.train(), 1):
            losses.append(model(pictures(1), two_targets()[:1])["loss_mask"].item())

    assert losses[0] < losses[1]


def test_bf16_trains_and_answers(model):
    """Losses are summed in float32; masks and boxes come out in it."""
    torch.manual_seed(0)
    with torch.no_grad():
        exact = sum(copy.deepcopy(model).train()(pictures(2), two_targets()).values()).item()
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = sum(model.train()(pictures(2), two_targets()).values())
    loss.backward()
    favour(model, 1, 3.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = answers(model, pictures(1))

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert found["masks"].dtype == found["boxes"].dtype == torch.float32
