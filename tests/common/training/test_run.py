"""TRAIN jobs: a model that was measured on held-out images, or nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from google.rpc import status_pb2

from common.data import splits
from common.evaluation.inference import BATCH_SIZE
from common.evaluation.run import run_evaluate
from common.jobs import ending, states
from common.jobs.context import Cancelled
from common.jobs.store import Claim, ClaimLost, Jobs
from common.storage import resources
from common.storage.bucket import Bucket
from common.training import launch
from common.training.run import _calibrate, run_train
from common.training.setup import prepare
from nocode.vision.v1 import job_pb2


def model_of(world, context):
    return resources.models(world.bucket).get(context.job.train_spec.model)


def weights_of(world, context):
    return world.bucket.get(f"{context.job.train_spec.model}/model.safetensors")


def keys(world, prefix):
    return [stat.key.removeprefix(prefix) for stat in world.bucket.list(prefix)]


@pytest.fixture
def pipeline(world, dataset):
    return world.pipeline(dataset)


def test_training_makes_a_measured_model(world, pipeline):
    """With all that a caller is promised about it."""
    context = world.training(pipeline)

    name = run_train(context)

    model = model_of(world, context)
    data = weights_of(world, context)
    assert name == model.name == context.job.train_spec.model
    assert (model.pipeline, model.dataset, model.job) == (
        pipeline.name,
        pipeline.dataset,
        context.job.name,
    )
    assert model.display_name == "Colours"
    assert list(model.classes) == ["blue", "green", "red"]
    assert model.weights_sha256 == hashlib.sha256(data).hexdigest()
    assert model.weights_size_bytes == len(data)
    # Three classes: one more than the registry counts with.
    assert model.parameter_count == 1_519_906 + 1025
    assert model.preprocessing.image_size_px == 32
    assert 0.05 <= model.temperature <= 20
    assert 1 <= model.best_epoch <= 3
    assert model.training_config.epoch_count == 3
    assert [entry.epoch for entry in context.job.history] == [1, 2, 3]
    assert all("val_accuracy" in entry.metrics for entry in context.job.history)

    # Measured on each image of the test split, once; again gives the same numbers.
    split = splits.from_json(world.bucket.get(f"{pipeline.name}/dataset_splits.json"))
    rows = world.bucket.get(context.key("evaluation/predictions.jsonl")).splitlines()
    assert model.evaluation.subset == "test"
    assert [json.loads(row)["index"] for row in rows] == sorted(split.test)
    assert "Training curves" in [plot.title for plot in model.evaluation.plots]

    spec = job_pb2.EvaluateSpec(model=model.name, dataset=pipeline.dataset, subset="test")
    again = run_evaluate(world.context(evaluate_spec=spec))
    assert again.classification == model.evaluation.classification


def test_the_same_seed_gives_the_same_file(world, dataset):
    """To the last bit, and another seed does not."""
    pipeline = world.pipeline(dataset, epoch_count=1)
    contexts = [world.training(pipeline) for _ in range(2)]
    other = world.training(world.pipeline(dataset, epoch_count=1, seed=1))
    for context in (*contexts, other):
        run_train(context)

    first, second, third = (weights_of(world, context) for context in (*contexts, other))
    assert first == second
    assert first != third


def test_a_split_without_val_and_test_still_trains(world, dataset):
    """There is nothing to choose the epoch by, to calibrate on or to measure on."""
    whole = {"train_fraction": 1.0, "val_fraction": 0.0, "test_fraction": 0.0}
    context = world.training(world.pipeline(dataset, split=whole, epoch_count=1))

    run_train(context)

    model = model_of(world, context)
    assert model.best_epoch == 1
    assert model.temperature == 1
    assert not model.HasField("evaluation")


def test_calibration_needs_no_more_memory_than_an_evaluation(world, dataset):
    """Batches of training may be larger than what fits in fp32, or were computed in parts."""
    split = {"train_fraction": 0.4, "val_fraction": 0.6, "test_fraction": 0.0}
    context = world.training(world.pipeline(dataset, split=split, epoch_count=1, batch_size=64))
    setup = prepare(context, torch.device("cpu"))
    network = setup.entry.build(3)
    sizes = []
    network.register_forward_pre_hook(lambda _, images: sizes.append(len(images[0])))

    _calibrate(setup, network)

    assert sum(sizes) == 36
    assert max(sizes) <= BATCH_SIZE


@pytest.mark.parametrize("phase", ["Reading images", "Training", "Evaluating", "Saving the model"])
def test_a_cancelled_training_leaves_no_model(world, dataset, monkeypatch, phase):
    """Whenever it was cancelled: `model.json` alone makes a model, and it is written last."""
    pipeline = world.pipeline(dataset, epoch_count=1)
    context = world.training(pipeline)
    progress = type(context).progress

    def stopping(self, **values):
        if values.get("phase") == phase:
            self.request_stop()
        progress(self, **values)

    monkeypatch.setattr(type(context), "progress", stopping)
    with pytest.raises(Cancelled):
        run_train(context)

    assert f"{context.job.train_spec.model}/model.json" not in keys(world, "")


@pytest.mark.parametrize(
    ("state", "end", "expected"),
    [
        pytest.param(
            states.CANCELLING,
            lambda jobs, claim: ending.give_back(jobs, claim, ""),
            states.CANCELLED,
            id="cancelled",
        ),
        pytest.param(
            states.RUNNING,
            lambda jobs, claim: ending.fail(jobs, claim, status_pb2.Status(code=13)),
            states.FAILED,
            id="failed",
        ),
    ],
)
def test_a_training_that_ends_without_a_model_leaves_nothing(
    world, dataset, monkeypatch, state, end, expected
):
    """At the worst moment: the weights are stored, `model.json` is not."""
    context = world.training(world.pipeline(dataset, epoch_count=1))
    jobs = Jobs(world.bucket, queue_size=1)
    jobs.change(context.job.name, lambda job: setattr(job, "state", state))
    put_file = Bucket.put_file

    def stopping(bucket, key, path):
        put_file(bucket, key, path)
        if key.endswith("/model.safetensors"):
            context.request_stop()

    monkeypatch.setattr(Bucket, "put_file", stopping)
    with pytest.raises(Cancelled):
        run_train(context)
    model, job = f"{context.job.train_spec.model}/", f"{context.job.name}/"
    assert keys(world, model) == ["model.safetensors"]
    assert {key.partition("/")[0] for key in keys(world, job)} == {
        "checkpoint",
        "evaluation",
        "job.json",
    }

    ended = end(jobs, Claim.of(context.job))

    assert ended.state == expected
    assert keys(world, model) == []
    assert keys(world, job) == ["job.json"]


def test_a_worker_that_was_replaced_makes_no_model(world, dataset, monkeypatch):
    """It was cut off while it uploaded the weights; the other's must not be taken for its own."""
    context = world.training(world.pipeline(dataset, epoch_count=1))
    jobs = Jobs(world.bucket, queue_size=1)
    put_file = Bucket.put_file

    def cut_off(bucket, key, path):
        put_file(bucket, key, path)
        if key.endswith("/model.safetensors"):
            jobs.change(context.job.name, lambda job: setattr(job, "attempt", 2))

    monkeypatch.setattr(Bucket, "put_file", cut_off)
    with pytest.raises(ClaimLost):
        run_train(context)

    assert keys(world, f"{context.job.train_spec.model}/") == ["model.safetensors"]


