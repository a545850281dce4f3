"""From a TRAIN job to what is trained, with findings for what was decided on the owner's behalf."""

import hashlib

import pytest
import torch

from common.data.loading import StreamedImages
from common.errors import InvalidInput, NotFound, WrongState
from common.reasons import Reason
from common.training import pretrained, recipes
from common.training.distributed import alone
from common.training.setup import class_weights, first_network, prepare
from nocode.vision.v1 import finding_pb2, pipeline_pb2
from services.classification.architectures import classifiers

CPU = torch.device("cpu")


def findings(context):
    return {finding.id: finding for finding in context.job.findings}


def test_what_is_trained_is_the_split_of_the_pipeline(world, dataset):
    """Train, val and test have no image in common, and targets are those of the manifest."""
    context = world.training(world.pipeline(dataset))

    setup = prepare(context, CPU)

    train, val = setup.training.train, setup.training.val
    assert sorted([*train.indices, *val.indices, *setup.test]) == list(range(60))
    assert [len(train), len(val), len(setup.test)] == [42, 9, 9]
    classes = list(setup.dataset.classes)
    assert classes == ["blue", "green", "red"]
    for subset in (train, val):
        colours_N3 = subset.images.batch(range(len(subset))).float().mean(dim=(2, 3))
        # The strongest channel says the class: blue is channel 2, green 1, red 0.
        assert (2 - colours_N3.argmax(dim=1)).tolist() == subset.targets


def test_the_settings_are_all_filled_in(world, dataset):
    """The caller's, and the recipe's where the caller has none."""
    setup = prepare(world.training(world.pipeline(dataset)), CPU)

    config, recipe = setup.training.config, setup.entry.recipe
    assert config.image_size_px == setup.training.preprocessing.image_size_px == 32
    assert config.learning_rate == recipe.learning_rate
    assert recipes.resolve(setup.entry, config) == config


def test_the_precision_is_told(world, dataset):
    """Which, and why."""
    context = world.training(world.pipeline(dataset, precision="auto"))

    setup = prepare(context, CPU)

    chosen = setup.training.config.precision
    assert chosen in {"fp32", "bf16"}
    message = findings(context)["PRECISION_CHOSEN"].message
    assert message.startswith(f"Trains in {chosen}: the CPU has ")


def test_few_images_are_trained_on_for_more_epochs(world, dataset):
    """42 images are 3 steps an epoch of 16: 350 steps take 117 epochs."""
    context = world.training(world.pipeline(dataset, epoch_count=0, batch_size=16))

    config = prepare(context, CPU).training.config

    recipe = prepare(context, CPU).entry.recipe
    assert config.epoch_count == 117
    assert config.early_stopping_patience == round(
        recipe.early_stopping_patience * 117 / recipe.epoch_count
    )
    assert "117 epochs instead of" in findings(context)["MORE_EPOCHS"].message


def test_who_says_how_many_epochs_gets_them(world, dataset):
    """However few they are."""
    context = world.training(world.pipeline(dataset, epoch_count=2))

    assert prepare(context, CPU).training.config.epoch_count == 2
    assert "MORE_EPOCHS" not in findings(context)


def test_images_are_decoded_once_for_all_jobs(world, dataset):
    """Of any pipeline on the same images with the same split."""
    prepare(world.training(world.pipeline(dataset)), CPU)
    files = {p: p.stat().st_ino for p in (world.settings.work_dir / "images").iterdir()}

    prepare(world.training(world.pipeline(dataset)), CPU)

    assert len(files) == 2
    assert {p: p.stat().st_ino for p in (world.settings.work_dir / "images").iterdir()} == files


def test_without_room_for_the_cache_training_still_works(world, dataset):
    """And its owner is told why it is slow, for as long as that is so."""
    world.settings = world.settings.model_copy(update={"image_cache_bytes": 0})
    context = world.training(world.pipeline(dataset))

    setup = prepare(context, CPU)

    assert isinstance(setup.training.train.images, StreamedImages)
    assert "NOCODE_IMAGE_CACHE_BYTES" in findings(context)["IMAGES_NOT_CACHED"].message

    context.settings = context.settings.model_copy(update={"image_cache_bytes": 10**9})
    prepare(context, CPU)

    assert "IMAGES_NOT_CACHED" not in findings(context)


def test_a_deleted_pipeline_fails_the_job(world, dataset):
    """It may have been deleted while the job was queued."""
    context = world.training(pipeline_pb2.Pipeline(name="tasks/classification/pipelines/gone"))

    with pytest.raises(NotFound):
        prepare(context, CPU)


