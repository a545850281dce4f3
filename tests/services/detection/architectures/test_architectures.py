"""What the registry states of each architecture is true, so a new entry is tested by existing."""

import pytest
import torch
import torchvision

from common.training import recipes
from common.training.pretrained import class_dependent
from nocode.vision.v1 import pipeline_pb2
from services.detection.architectures import detectors

ENTRIES = list(detectors)
# torchvision's own, by the classes of their published weights: those of COCO, with gaps, and
# the background where there is one.
TORCHVISION = {
    "fasterrcnn_resnet50_fpn_v2": 90,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 90,
    "ssd300_vgg16": 90,
    "ssdlite320_mobilenet_v3_large": 90,
    "retinanet_resnet50_fpn_v2": 91,
}


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


def on_meta(build, class_count):
    """Build without drawing weights, which takes most of the time."""
    with torch.device("meta"):
        return build(class_count)


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def test_the_architectures_of_the_contract_are_there():
    """Names that callers rely on."""
    assert {entry.name for entry in ENTRIES} == {
        *TORCHVISION,
        "yolox_nano",
        "yolox_tiny",
        "yolox_s",
    }


def test_parameter_count_is_true(entry):
    """What the user is shown is what is built, and all of it is trained."""
    model = on_meta(entry.build, entry.parameter_count_class_count)

    assert sum(p.numel() for p in model.parameters()) == entry.parameter_count
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("name", "class_count"), TORCHVISION.items())
def test_published_weights_are_of_this_network(name, class_count):
    """With COCO's classes, names and shapes are those of torchvision's builder."""
    entry = detectors.get(name)
    weights = torchvision.models.get_weight(entry.pretrained_weights)
    build = getattr(torchvision.models.detection, name)
    published = on_meta(lambda _: build(weights=None, weights_backbone=None), 0)
    ours = on_meta(entry.build, class_count)

    assert shapes(ours) == shapes(published)
    count = sum(p.numel() for p in ours.parameters())
    if name == "fasterrcnn_mobilenet_v3_large_320_fpn":
        # Its normalizations were frozen, so that theirs were not counted.
        norms = [m for m in ours.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        count -= sum(p.numel() for norm in norms for p in norm.parameters())
    assert count == weights.meta["num_params"]


@pytest.mark.parametrize(("name", "class_count"), TORCHVISION.items())
def test_input_is_normalized_as_published_weights_want_it(name, class_count):
    """Their own constants; SSD's are not ImageNet's."""
    entry = detectors.get(name)
    build = getattr(torchvision.models.detection, name)
    published = on_meta(lambda _: build(weights=None, weights_backbone=None), 0)

    assert entry.mean == tuple(published.transform.image_mean)
    assert entry.std == tuple(published.transform.image_std)


def test_only_last_layers_depend_on_the_classes(entry):
    """All else can be taken from published weights."""
    names = {name.rpartition(".")[0] for name in class_dependent(entry)}

    if entry.name.startswith("fasterrcnn"):
        predictor = "roi_heads.box_predictor."
        assert names == {predictor + "cls_score", predictor + "bbox_pred"}
    elif entry.name.startswith("retinanet"):
        assert names == {"head.classification_head.cls_logits"}
    elif entry.name.startswith("ssd"):
        # One for each of the six maps; in an SSDlite it is the second layer of its block.
        last = ".1" if "lite" in entry.name else ""
        assert names == {
            f"head.classification_head.module_list.{level}{last}" for level in range(6)
        }
    else:
        assert names == {f"head.cls_preds.{level}" for level in range(3)}


def test_the_recipe_is_within_the_schema(entry):
    """A default that a caller could not send would be absurd."""
    config = recipes.resolve(entry, pipeline_pb2.TrainingConfig())
    for field in entry.without:
        config.ClearField(field)

    recipes.validate(entry, config, prefix="")
    assert config.image_size_px % entry.input_multiple_px == 0


def test_statistics_follow_the_last_steps(entry):
    """On a few hundred images a training is short; a hundred steps would be much of it."""
    model = on_meta(entry.build, 2)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]

    assert all(norm.momentum >= 0.03 for norm in norms)
    assert norms or entry.name == "ssd300_vgg16"


def test_the_paper_is_linked(entry):
    """For people who want to know more."""
    assert entry.paper.startswith("https://arxiv.org/abs/")
