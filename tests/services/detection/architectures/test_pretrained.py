"""Where published weights go in a detector."""

import pytest
import torch
import torchvision
from torchvision.models._api import WeightsEnum

from common.training import pretrained
from services.detection.architectures import detectors

# The builder of the classifier in whose place the detector's first layers are.
CLASSIFIERS = {
    "fasterrcnn_resnet50_fpn_v2": "resnet50",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "mobilenet_v3_large",
    "ssd300_vgg16": "vgg16",
    "ssdlite320_mobilenet_v3_large": "mobilenet_v3_large",
    "retinanet_resnet50_fpn_v2": "resnet50",
}


@pytest.fixture(scope="module", params=CLASSIFIERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def classifier(name):
    """A classifier's weights under the names of the published file."""
    torch.manual_seed(3)
    state = getattr(torchvision.models, CLASSIFIERS[name])(weights=None).state_dict()
    return {key: value for key, value in state.items() if "num_batches" not in key}


def test_the_classifier_is_the_one_that_torchvision_starts_from(name):
    """By its name, which its file is found under."""
    (backbone,) = detectors.get(name).published[1:]
    kind = {"resnet50": "ResNet50", "vgg16": "VGG16", "mobilenet_v3_large": "MobileNet_V3_Large"}

    assert backbone.name.startswith(f"{kind[CLASSIFIERS[name]]}_Weights.IMAGENET1K_")
    assert backbone.partial


def test_a_classifiers_weights_go_where_torchvision_puts_them(name, classifier, monkeypatch):
    """Its own builder, given the same weights, says where."""
    (backbone,) = detectors.get(name).published[1:]
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: full(name, classifier))
    theirs = getattr(torchvision.models.detection, name)(
        weights=None, weights_backbone=torchvision.models.get_weight(backbone.name)
    ).state_dict()

    placed = backbone.convert(classifier)

    for key, tensor in placed.items():
        assert torch.equal(tensor, theirs[key]), key
    # All but the classifier's own layers, and in an SSDlite the last blocks.
    features = [key for key in classifier if not key.startswith(("fc.", "classifier."))]
    if name == "ssdlite320_mobilenet_v3_large":
        features = [
            key
            for key in features
            if int(key.split(".")[1]) < 13 or key.startswith("features.13.block.0.")
        ]
    assert len(placed) == len(features) > 0


def full(name, classifier):
    """With counters, which torchvision's own loader wants."""
    model = getattr(torchvision.models, CLASSIFIERS[name])(weights=None)
    model.load_state_dict(classifier, strict=False)
    return model.state_dict()


def test_the_network_takes_them_and_keeps_the_rest(name, classifier):
    """The pyramid and the heads start from random weights."""
    entry = detectors.get(name)
    (backbone,) = entry.published[1:]
    torch.manual_seed(0)
    network = entry.build(2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    placed = backbone.convert(classifier)

    pretrained._fill(network, placed, entry, partial=True)

    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, placed.get(key, before[key])), key


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("entry", list(detectors), ids=lambda entry: entry.name)
def test_a_whole_detector_of_other_classes_fits(entry):
    """Of COCO's, here; without counters, as where normalizations were frozen."""
    with torch.device("meta"):
        published = {
            key: value
            for key, value in entry.build(90).state_dict().items()
            if "num_batches" not in key
        }
        network = entry.build(3)

    pretrained._fill(network, published, entry, partial=False)

    lacking = {key: value for key, value in published.items() if "backbone" not in key}
    with pytest.raises(Exception, match="the file holds other weights"):
        pretrained._fill(network, lacking, entry, partial=False)
