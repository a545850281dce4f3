"""Where published weights go in a segmenter."""

import pytest
import torch
import torchvision
from torchvision.models._api import WeightsEnum

from common.training import pretrained
from services.segmentation.semantic.architectures import segmenters

# The builder of the classifier in whose place the segmenter's first layers are.
CLASSIFIERS = {
    "fcn_resnet50": "resnet50",
    "deeplabv3_resnet50": "resnet50",
    "deeplabv3_mobilenet_v3_large": "mobilenet_v3_large",
    "unet_resnet34": "resnet34",
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


def features(classifier):
    return [key for key in classifier if not key.startswith(("fc.", "classifier."))]


def test_the_best_that_are_published_come_first(name):
    published = segmenters.get(name).published
    kinds = {"resnet50": "ResNet50", "resnet34": "ResNet34"}
    kind = kinds.get(CLASSIFIERS[name], "MobileNet_V3_Large")

    assert published[-1].name == f"{kind}_Weights.IMAGENET1K_V1"
    assert published[-1].partial
    if name != "unet_resnet34":
        assert published[0].name.endswith("COCO_WITH_VOC_LABELS_V1")
        assert not published[0].partial


@pytest.mark.parametrize(
    "name", [name for name in CLASSIFIERS if name != "unet_resnet34"], scope="module"
)
def test_a_classifiers_weights_go_where_torchvision_puts_them(name, classifier, monkeypatch):
    """Its own builder, given the same weights, says where."""
    backbone = segmenters.get(name).published[-1]
    full = getattr(torchvision.models, CLASSIFIERS[name])(weights=None)
    full.load_state_dict(classifier, strict=False)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: full.state_dict())
    theirs = getattr(torchvision.models.segmentation, name)(
        weights=None, weights_backbone=torchvision.models.get_weight(backbone.name)
    ).state_dict()

    placed = backbone.convert(classifier)

    for key, tensor in placed.items():
        assert torch.equal(tensor, theirs[key]), key
    assert len(placed) == len(features(classifier)) > 0


@pytest.mark.parametrize("name", ["unet_resnet34"], scope="module")
def test_a_unets_encoder_is_torchvisions_resnet(classifier, name):
    """With the same weights, its last stage says the same of an image."""
    network = segmenters.get(name).build(2).eval()
    theirs = torchvision.models.resnet34(weights=None).eval()
    theirs.load_state_dict(classifier, strict=False)
    pretrained._fill(
        network,
        segmenters.get(name).published[-1].convert(classifier),
        segmenters.get(name),
        partial=True,
    )
    image = torch.randn(1, 3, 64, 64)

    with torch.inference_mode():
        ours = network.encoder(image)[-1]
        features = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(features))))

    assert torch.allclose(ours, expected, rtol=1e-5)


def test_the_network_takes_them_and_keeps_the_rest(name, classifier):
    """What follows starts from random weights."""
    entry = segmenters.get(name)
    placed = entry.published[-1].convert(classifier)
    torch.manual_seed(0)
    network = entry.build(2)
    before = {key: value.clone() for key, value in network.state_dict().items()}

    pretrained._fill(network, placed, entry, partial=True)

    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, placed.get(key, before[key])), key


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize(
    "name", [name for name in CLASSIFIERS if name != "unet_resnet34"], scope="module"
)
def test_a_whole_segmenter_of_other_classes_fits(name):
    """Of Pascal VOC's, here."""
    entry = segmenters.get(name)
    with torch.device("meta"):
        published = {
            key: value
            for key, value in entry.build(21).state_dict().items()
            if "num_batches" not in key
        }
        network = entry.build(3)

    pretrained._fill(network, published, entry, partial=False)

    lacking = {key: value for key, value in published.items() if "backbone" not in key}
    with pytest.raises(Exception, match="the file holds other weights"):
        pretrained._fill(network, lacking, entry, partial=False)
