"""Jobs as a real MLflow server has them, read through its own client."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from urllib.parse import unquote

import pytest
from mlflow.tracking import MlflowClient
from pydantic import ValidationError

from common import names
from common.errors import Internal, NotFound
from common.evaluation.run import run_evaluate
from common.jobs.context import Cancelled, JobContext
from common.jobs.store import ClaimLost
from common.reasons import Reason
from common.storage import resources
from common.tracking import sender
from common.tracking.describe import tags_of_training
from common.tracking.follow import follow
from common.tracking.pages import pages
from common.training.run import run_train
from nocode.vision.v1 import job_pb2, model_pb2
from services.classification.task import ClassificationTask
from tests.common.training.world import make_world

EXPERIMENT = "tasks/classification"


@pytest.fixture(scope="module")
def client(mlflow_server):
    return MlflowClient(tracking_uri=mlflow_server.url)


@pytest.fixture
def world(tracked, mlflow_server):
    return tracked(mlflow_server.url)


@pytest.fixture
def job(world):
    """A job of which nothing is known yet, by a name that this server has not heard."""
    return lambda within=world: attempt(within, f"{EXPERIMENT}/jobs/told-{next(within.numbers)}", 1)


def attempt(world, name, number):
    """Make an attempt at a job, with nothing reported."""
    job = job_pb2.Job(name=name, state=job_pb2.Job.STATE_RUNNING, owner="a-test", attempt=number)
    job.kind = job_pb2.Job.KIND_TRAIN
    job.train_spec.pipeline = f"{EXPERIMENT}/pipelines/p"
    if number == 1:
        resources.jobs(world.bucket).create(name, job)
    return JobContext(job, task=ClassificationTask(), bucket=world.bucket, settings=world.settings)


def report(context, *epochs):
    """Report epochs as a training does."""
    for epoch in epochs:
        context.add_history(epoch, {"loss": 1 / epoch, "val_accuracy": epoch / 10}, 1e9 + epoch)


def run_of(client, context):
    """The one run of a job."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    wanted = f"tags.`nocode.job` = '{context.job.name}'"
    (run,) = client.search_runs([experiment.experiment_id], wanted)
    return run


def curve(client, run, metric):
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)]


def files(client, run, folder=None):
    found = client.list_artifacts(run.info.run_id, folder)
    return {file.path for file in found if not file.is_dir}


def findings(context):
    return {finding.id: finding for finding in context.job.findings}


