"""Several processes take the steps that one would take. On the CPU here, with gloo."""

import json
import os
import subprocess
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from common.errors import InvalidInput, WrongState
from common.jobs.context import Cancelled
from common.reasons import Reason
from common.training import launch
from common.training.distributed import Ranks, alone, torchrun
from tests.common.training import made


def train_together(folder, limit=1000):
    """Train in two processes; return what each says."""
    subprocess.run(
        torchrun(2, "tests.common.training.together", str(folder), str(limit)),
        check=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def same(weights, alone_weights):
    return all(
        torch.allclose(weights[f"network.{name}"], tensor, atol=1e-5)
        for name, tensor in alone_weights.items()
    )


def test_two_processes_train_as_one_does(tmp_path):
    """Equal weights in both, those of a single process, and only the first one reports."""
    recorder = made.Recorder()
    one = made.trainer(made.training(), made.plain_network(), reporter=recorder).fit()

    first, second = train_together(tmp_path)

    assert first["digest"] == second["digest"]
    assert first["metrics"] == second["metrics"] == pytest.approx(one.metrics, rel=1e-4)
    assert same(load_file(tmp_path / "weights"), one.weights)
    assert first["reports"] > 0
    assert second["reports"] == 0
    for epoch in (1, 2):
        loss = first["history"][str(epoch)]["loss"]
        assert loss == pytest.approx(recorder.history[epoch]["loss"], rel=1e-4)


def test_two_processes_agree_on_parts_before_they_train(tmp_path):
    """Room for 2 images, shares of 3 or 4: tried out first, then never too large again."""
    one = made.trainer(made.training(), made.plain_network()).fit()

    first, second = train_together(tmp_path, limit=2)

    assert first["digest"] == second["digest"]
    assert same(load_file(tmp_path / "weights"), one.weights)
    for process in (first, second):
        assert max(process["sizes"][:1]) > 2
        assert max(process["sizes"][3:]) <= 2


def test_every_process_needs_an_image():
    """A batch of one for two devices is refused, with what to change."""
    with pytest.raises(InvalidInput) as caught:
        made.trainer(made.training(batch_size=1), ranks=Ranks(0, 2, made.CPU))

    assert caught.value.field == "training_config.batch_size"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_are_all_of_it(count):
    """Each item in exactly one share."""
    shares = [list(Ranks(rank, count, made.CPU).share(range(7))) for rank in range(count)]

    assert sorted(item for share in shares for item in share) == list(range(7))


def test_alone_nothing_is_sent():
    """What several agree on, one simply has."""
    ranks = alone(made.CPU)

    assert ranks.gather([1, 2]) == [1, 2]
    assert ranks.largest(3) == 3
    assert ranks.total(torch.tensor(2.0)).item() == 2
    assert ranks.parallel(ranks) is ranks


def test_a_job_can_be_trained_by_two_processes(world, dataset):
    """Progress, history, findings and weights arrive at the worker."""
    context = world.training(world.pipeline(dataset, epoch_count=2, pretrained="auto"))
    world.keep(context)

    fitted = launch.fit_together(context, 2)

    assert [entry.epoch for entry in context.job.history] == [1, 2]
    assert context.job.progress.epoch == 2
    assert context.job.progress.phase == "Training"
    assert {f.id for f in context.job.findings} == {"PRECISION_CHOSEN", "TRAINED_FROM_SCRATCH"}
    assert fitted.best_epoch in {1, 2}
    assert all(torch.isfinite(tensor).all() for tensor in fitted.weights.values())


def test_an_error_of_a_process_is_the_error_of_the_job(world, dataset):
    """Not that torchrun ended with some status."""
    context = world.training(world.pipeline(dataset, pretrained="required"))
    world.keep(context)

    with pytest.raises(WrongState) as caught:
        launch.fit_together(context, 2)

    assert caught.value.reason == Reason.PRETRAINED_UNAVAILABLE
    assert caught.value.field == "training_config.pretrained"


def test_a_cancelled_job_leaves_no_process(world, dataset, monkeypatch):
    """Neither torchrun nor what it has started."""
    context = world.training(world.pipeline(dataset, epoch_count=1000))
    world.keep(context)
    me, seen = psutil.Process(), set()
    add_history = type(context).add_history

    def stopping(self, epoch, metrics):
        add_history(self, epoch, metrics)
        seen.update(me.children(recursive=True))
        self.request_stop()

    monkeypatch.setattr(type(context), "add_history", stopping)
    with pytest.raises(Cancelled):
        launch.fit_together(context, 2)

    trainers = [p for p in seen if p.pid != me.pid]
    assert len(trainers) >= 3
    deadline = time.monotonic() + 30
    while any(p.is_running() and "torch" in " ".join(p.cmdline()) for p in trainers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
