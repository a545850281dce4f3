"""What every task's trainings promise, checked on the real processes."""

import pytest
from PIL import Image

from client import JobFailed
from nocode.vision.v1 import job_pb2
from tests.e2e.workers import kill_worker


def check_evaluations_repeat(client, pipeline):
    """Two evaluations, and that of the training, give the same numbers to the last digit."""
    first, second = (client.wait(client.evaluate(pipeline.name).name).evaluation for _ in range(2))
    kind = first.WhichOneof("metrics")
    trained = client.model(pipeline.model).evaluation

    assert getattr(first, kind) == getattr(second, kind) == getattr(trained, kind)


def check_killed_worker(client, stack, service, pipeline, again, *, epoch):
    """A training whose worker is killed goes on from its last checkpoint, to the same weights.

    Bit by bit those of an unharmed one with the same settings: so these give the same weights.
    """
    job = client.train(again.name)
    for state in client.watch(job.name):
        if state.progress.epoch >= epoch:
            kill_worker(stack, service, job.name)
            break
    ended = client.wait(job.name)

    assert ended.attempt >= 2
    expected = client.model(pipeline.model).weights_sha256
    assert client.model(ended.model).weights_sha256 == expected


def check_cancelled(client, endless):
    """A cancelled training leaves no model."""
    job = client.train(endless.name)
    for state in client.watch(job.name):
        if state.progress.epoch >= 1:
            client.cancel(job.name)
            break

    with pytest.raises(JobFailed):
        client.wait(job.name)

    ended = client.job(job.name)
    assert ended.state == job_pb2.Job.STATE_CANCELLED, ended.error
    assert client.pipeline(endless.name).model == ""


def check_plots(client, job, evaluation, folder, *, at_least):
    """Every plot can be downloaded as a picture, without keys to the bucket."""
    assert len(evaluation.plots) >= at_least
    for number, plot in enumerate(evaluation.plots):
        path = client.download(job.name, plot.uri, folder / f"{number}.png")
        assert Image.open(path).size > (100, 100)