def test_fp16_is_refused_on_a_cpu(world, dataset):
    """Before an image is read."""
    context = world.training(world.pipeline(dataset, precision="fp16"))

    with pytest.raises(InvalidInput, match="precision is fp16"):
        prepare(context, CPU)

    assert not (world.settings.work_dir / "images").exists()


@pytest.mark.parametrize("wanted", ["auto", "none"])
def test_without_published_weights_training_starts_from_random_ones(world, dataset, wanted):
    """With a finding only if published ones were hoped for; equal seeds give equal weights."""
    pipeline = world.pipeline(dataset, pretrained=wanted)
    contexts = [world.training(pipeline) for _ in range(2)]
    networks = [first_network(context, prepare(context, CPU), alone(CPU)) for context in contexts]

    for a, b in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(a, b)
    told = findings(contexts[0]).get("TRAINED_FROM_SCRATCH")
    assert (told is not None) == (wanted == "auto")
    if told:
        assert "the bucket has no weights/mobilenet_v3_small-047dcff4.pth" in told.message


@pytest.mark.parametrize("wanted", ["auto", "required"])
def test_published_weights_in_the_bucket_are_used(world, dataset, tmp_path, monkeypatch, wanted):
    """And there is nothing to tell, though an earlier attempt did not get them."""
    published = classifiers.get("mobilenet_v3_small").build(1000).state_dict()
    torch.save(published, tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    file = f"mobilenet_v3_small-{digest[:8]}.pth"
    monkeypatch.setattr(pretrained, "_file_name", lambda _: file)
    world.bucket.put_file(f"weights/{file}", tmp_path / "w.pth")
    context = world.training(world.pipeline(dataset, pretrained=wanted))
    context.add_finding(finding_pb2.Finding(id="TRAINED_FROM_SCRATCH"))

    network = first_network(context, prepare(context, CPU), alone(CPU))

    first = "features.0.0.weight"
    assert torch.equal(network.state_dict()[first], published[first])
    assert "TRAINED_FROM_SCRATCH" not in findings(context)


def test_a_training_that_resumes_needs_no_published_weights(world, dataset):
    """They may have been had when it began, and its checkpoint has what became of them."""
    context = world.training(world.pipeline(dataset, pretrained="required"))

    first_network(context, prepare(context, CPU), alone(CPU), resumes=True)

    assert "TRAINED_FROM_SCRATCH" not in findings(context)


def test_what_was_told_of_the_first_weights_stays_when_a_training_resumes(world, dataset):
    """It goes on from what it began with."""
    context = world.training(world.pipeline(dataset, pretrained="auto"))
    first_network(context, prepare(context, CPU), alone(CPU))

    first_network(context, prepare(context, CPU), alone(CPU), resumes=True)

    assert "TRAINED_FROM_SCRATCH" in findings(context)


def test_required_weights_that_cannot_be_had_fail_the_job(world, dataset):
    """Rather than train for hours on what was not wanted."""
    context = world.training(world.pipeline(dataset, pretrained="required"))
    setup = prepare(context, CPU)

    with pytest.raises(WrongState) as caught:
        first_network(context, setup, alone(CPU))

    assert caught.value.reason == Reason.PRETRAINED_UNAVAILABLE


@pytest.mark.parametrize(
    ("balance", "counts", "weights"),
    [
        pytest.param("none", [90, 10], None, id="none"),
        pytest.param("balanced", [90, 30], [60 / 90, 60 / 30], id="inverse to the count"),
        pytest.param("auto", [90, 31], None, id="auto, not skewed"),
        pytest.param("auto", [90, 30], [60 / 90, 60 / 30], id="auto, skewed"),
        pytest.param("balanced", [20, 0, 10], [15 / 20, 0, 15 / 10], id="a class without images"),
        pytest.param("auto", [50, 0], None, id="one class left"),
    ],
)
def test_class_weights(balance, counts, weights):
    """Worked out by hand."""
    found = class_weights(balance, counts)

    assert (None if found is None else found.tolist()) == (weights and pytest.approx(weights))
    if found is not None:
        mean = sum(w * c for w, c in zip(found.tolist(), counts, strict=True)) / sum(counts)
        assert mean == pytest.approx(1)


def test_skewed_data_is_balanced(world):
    """Rare classes count more in the loss, unless the owner says otherwise."""
    dataset = world.dataset({"red": 40, "blue": 10})
    weighed = prepare(world.training(world.pipeline(dataset)), CPU).training.class_weights_C
    plain = prepare(world.training(world.pipeline(dataset, class_balance="none")), CPU)

    assert weighed[0] / weighed[1] == pytest.approx(28 / 7, rel=0.2)
    assert plain.training.class_weights_C is None
