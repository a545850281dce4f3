"""Several processes take the steps that one would take. On the CPU here, with gloo."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from common.errors import Exhausted, InvalidInput, WrongState
from common.jobs.context import Cancelled
from common.reasons import Reason
from common.training import launch
from common.training.distributed import Ranks, alone, torchrun
from services.classification.task import ClassificationTask
from tests.common.training import made


def train_together(folder, *, limit=1000, images=20, network="plain"):
    """Train in two processes; return what each says."""
    options = [str(folder), str(limit), str(images), network]
    subprocess.run(
        torchrun(2, "tests.common.training.together", *options),
        check=True,
        timeout=100,
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


@pytest.mark.parametrize(
    ("limit", "images"),
    [
        pytest.param(1000, 20, id="equal shares", marks=pytest.mark.slow),
        pytest.param(1000, 3, id="of three images, one process has one", marks=pytest.mark.slow),
        pytest.param(2, 9, id="shares of three and two images in two parts"),
        pytest.param(1, 3, id="of three images in two parts, one process has one"),
    ],
)
def test_processes_that_normalize_together_do_not_wait_for_each_other_in_vain(
    tmp_path, limit, images
):
    """They take part in every exchange of statistics, or none does."""
    first, second = train_together(tmp_path, limit=limit, images=images, network="normalized")

    assert first["digest"] == second["digest"]


def test_a_process_without_torchrun_ends(tmp_path):
    """As one does whose torchrun was killed before it could look for it."""
    command = [sys.executable, "-m", "tests.common.training.together", str(tmp_path)]
    ended = subprocess.run(command, timeout=120, check=False)

    assert ended.returncode == 1
    assert not list(tmp_path.iterdir())


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

    with pytest.raises(WrongState) as caught:
        launch.fit_together(context, 2)

    assert caught.value.reason == Reason.PRETRAINED_UNAVAILABLE
    assert caught.value.field == "training_config.pretrained"


def test_a_report_is_written_in_one_piece(monkeypatch):
    """Or two processes that report at once may write into each other's lines."""

    class Pieces(list):
        write = list.append

        def flush(self):
            """Nothing is held back."""

    monkeypatch.setattr(sys, "stdout", Pieces())
    launch.report("progress", epoch=1)

    assert sys.stdout == [f'{launch.MARK}{{"kind": "progress", "epoch": 1}}\n']


class HoardingTask(ClassificationTask):
    """A task that wants more memory than there is, in each process."""

    def learner(self):
        """Ask for it."""
        return bytearray(1 << 60)


def test_a_process_that_runs_out_of_memory_says_so(world, dataset):
    """Whatever it was about."""
    context = world.training(world.pipeline(dataset))
    context.task = HoardingTask()

    with pytest.raises(Exhausted) as caught:
        launch.fit_together(context, 2)

    assert caught.value.reason == Reason.OUT_OF_MEMORY
    assert "batch_size" in caught.value.message


def test_a_cancelled_job_leaves_no_process(world, dataset, monkeypatch):
    """Neither torchrun nor what it has started."""
    context = world.training(world.pipeline(dataset, epoch_count=1000))
    me, seen = psutil.Process(), set()
    add_history = type(context).add_history

    def stopping(self, epoch, metrics, ended_s):
        add_history(self, epoch, metrics, ended_s)
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


@pytest.mark.slow
def test_a_training_is_shared_by_two_machines(world, dataset, monkeypatch, tmp_path):
    """As two pods of a cluster would: the worker on one, and one that follows on the other."""
    context = world.training(world.pipeline(dataset, epoch_count=2))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in {"NNODES": 2, "RDZV_CONF": "timeout=300", **first}.items():
        monkeypatch.setenv(f"PET_{name}", str(value))
    settings = launch._environment(context.settings) | {"NOCODE_WORK_DIR": str(tmp_path)}
    claim = [f"--owner={context.job.owner}", f"--attempt={context.job.attempt}"]
    with subprocess.Popen(
        [sys.executable, "-m", "services.classification", "work", context.job.name, *claim],
        env=os.environ | settings | {"PET_NODE_RANK": "1"},
    ) as follower:
        monkeypatch.setenv("PET_NODE_RANK", "0")
        fitted = launch.fit_together(context, 1)

        assert follower.wait(60) == 0

    assert [entry.epoch for entry in context.job.history] == [1, 2]
    assert all(torch.isfinite(tensor).all() for tensor in fitted.weights.values())
