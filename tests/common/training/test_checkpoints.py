"""Checkpoints are whole or not there, and hold exactly what was put in."""

import json

import pytest
import torch

from common.errors import Internal
from common.jobs.store import ClaimLost
from common.training import state
from common.training.checkpoints import Checkpoints, Progress, save_weights, sha256_of
from common.training.optimizers import WeightAverage, make_optimizer
from tests.common.training import made

PREFIX = "tasks/classification/jobs/j/checkpoint/"


class Broken(Exception):
    """The process dies here."""


@pytest.fixture
def checkpoints(bucket, tmp_path):
    return Checkpoints(bucket, PREFIX, tmp_path / "scratch", attempt=1)


def keys(bucket):
    return [stat.key.removeprefix(PREFIX) for stat in bucket.list(PREFIX)]


def tensors(value):
    return {"a": torch.full((2, 3), float(value)), "count": torch.tensor(value)}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_saved_is_loaded(checkpoints):
    """Numbers, flags, metrics and tensors."""
    progress = Progress(
        epoch=3,
        best_epoch=2,
        improved_epoch=1,
        best_metrics={"val_accuracy": 0.1 + 0.2},
        batch_parts=4,
        scaler={"scale": 65536.0, "_growth_tracker": 7},
        history=[{"epoch": 1, "metrics": {"loss": 0.1 + 0.2}, "ended_s": 1.5}],
    )
    checkpoints.save(progress, tensors(3), tensors(2))

    loaded, found, best = checkpoints.load()

    assert checkpoints.exist()
    assert loaded == progress
    assert equal(found, tensors(3))
    assert equal(best, tensors(2))


def test_there_is_none_at_first(checkpoints):
    """A new job starts from the beginning."""
    assert not checkpoints.exist()
    assert checkpoints.load() is None


def test_only_the_last_one_is_kept(checkpoints, bucket, tmp_path):
    """And the best weights are written only when they are new."""
    checkpoints.save(Progress(epoch=1, best_epoch=1), tensors(1), tensors(1))
    best = bucket.stat(f"{PREFIX}best-00001-1.safetensors")
    checkpoints.save(Progress(epoch=2, best_epoch=1), tensors(2), tensors(1))

    assert keys(bucket) == ["best-00001-1.safetensors", "latest.json", "state-00002-1.safetensors"]
    assert bucket.stat(best.key).last_modified == best.last_modified

    checkpoints.save(Progress(epoch=3, best_epoch=3), tensors(3), tensors(3))

    assert keys(bucket) == ["best-00003-1.safetensors", "latest.json", "state-00003-1.safetensors"]
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_crash_between_writes_leaves_the_checkpoint_before(
    checkpoints, bucket, monkeypatch, writes
):
    """Whichever write was the last."""
    checkpoints.save(Progress(epoch=1, best_epoch=1), tensors(1), tensors(1))
    left = iter(range(writes))

    def limited(write):
        def call(*arguments, **options):
            if next(left, None) is None:
                raise Broken
            return write(*arguments, **options)

        return call

    monkeypatch.setattr(bucket, "put_file", limited(bucket.put_file))
    monkeypatch.setattr(bucket, "put", limited(bucket.put))
    with pytest.raises(Broken):
        checkpoints.save(Progress(epoch=2, best_epoch=2), tensors(2), tensors(2))
    monkeypatch.undo()

    progress, found, best = checkpoints.load()
    assert progress.epoch == 1
    assert equal(found, tensors(1))
    assert equal(best, tensors(1))


def test_a_damaged_file_is_noticed(checkpoints, bucket):
    """Training on from other weights would be worse than to stop."""
    checkpoints.save(Progress(epoch=1, best_epoch=1), tensors(1), tensors(1))
    bucket.put(f"{PREFIX}state-00001-1.safetensors", b"something else")

    with pytest.raises(Internal, match=r"state-00001-1\.safetensors is damaged"):
        checkpoints.load()


def test_an_attempt_given_up_writes_over_nothing(checkpoints, bucket, tmp_path, monkeypatch):
    """It was cut off while it uploaded; meanwhile another went on from the checkpoint before."""
    checkpoints.save(Progress(epoch=1, best_epoch=1), tensors(1), tensors(1))
    later = Checkpoints(bucket, PREFIX, tmp_path / "elsewhere", attempt=2)
    upload = checkpoints._upload

    def cut_off(name, uploaded):
        if name.startswith("state"):
            later.save(Progress(epoch=2, best_epoch=2), tensors(20), tensors(21))
        return upload(name, uploaded)

    monkeypatch.setattr(checkpoints, "_upload", cut_off)
    with pytest.raises(ClaimLost):
        checkpoints.save(Progress(epoch=2, best_epoch=2), tensors(2), tensors(2))

    progress, found, best = later.load()
    assert progress.epoch == 2
    assert equal(found, tensors(20))
    assert equal(best, tensors(21))


def test_the_later_attempt_goes_on_whatever_the_one_before_it_still_writes(
    checkpoints, bucket, tmp_path
):
    """The first one was not as dead as it seemed."""
    checkpoints.save(Progress(epoch=1, best_epoch=1), tensors(1), tensors(1))
    later = Checkpoints(bucket, PREFIX, tmp_path / "elsewhere", attempt=2)
    later.load()
    checkpoints.save(Progress(epoch=2, best_epoch=1), tensors(2), tensors(1))

    later.save(Progress(epoch=2, best_epoch=1), tensors(20), tensors(1))

    assert keys(bucket) == ["best-00001-2.safetensors", "latest.json", "state-00002-2.safetensors"]
    assert equal(later.load()[1], tensors(20))


def test_nothing_in_a_checkpoint_is_pickled(checkpoints, bucket):
    """JSON, and safetensors, whose files begin with the length of a JSON header."""
    checkpoints.save(Progress(epoch=1, best_epoch=1), tensors(1), tensors(1))

    for key in keys(bucket):
        data = bucket.get(PREFIX + key)
        header = data if key.endswith(".json") else data[8 : 8 + int.from_bytes(data[:8], "little")]
        assert isinstance(json.loads(header), dict)


def test_equal_weights_give_equal_files(tmp_path):
    """Whatever their layout in memory is."""
    weights = {"w": torch.arange(24.0).view(1, 2, 3, 4), "b": torch.ones(2)}
    save_weights(weights, tmp_path / "a")
    turned = {name: weights[name] for name in reversed(weights)}
    turned["w"] = turned["w"].to(memory_format=torch.channels_last)
    save_weights(turned, tmp_path / "b")

    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_state_of_a_training_comes_back(name):
    """Weights, average and the optimizer's memory, to the last bit and in the same layout."""

    def parts(seed):
        model = made.network(seed).to(memory_format=torch.channels_last)
        return model, WeightAverage(model, 0.5), make_optimizer(model, made.config(optimizer=name))

    def step(model, average, optimizer):
        torch.manual_seed(3)
        model(torch.rand(4, 3, 32, 32)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(model, 50)

    one, other = parts(0), parts(1)
    step(*one)
    captured = {name: tensor.clone() for name, tensor in state.capture(*one).items()}

    state.restore(captured, *other)
    step(*one)
    step(*other)

    assert equal(state.capture(*one), state.capture(*other))
    for a, b in zip(state.capture(*one).values(), state.capture(*other).values(), strict=True):
        assert a.stride() == b.stride()