def trainee(world, context):
    """Do a job in a child process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.common.training.trainee", context.job.name],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | launch._environment(world.settings),
    )


def test_a_killed_training_goes_on_and_gives_the_same_file(world, pipeline):
    """Killed with SIGKILL within the second epoch."""
    whole, killed = world.training(pipeline), world.training(pipeline)
    with trainee(world, whole) as child:
        assert child.wait(120) == 0

    with trainee(world, killed) as child:
        for line in child.stdout:
            if line.startswith("epoch 2"):
                child.send_signal(signal.SIGKILL)
                break
        assert child.wait(120) == -signal.SIGKILL
    with trainee(world, killed) as child:
        assert child.stdout.readline() == "epoch 2 step 1\n"
        child.stdout.read()
        assert child.wait(120) == 0

    assert weights_of(world, killed) == weights_of(world, whole)
    models = [model_of(world, context) for context in (whole, killed)]
    assert models[0].evaluation.classification == models[1].evaluation.classification
    assert models[0].temperature == models[1].temperature


def test_settings_survive_the_way_to_another_process(world):
    """As environment variables, which are where they come from."""
    settings = world.settings.model_copy(update={"allowed_buckets": ("a", "b")})
    code = (
        "from common.settings import ServiceSettings, load;"
        "print(load(ServiceSettings).model_dump_json())"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]} | launch._environment(settings),
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed.strip() == settings.model_dump_json()
