"""All detectors keep to one interface, in training and in evaluation, with random weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from common.training.parts import normalizable
from services.detection.architectures import detectors
from services.detection.architectures.registry import MAX_DETECTIONS, SCORE_FLOOR
from tests.services.detection.architectures.favour import favour
from tests.services.detection.architectures.matching import matched

CLASS_COUNT = 3


@pytest.fixture(scope="module", params=list(detectors), ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def network(entry):
    """A network that no test may change; see `model`."""
    torch.manual_seed(1)
    network = entry.build(CLASS_COUNT).to(memory_format=torch.channels_last)
    if hasattr(network, "roi_heads"):  # fewer proposals, to save time
        network.roi_heads.fg_bg_sampler.batch_size_per_image = 16
        network.rpn._post_nms_top_n["testing"] = 50
    return network


def settle(network, entry):
    """Set the statistics of normalizations, without which random networks see hardly anything."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    size_px = small(entry)
    if norms:
        with torch.no_grad():
            total(network, pictures(entry, 2, size_px, seed=5), two_targets(size_px))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@pytest.fixture
def model(network):
    """A network of one's own, as a training copies it for its average."""
    return copy.deepcopy(network)


def small(entry):
    """A side that is allowed, and small, to save time."""
    step = entry.input_multiple_px
    return max(entry.input_minimum_px, -(-64 // step) * step)


def pictures(entry, count, size_px, *, seed=0):
    """Normalized pictures of smooth blobs, which look different from each other."""
    generator = torch.Generator().manual_seed(seed)
    coarse_N388 = torch.rand(count, 3, 8, 8, generator=generator)
    images_N3SS = functional.interpolate(coarse_N388, size=(size_px, size_px), mode="bilinear")
    mean_311, std_311 = (torch.tensor(c).view(3, 1, 1) for c in (entry.mean, entry.std))
    normalized_N3SS = (images_N3SS - mean_311) / std_311
    return normalized_N3SS.contiguous(memory_format=torch.channels_last)


def target(boxes, labels):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def two_targets(size_px, label=0, other=2):
    """One image with two objects, and one with none."""
    s = size_px
    boxes = [[0.1 * s, 0.1 * s, 0.6 * s, 0.7 * s], [0.5 * s, 0.4 * s, 0.9 * s, s]]
    return [target(boxes, [label, other]), target([], [])]


def total(model, images_N3SS, targets, *, seed=0):
    """The loss in training mode; proposals are sampled as the seed says."""
    return sum_of_losses(model.train(), images_N3SS, targets, seed=seed)


def sum_of_losses(model, images_N3SS, targets, *, seed=0):
    torch.manual_seed(seed)
    return sum(model(images_N3SS, targets).values())


@torch.inference_mode()
def answers(model, images_N3SS):
    return model.eval()(images_N3SS)


def bf16():
    return torch.autocast("cpu", dtype=torch.bfloat16)


# Evaluation.


def test_answers_keep_to_the_contract(entry, model):
    """Boxes in the input, our labels, scores that do not rise; as many as are allowed."""
    size_px = small(entry)
    for label in range(CLASS_COUNT):
        favour(model, label, 1.0)

    for found in answers(model, pictures(entry, 1, size_px)):
        boxes_K4, labels_K, scores_K = found["boxes"], found["labels"], found["scores"]

        assert set(found) == {"boxes", "labels", "scores"}
        assert (boxes_K4.dtype, labels_K.dtype, scores_K.dtype) == (
            torch.float32,
            torch.int64,
            torch.float32,
        )
        assert 0 < len(boxes_K4) == len(labels_K) == len(scores_K) <= MAX_DETECTIONS
        assert boxes_K4.min() >= 0
        assert boxes_K4.max() <= size_px
        assert (boxes_K4[:, 2:] > boxes_K4[:, :2]).all()
        assert set(labels_K.tolist()) <= set(range(CLASS_COUNT))
        assert (scores_K.diff() <= 0).all()
        assert scores_K.min() > SCORE_FLOOR
        assert scores_K.max() <= 1


@pytest.mark.parametrize("label", [0, CLASS_COUNT - 1])
def test_the_class_that_is_certain_is_the_one_that_comes_out(entry, model, label):
    """An index that were off by one, by the background's, would be seen here."""
    favour(model, label, 200.0)

    (found,) = answers(model, pictures(entry, 1, small(entry)))

    certain = found["labels"][found["scores"] > 0.5]
    assert len(certain) > 0
    assert (certain == label).all()


def test_an_image_has_the_same_answer_alone_and_in_a_batch(entry, model):
    """What else is in the batch is nobody's business.

    What was learned has fewer ties than what is random: there all answers are the same, as
    `test_overfit` shows.
    """
    if not entry.name.startswith("yolox"):  # those see enough
        settle(model, entry)
    favour(model, 1, 3.0)
    images_N3SS = pictures(entry, 2, small(entry))

    together = answers(model, images_N3SS)
    alone = [answers(model, image_3SS[None])[0] for image_3SS in images_N3SS]

    pairs = [*zip(together, alone, strict=True), *zip(alone, together, strict=True)]
    count = sum(len(one["scores"]) for one, _ in pairs)
    same = sum(matched(one, other, iou=0.99, score=1e-3).sum() for one, other in pairs)
    assert same >= 0.9 * count > 0
    assert not torch.equal(together[0]["boxes"], together[1]["boxes"])


def test_nothing_found_has_the_shapes_of_nothing(entry, model):
    """What comes after can do without a special case."""
    for label in range(CLASS_COUNT):
        favour(model, label, -1000.0)

    (found,) = answers(model, pictures(entry, 1, small(entry)))

    assert found["boxes"].shape == (0, 4)
    assert found["labels"].shape == found["scores"].shape == (0,)


# Training.


def test_losses_are_numbers_that_move_all_weights(entry, model):
    """Each weight has a gradient, and none of them is NaN."""
    size_px = small(entry)
    with normalizable(model.train(), 1):
        losses = model(pictures(entry, 1, size_px), two_targets(size_px)[:1])
    sum(losses.values()).backward()

    assert all(loss.ndim == 0 and loss.dtype == torch.float32 for loss in losses.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_images_without_an_object_can_be_trained_on(entry, model):
    """A batch in which no image has one; all weights have a gradient, as several devices need."""
    size_px = small(entry)
    loss = total(model, pictures(entry, 2, size_px), [target([], []), target([], [])])
    loss.backward()

    assert loss.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("label", [0, CLASS_COUNT - 1])
def test_the_right_class_has_the_lowest_loss(entry, network, label):
    """Targets say our labels, and the network takes them as such."""
    size_px = small(entry)
    images_N3SS, targets = pictures(entry, 1, size_px), two_targets(size_px, label, label)[:1]
    losses = []
    for favoured in range(CLASS_COUNT):
        model = copy.deepcopy(network)
        favour(model, favoured, 20.0)
        with torch.no_grad(), normalizable(model.train(), 1):
            losses.append(sum_of_losses(model, images_N3SS, targets).item())

    assert losses.index(min(losses)) == label


def test_the_same_seed_gives_the_same_gradients(entry, network):
    """To the last bit."""
    size_px = small(entry)
    gradients = []
    for _ in range(2):
        model = copy.deepcopy(network)
        with normalizable(model.train(), 1):
            images_N3SS, targets = pictures(entry, 1, size_px), two_targets(size_px)[:1]
            sum_of_losses(model, images_N3SS, targets).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])

    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


# Sizes.


def test_the_smallest_size_works(entry, model):
    """In training and in evaluation."""
    size_px = entry.input_minimum_px
    images_N3SS = pictures(entry, 2, size_px)

    assert size_px % entry.input_multiple_px == 0
    assert total(model, images_N3SS, two_targets(size_px)).isfinite()
    assert len(answers(model, images_N3SS)) == 2


def test_the_size_after_works_too(entry, model):
    """Any multiple does, also where maps have an odd number of cells."""
    favour(model, 1, 3.0)
    size_px = small(entry) + entry.input_multiple_px
    images_N3SS = pictures(entry, 1, size_px)

    (found,) = answers(model, images_N3SS)
    assert found["boxes"].max() <= size_px


# Arithmetic.


def test_bf16_trains(entry, model):
    """Losses are summed in float32, so they are near those in float32."""
    size_px = small(entry)
    images_N3SS, targets = pictures(entry, 2, size_px), two_targets(size_px)
    with torch.no_grad():
        exact = total(copy.deepcopy(model), images_N3SS, targets).item()
    with bf16():
        loss = total(model, images_N3SS, targets)
    loss.backward()

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_bf16_answers_as_float32_does(entry, model):
    """Scores and boxes are near, and boxes are finer than bf16 could tell."""
    favour(model, 1, 3.0)
    images_N3SS = pictures(entry, 1, small(entry))

    (exact,) = answers(model, images_N3SS)
    with bf16():
        (found,) = answers(model, images_N3SS)

    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert matched(found, exact, iou=0.5, score=0.1).mean() >= 0.9
    sides = found["boxes"][(found["boxes"] > 0) & (found["boxes"] < images_N3SS.shape[-1])]
    assert (sides == sides.bfloat16()).double().mean() < 0.5
