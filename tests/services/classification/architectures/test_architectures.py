"""What the registry states of each architecture is true, so a new entry is tested by existing."""

import pytest
import torch
import torchvision

from common.training import recipes
from common.training.pretrained import class_dependent
from nocode.vision.v1 import pipeline_pb2
from services.classification.architectures import classifiers

ENTRIES = list(classifiers)


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


def on_meta(build, class_count):
    """Build without drawing weights, which takes most of the time."""
    with torch.device("meta"):
        return build(class_count)


def test_the_architectures_of_the_contract_are_there():
    """Names that callers rely on."""
    assert {entry.name for entry in ENTRIES} == {
        "resnet18",
        "resnet50",
        "vgg16",
        "efficientnet_b0",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
    }


def test_parameter_count_is_true(entry):
    """What the user is shown is what is built."""
    model = on_meta(entry.build, entry.parameter_count_class_count)

    assert sum(p.numel() for p in model.parameters()) == entry.parameter_count


def test_published_weights_are_of_this_network(entry):
    """With as many classes as ImageNet, names and shapes are those of torchvision's builder."""
    weights = torchvision.models.get_weight(entry.pretrained_weights)
    published = on_meta(lambda _: getattr(torchvision.models, entry.name)(weights=None), 1000)
    ours = on_meta(entry.build, 1000)

    assert sum(p.numel() for p in ours.parameters()) == weights.meta["num_params"]
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in published.state_dict().items()
    }


def test_only_the_last_layer_depends_on_the_classes(entry):
    """All else can be taken from published weights."""
    last = [n for n, m in on_meta(entry.build, 2).named_modules() if isinstance(m, torch.nn.Linear)]

    assert class_dependent(entry) == {f"{last[-1]}.weight", f"{last[-1]}.bias"}


def test_the_recipe_is_within_the_schema(entry):
    """A default that a caller could not send would be absurd."""
    config = recipes.resolve(entry, pipeline_pb2.TrainingConfig())

    recipes.validate(entry, config, prefix="")


def test_statistics_follow_the_last_ten_steps(entry):
    """On a few hundred images a training is short; a hundred steps would be much of it."""
    norms = [m for m in on_meta(entry.build, 2).modules() if isinstance(m, torch.nn.BatchNorm2d)]

    assert all(norm.momentum == 0.1 for norm in norms)
    assert norms or entry.name == "vgg16"


def test_the_paper_is_linked(entry):
    """For people who want to know more."""
    assert entry.paper.startswith("https://arxiv.org/abs/")


@pytest.mark.parametrize("size_px", [32, 64])
def test_any_multiple_of_the_input_size_works(entry, size_px):
    """Logits come out, one for each class."""
    assert size_px % entry.input_multiple_px == 0
    model = on_meta(entry.build, 5).eval()

    assert model(torch.empty(2, 3, size_px, size_px, device="meta")).shape == (2, 5)
