"""What the registry states of each architecture is true, so a new entry is tested by existing."""

import subprocess
import sys

import pytest
import torch
import torchvision

from common.training import recipes
from common.training.parts import normalizable
from common.training.pretrained import class_dependent
from nocode.vision.v1 import pipeline_pb2
from services.segmentation.semantic.architectures import segmenters

ENTRIES = list(segmenters)
# Sides of the input over those of the logits.
STRIDES = {
    "unet_resnet34": 1,
    "deeplabv3_mobilenet_v3_large": 16,
    "deeplabv3_resnet50": 8,
    "fcn_resnet50": 8,
}
SMALL_PX = 64


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def networks():
    """Each for three classes, with random weights and statistics of noise, built once."""
    made = {}

    def network(entry):
        if entry.name not in made:
            torch.manual_seed(0)
            made[entry.name] = entry.build(3)
            see_noise(made[entry.name])
        return made[entry.name]

    return network


def see_noise(model):
    """Give it the statistics of a batch; with those of a new network it says next to nothing."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the average of all batches
    with torch.no_grad():
        model.train()(torch.randn(4, 3, SMALL_PX, SMALL_PX))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def on_meta(build, class_count):
    """Build without drawing weights, which takes most of the time."""
    with torch.device("meta"):
        return build(class_count)


def test_the_architectures_of_the_contract_are_there():
    """Names that callers rely on."""
    assert {entry.name for entry in ENTRIES} == set(STRIDES)


def test_parameter_count_is_true(entry):
    """What the user is shown is what is built, and all of it is trained."""
    model = on_meta(entry.build, entry.parameter_count_class_count)

    assert sum(p.numel() for p in model.parameters()) == entry.parameter_count
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", [name for name in STRIDES if name != "unet_resnet34"])
def test_published_weights_are_of_this_network(name):
    """With Pascal VOC's 21 classes, names and shapes are those of torchvision's builder."""
    entry = segmenters.get(name)
    weights = torchvision.models.get_weight(entry.pretrained_weights)
    build = getattr(torchvision.models.segmentation, name)
    published = on_meta(
        lambda count: build(weights=None, weights_backbone=None, num_classes=count, aux_loss=True),
        len(weights.meta["categories"]),
    )
    ours = on_meta(entry.build, len(weights.meta["categories"]))

    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in published.state_dict().items()
    }
    assert sum(p.numel() for p in ours.parameters()) == weights.meta["num_params"]


def test_only_last_layers_depend_on_the_classes(entry):
    """All else can be taken from published weights."""
    names = {name.rpartition(".")[0] for name in class_dependent(entry)}

    if entry.name.startswith("unet"):
        assert names == {"segmentation_head.0"}
    else:
        assert names == {"classifier.4", "aux_classifier.4"}


def test_logits_have_the_networks_own_resolution(entry, networks):
    """Enlarging them is left to those who need them larger."""
    network = networks(entry).eval()
    side = SMALL_PX // STRIDES[entry.name]

    with torch.inference_mode():
        logits = network(torch.randn(1, 3, SMALL_PX, SMALL_PX))

    assert logits.shape == (1, 3, side, side)


def test_in_training_a_second_classifier_helps_where_published_weights_have_one(entry, networks):
    network = networks(entry).train()
    side = SMALL_PX // STRIDES[entry.name]

    answers = network(torch.randn(2, 3, SMALL_PX, SMALL_PX))

    assert set(answers) == ({"out"} if entry.name.startswith("unet") else {"out", "aux"})
    assert answers["out"].shape == (2, 3, side, side)


def test_a_batch_of_a_single_image_can_be_trained_on(entry, networks):
    """DeepLab's view of the image as a whole is one cell, of which there is no statistic."""
    network = networks(entry).train()

    with normalizable(network, 1):
        answers = network(torch.randn(1, 3, SMALL_PX, SMALL_PX))

    assert torch.isfinite(answers["out"]).all()


def test_answers_do_not_depend_on_the_batch(entry, networks):
    network = networks(entry).eval()
    images = torch.randn(3, 3, SMALL_PX, SMALL_PX)

    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])

    assert (together - alone).abs().max() < 1e-4 * together.abs().max()
    assert (together[0] - together[1]).abs().max() > 1e-3 * together.abs().max()


def test_the_recipe_is_within_the_schema(entry):
    """A default that a caller could not send would be absurd."""
    config = recipes.resolve(entry, pipeline_pb2.TrainingConfig())

    recipes.validate(entry, config, prefix="")
    assert config.image_size_px % entry.input_multiple_px == 0


def test_statistics_follow_the_last_steps(entry):
    """On a few hundred images a training is short; a hundred steps would be much of it."""
    model = on_meta(entry.build, 2)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]

    assert norms
    assert all(norm.momentum >= 0.03 for norm in norms)


def test_the_paper_is_linked(entry):
    """For people who want to know more."""
    assert entry.paper.startswith("https://arxiv.org/abs/")


def test_listing_architectures_loads_no_library_of_networks():
    """It takes a second, and none is built."""
    code = (
        "import sys; from services.segmentation.semantic.architectures import segmenters; "
        "assert list(segmenters); print('segmentation_models_pytorch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