def wait_until(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_training_and_its_evaluation_are_seen_whole(world, client, tmp_path):
    """Parameters, curves, figures, plots, split, model: what the bucket has, MLflow has."""
    dataset = world.dataset({"red": 20, "green": 20, "blue": 20})
    pipeline = world.pipeline(dataset, epoch_count=2)
    context = world.training(pipeline)

    model = resources.models(world.bucket).get(run_train(context))

    run = run_of(client, context)
    assert run.info.status == "FINISHED"
    assert run.data.tags["nocode.pipeline"] == pipeline.name
    assert run.data.tags["nocode.model"] == model.name
    assert run.data.tags["nocode.dataset"] == dataset
    assert run.data.tags["nocode.weights_sha256"] == model.weights_sha256
    assert run.data.params["epoch_count"] == "2"
    assert run.data.params["optimizer"] == model.training_config.optimizer
    assert run.data.params["train_image_count"] == "42"
    history = {entry.epoch: entry.metrics["loss"] for entry in context.job.history}
    assert dict(curve(client, run, "loss")) == history
    assert set(history) == {1, 2}
    assert run.data.metrics["test/accuracy"] == model.evaluation.classification.accuracy
    assert run.data.metrics["test/macro.f1"] == model.evaluation.classification.macro.f1
    assert files(client, run) == {"dataset_splits.json"}
    assert files(client, run, "model") == {"model/model.json", "model/model.safetensors"}
    plots = {f"evaluation/{plot.uri.rpartition('/')[2]}" for plot in model.evaluation.plots}
    assert files(client, run, "evaluation") == plots | {"evaluation/evaluation.json"}
    for path, key in {
        "dataset_splits.json": f"{pipeline.name}/dataset_splits.json",
        "model/model.safetensors": f"{model.name}/model.safetensors",
    }.items():
        fetched = client.download_artifacts(run.info.run_id, path, str(tmp_path))
        with open(fetched, "rb") as file:  # noqa: PTH123 - a path as MLflow gives it
            digest = hashlib.sha256(file.read()).hexdigest()
        assert digest == hashlib.sha256(world.bucket.get(key)).hexdigest()
    assert sender.INCOMPLETE not in findings(context)

    spec = job_pb2.EvaluateSpec(model=model.name, dataset=dataset, subset="val")
    measured = world.context(kind=job_pb2.Job.KIND_EVALUATE, evaluate_spec=spec)
    evaluation = run_evaluate(measured)

    run = run_of(client, measured)
    assert run.info.status == "FINISHED"
    assert run.data.tags["nocode.pipeline"] == pipeline.name
    assert run.data.params["subset"] == "val"
    assert run.data.metrics["val/accuracy"] == evaluation.classification.accuracy
    assert files(client, run, "model") == {"model/model.json"}


def test_epochs_come_while_the_job_runs(job, client):
    """Not when it has ended."""
    context = job()
    with follow(context):
        report(context, 1)
        wait_until(lambda: context.bucket.stat(context.key("tracking.json")))
        run = run_of(client, context)
        wait_until(lambda: curve(client, run, "loss"))
        report(context, 2, 3)
        wait_until(lambda: len(curve(client, run, "loss")) == 3)
        assert run_of(client, context).info.status == "RUNNING"

    assert curve(client, run, "val_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_the_next_attempt_goes_on_with_the_same_run(job, client, world):
    """And tells each epoch once, also one that the attempt before had told and lost again."""
    first = job()

    def begin():
        with follow(first) as followed:
            followed.describe({"precision": "bf16"}, {})
            report(first, 1, 2, 3)
            raise ClaimLost

    with pytest.raises(ClaimLost):
        begin()
    assert run_of(client, first).info.status == "RUNNING"

    second = attempt(world, first.job.name, 2)
    with follow(second) as followed:
        followed.describe({"precision": "fp32", "seed": "0"}, {})
        report(second, 1, 2, 3, 4)

    run = run_of(client, second)
    assert run.info.status == "FINISHED"
    assert curve(client, run, "loss") == [(epoch, 1 / epoch) for epoch in (1, 2, 3, 4)]
    assert run.data.tags["nocode.attempt"] == "2"
    # What was said first stands; MLflow lets nobody change it.
    assert run.data.params == {"precision": "bf16", "seed": "0"}
    assert sender.INCOMPLETE not in findings(second)


@pytest.mark.parametrize(
    ("error", "state", "status"),
    [
        pytest.param(Internal(Reason.DIVERGED, "It diverged."), "RUNNING", "FAILED", id="fails"),
        pytest.param(Cancelled(), "CANCELLING", "KILLED", id="is cancelled"),
        pytest.param(Cancelled(), "RUNNING", "SCHEDULED", id="is given back"),
    ],
)
def test_a_run_ends_as_its_job_does(job, client, error, state, status):
    """The job's own error comes through."""
    context = job()

    def change(stored):
        stored.state = job_pb2.Job.State.Value(f"STATE_{state}")

    resources.jobs(context.bucket).update(context.job.name, change)

    with pytest.raises(type(error)), follow(context):
        raise error

    run = run_of(client, context)
    assert run.info.status == status
    assert run.data.tags.get("nocode.error") == (str(error) or None)


def test_weights_that_are_too_large_stay_where_they_are(tracked, mlflow_server, client, job):
    """MLflow is told where."""
    context = job(tracked(mlflow_server.url, mlflow_model_bytes=9))
    weights = context.work_dir / "model.safetensors"
    weights.write_bytes(b"0123456789")
    model = model_pb2.Model(name=f"{EXPERIMENT}/models/m", weights_size_bytes=10)

    with follow(context) as followed:
        followed.model(model, weights)

    run = run_of(client, context)
    assert files(client, run, "model") == {"model/model.json"}
    address = context.bucket.uri(f"{model.name}/model.safetensors")
    assert run.data.tags["nocode.weights_uri"] == address


def test_what_was_deleted_meanwhile_is_named_and_the_rest_is_sent(job, client):
    """One file that is gone holds nothing up."""
    context = job()
    with follow(context) as followed:
        followed.split(f"{EXPERIMENT}/pipelines/gone")
        followed.describe({"seed": "1"}, {})

    assert list(findings(context)[sender.INCOMPLETE].examples) == ["dataset_splits.json"]
    assert run_of(client, context).data.params == {"seed": "1"}
    assert run_of(client, context).info.status == "FINISHED"


def test_pages_are_those_of_the_run(job, world, client):
    """The ids in the addresses are MLflow's own."""
    context = job()
    with follow(context):
        pass
    shown = pages(
        world.bucket, world.settings.model_copy(update={"mlflow_ui_url": "https://ui.test/"})
    )

    run = run_of(client, context)
    experiment = f"https://ui.test/#/experiments/{run.info.experiment_id}/runs"
    assert shown.task("classification") == experiment
    assert shown.job(context.job.name) == f"{experiment}/{run.info.run_id}"
    ids = json.loads(world.bucket.get(context.key("tracking.json")))
    assert ids == {"experiment_id": run.info.experiment_id, "run_id": run.info.run_id}
    assert shown.job(f"{EXPERIMENT}/jobs/other") is None
    assert shown.task("detection") is None


def test_the_filter_in_a_pipelines_address_finds_its_runs(job, client, world):
    """As MLflow reads it."""
    context = job()
    context.job.train_spec.pipeline = f"{EXPERIMENT}/pipelines/{context.name.id}"
    with follow(context) as followed:
        followed.describe({}, tags_of_training(context.job, "d", "a"))
    pipeline = names.parse(context.job.train_spec.pipeline)

    address = pages(world.bucket, world.settings).pipeline(pipeline)

    wanted = unquote(address.partition("searchFilter=")[2])
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = client.search_runs([experiment], wanted)
    assert run.data.tags["nocode.job"] == context.job.name


def test_a_job_that_is_not_tracked_starts_no_thread(storage_settings, tmp_path):
    """And says nothing."""
    context = attempt(make_world(storage_settings, tmp_path), f"{EXPERIMENT}/jobs/j", 1)
    before = threading.active_count()

    with follow(context) as followed:
        followed.describe({"seed": "0"}, {})
        assert threading.active_count() == before

    assert not context.job.findings
    with pytest.raises(NotFound), follow(context):
        raise NotFound(Reason.RESOURCE_NOT_FOUND, "It is gone.")


# When it does not answer, or not well.


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def silent_port():
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_is_down_costs_nothing(tracked, job):
    """The job's owner is told while it runs, and what is missing when it ends."""
    context = job(tracked(f"http://127.0.0.1:{closed_port()}"))
    with follow(context) as followed:
        wait_until(lambda: sender.INCOMPLETE in findings(context))
        followed.describe({"seed": "0"}, {})
        report(context, 1)
        started = time.monotonic()

    assert time.monotonic() - started < sender._LAST_SILENT_S + 1
    finding = findings(context)[sender.INCOMPLETE]
    assert "it does not answer" in finding.message
    assert list(finding.examples) == ["epochs", "parameters", "its end"]


def test_a_server_that_hangs_is_waited_for_some_seconds_only(
    tracked, job, silent_port, monkeypatch
):
    """Whatever it was in the middle of."""
    monkeypatch.setattr(sender, "_LAST_S", 1.0)
    context = job(tracked(f"http://127.0.0.1:{silent_port}"))
    started = time.monotonic()
    with follow(context) as followed:
        followed.describe({"seed": "0"}, {})

    assert 1 <= time.monotonic() - started < 3
    assert sender.INCOMPLETE in findings(context)


def test_what_the_server_refuses_is_said(tracked, job, mlflow_server):
    """Such as an address that is another program's; it is not asked again."""
    context = job(tracked(f"{mlflow_server.url}/nothing/here"))
    with follow(context):
        wait_until(lambda: sender.INCOMPLETE in findings(context))

    assert "it refuses (" in findings(context)[sender.INCOMPLETE].message


def test_settings_say_what_an_address_looks_like(world):
    """And keep passwords out of what is shown to callers."""
    for bad in ("mlflow:5000", "file:///runs", "http://user:secret@mlflow:5000"):
        with pytest.raises(ValidationError, match="mlflow_tracking_uri"):
            type(world.settings)(**world.settings.model_dump() | {"mlflow_tracking_uri": bad})


def test_what_is_sent_in_the_last_moment_does_not_fail_the_job(job, monkeypatch):
    """The list of what is missing gets shorter while the job is told what is on it."""
    monkeypatch.setattr(sender, "_LAST_S", 0.0)
    named = threading.Event()
    tracker = sender.Sender(job())

    class Second:
        @property
        def what(self):
            named.set()
            wait_until(lambda: len(tracker._outbox) < 3)
            return "second"

        def send(self, run):
            pass

    tracker.put("first", lambda _: named.wait(30))
    tracker._outbox.append(Second())
    tracker.put("third", lambda _: None)
    tracker.start()
    tracker.close()

    examples = findings(tracker._context)[sender.INCOMPLETE].examples
    assert list(examples) == ["first", "second", "third"]


@pytest.mark.slow
def test_a_server_that_was_away_is_told_everything_once_it_is_back(job, client, mlflow_server):
    """What had been reported meanwhile, and what comes then."""
    context = job()
    mlflow_server.kill()
    with follow(context) as followed:
        followed.describe({"seed": "0"}, {})
        report(context, 1)
        wait_until(lambda: sender.INCOMPLETE in findings(context))
        mlflow_server.start()
        wait_until(lambda: sender.INCOMPLETE not in findings(context), 60)
        report(context, 2)

    run = run_of(client, context)
    assert curve(client, run, "loss") == [(1, 1.0), (2, 0.5)]
    assert run.data.params == {"seed": "0"}
    assert run.info.status == "FINISHED"


# The last test, as it ends the server.


def test_a_training_whose_server_is_killed_succeeds(world, client, mlflow_server, monkeypatch):
    """What was told before is there, and what is missing is named."""
    context = world.training(world.pipeline(world.dataset({"red": 20, "green": 20}), epoch_count=2))
    add_history = JobContext.add_history
    told = {}

    def killing(self, epoch, metrics, ended_s):
        add_history(self, epoch, metrics, ended_s)
        if epoch == 1:
            wait_until(lambda: self.bucket.stat(self.key("tracking.json")))
            wait_until(lambda: curve(client, run_of(client, self), "loss"))
            wait_until(lambda: files(client, run_of(client, self)))
            told.update(run_of(client, self).data.params)
            mlflow_server.kill()

    monkeypatch.setattr(JobContext, "add_history", killing)
    assert run_train(context) == context.job.train_spec.model

    assert resources.models(world.bucket).exists(context.job.train_spec.model)
    assert told["epoch_count"] == "2"
    missing = list(findings(context)[sender.INCOMPLETE].examples)
    assert {"epochs", "metrics", "model/model.safetensors", "its end"} <= set(missing)
    assert not {"parameters", "dataset_splits.json"} & set(missing)
