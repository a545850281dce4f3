"""Every alert fires when its fault is made, in the real system and with a real Prometheus.

The rules are those of `deploy/monitoring`, but in a hurry: what looks back over minutes looks back
over seconds, and nothing has to last. That they wait as long as they should is tested by promtool.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import threading
import time

import numpy as np
import psutil
import pytest

from client import CallFailed, Client
from common.storage.bucket import Bucket
from deploy.local.stack import LocalStack
from deploy.monitoring.prometheus import FOLDER, Prometheus
from nocode.vision.v1 import dataset_source_pb2, pipeline_pb2
from tests.deploy.monitoring import rules, targets_of, wait_for
from tests.e2e.data import archive, encoded, shape
from tests.e2e.workers import kill_worker

TASK = "classification"
MADE_HERE = {
    "NocodeVisionCallersRefused",
    "NocodeVisionDown",
    "NocodeVisionFaults",
    "NocodeVisionFilesRunOut",
    "NocodeVisionGone",
    "NocodeVisionJobsFail",
    "NocodeVisionJobsStuck",
    "NocodeVisionJobsWait",
    "NocodeVisionModelLoadsFail",
    "NocodeVisionModelsThrash",
    "NocodeVisionPredictionsRefused",
    "NocodeVisionPredictionsSlow",
    "NocodeVisionRestarting",
    "NocodeVisionStorageErrors",
    "NocodeVisionStorageSlow",
    "NocodeVisionTrainingStalls",
}
# Needs a GPU, and to fill it.
MADE_BY_PROMTOOL_ALONE = {"NocodeVisionGpuMemoryFull"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A service with room for one model, one job and one waiting image."""
    service = {
        "NOCODE_TRAIN_THREADS": "1",
        "NOCODE_WEIGHTS_URL": "",
        "NOCODE_JOB_SLOTS": "1",
        "NOCODE_JOB_ATTEMPTS": "1",
        "NOCODE_PREDICT_QUEUE_SIZE": "1",
        "NOCODE_PREDICT_BATCH_SIZE": "1",
        "NOCODE_MODEL_CACHE_BYTES": str(60 * 1024**2),
        "NOCODE_DRAIN_S": "1",
    }
    env = {TASK: service, "gateway": {"NOCODE_DRAIN_S": "0"}}
    with LocalStack(tmp_path_factory.mktemp("stack"), services=[TASK], env=env) as running:
        yield running


@pytest.fixture(scope="module")
def client(stack):
    with Client(stack.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, stack):
    """Scrapes every second, and has the rules in a hurry."""
    folder = tmp_path_factory.mktemp("prometheus")
    hurried = folder / "rules"
    hurried.mkdir()
    for file in (FOLDER / "rules").glob("*.yaml"):
        text = re.sub(r"\[(5m|15m|1h)\]", "[15s]", file.read_text())
        (hurried / file.name).write_text(re.sub(r"for: \w+", "for: 0s", text))
    targets = targets_of(stack, TASK)
    with Prometheus(folder, targets, interval_s=1, rules=hurried) as running:
        running.targets_file = folder / "targets" / "local.json"
        yield running


@pytest.fixture(scope="module")
def fires(prometheus):
    """Wait until an alert fires, doing something again and again if need be; return its labels."""

    def fires(alert, again=lambda: None, timeout_s: float = 120.0):
        def ask():
            again()
            time.sleep(1.5)  # until it has been scraped, and the rules have been looked at
            return prometheus.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')

        return wait_for(ask, timeout_s=timeout_s)[0]["metric"]

    return fires


@pytest.fixture(scope="module")
def dataset(client, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shapes.zip"
    path.write_bytes(archive(8))
    source = dataset_source_pb2.DatasetSource(upload=client.upload(TASK, path))
    return client.wait(client.import_dataset(TASK, source, dataset_id="shapes").name).dataset


def train(client, dataset, epoch_count):
    """Begin a training."""
    config = pipeline_pb2.TrainingConfig(
        epoch_count=epoch_count, image_size_px=32, batch_size=8, early_stopping_patience=1000
    )
    pipeline = client.create_pipeline(
        TASK,
        pipeline_pb2.Pipeline(architecture="resnet18", dataset=dataset, training_config=config),
    )
    return client.train(pipeline.name)


@pytest.fixture(scope="module")
def models(client, dataset):
    """Two models, of which the service has room for one at a time."""
    return [client.wait(train(client, dataset, 1).name).model for _ in range(2)]


@pytest.fixture(scope="module")
def image():
    return encoded(shape("circle", np.random.default_rng(0)))


@contextlib.contextmanager
def stopped(pid):
    """A process that stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_every_alert_has_its_fault_made():
    """A new one needs one here, or a reason."""
    assert set(rules("alert")) == MADE_HERE | MADE_BY_PROMTOOL_ALONE


def test_more_models_than_there_is_room_for(client, fires, models, image):
    def in_turns():
        for model in models:
            client.predict(model, [image])

    assert fires("NocodeVisionModelsThrash", in_turns)["job"] == TASK


@contextlib.contextmanager
def meanwhile(call, *, stagger_s=0.0):
    """Four callers that call again and again, whatever comes of it, the later ones later."""
    end = threading.Event()

    def call_until_the_end(wait_s):
        end.wait(wait_s)
        while not end.is_set():
            with contextlib.suppress(CallFailed):
                call()

    callers = [
        threading.Thread(target=call_until_the_end, args=[number * stagger_s])
        for number in range(4)
    ]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        end.set()
        for caller in callers:
            caller.join()


def test_more_images_than_can_be_computed(client, fires, models, image):
    """Those turned away are also calls refused at the gateway."""
    with meanwhile(lambda: client.predict(models[0], [image] * 4)):
        assert fires("NocodeVisionPredictionsRefused")["job"] == TASK
        assert fires("NocodeVisionCallersRefused")["grpc_code"] == "RESOURCE_EXHAUSTED"


def test_a_prediction_that_takes_long(client, stack, fires, models, image):
    """The service stands still while it is at work on some."""

    def predict():
        with contextlib.suppress(CallFailed):
            client.predict(models[0], [image] * 8)

    def slowly():
        calls = [threading.Thread(target=predict) for _ in range(8)]
        for call in calls:
            call.start()
        with stopped(stack.pid(TASK)):
            time.sleep(3.5)
        for call in calls:
            call.join()

    assert fires("NocodeVisionPredictionsSlow", slowly)["job"] == TASK


def test_a_model_whose_weights_are_damaged(client, stack, fires, models, image):
    bucket = Bucket(stack.storage)
    key = f"{models[1]}/model.safetensors"
    weights = bucket.get(key)
    client.predict(models[0], [image])  # the other one makes room
    bucket.put(key, weights[:1000])

    def ask():
        with contextlib.suppress(CallFailed):
            client.predict(models[1], [image])

    try:
        assert fires("NocodeVisionModelLoadsFail", ask)["job"] == TASK
    finally:
        bucket.put(key, weights)


def test_a_training_that_stands_still_and_one_behind_it(client, stack, fires, dataset):
    """And then the worker is killed."""
    job, waiting = (train(client, dataset, 1000) for _ in range(2))
    wait_for(lambda: client.job(job.name).progress.epoch)
    workers = [
        process
        for process in psutil.Process(stack.pid(TASK)).children(recursive=True)
        if job.name in process.cmdline()
    ]
    with stopped(workers[-1].pid):
        assert fires("NocodeVisionTrainingStalls")["kind"] == "train"
        assert fires("NocodeVisionJobsWait")["job"] == TASK
        kill_worker(stack, TASK, job.name)
    assert fires("NocodeVisionJobsFail")["reason"] == "WORKER_CRASHED"
    for each in (job, waiting):
        client.cancel(each.name)


def test_workers_that_cannot_be_started(client, stack, fires, dataset):
    """There is a file where the folder of their logs should be."""
    logs = stack.log(TASK).parents[1] / "work" / TASK / "logs"
    wait_for(lambda: not at_work(client))
    shutil.rmtree(logs)
    logs.write_text("in the way")
    jobs = [train(client, dataset, 1000) for _ in range(6)]
    try:
        assert fires("NocodeVisionJobsStuck")["job"] == TASK
    finally:
        logs.unlink()
        for job in jobs:
            client.cancel(job.name)


def at_work(client):
    """Return the jobs that have not ended."""
    return [job for job in client.list("jobs", TASK) if not job.HasField("end_time")]


def test_a_storage_that_is_slow(client, stack, fires, models):
    def slowly():
        with stopped(stack.pid("s3")):
            time.sleep(2)
        client.model(models[0])

    assert fires("NocodeVisionStorageSlow", slowly)["job"] == TASK


def test_a_storage_that_is_away(client, stack, fires, models):
    """Calls fail meanwhile, after some time, and not through their callers."""
    stack.kill("s3")
    try:
        with meanwhile(lambda: client.model(models[0]), stagger_s=4.0):
            assert fires("NocodeVisionFaults")["severity"] == "critical"
            assert fires("NocodeVisionStorageErrors")["job"] == TASK
    finally:
        stack.restart("s3")


def test_a_process_with_too_many_files(stack, fires):
    pid = stack.pid("gateway")
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    in_use = psutil.Process(pid).num_fds()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use + 3, hard))
    try:
        assert fires("NocodeVisionFilesRunOut")["job"] == "gateway"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_is_started_again_and_again(stack, fires):
    def again():
        stack.restart("gateway")

    assert fires("NocodeVisionRestarting", again)["job"] == "gateway"


def test_a_process_that_has_died_and_is_then_forgotten(prometheus, stack, fires):
    """As in Kubernetes, where a pod that is gone is not looked for any more."""
    stack.kill("gateway")
    assert fires("NocodeVisionDown")["job"] == "gateway"

    left = targets_of(stack, TASK)
    del left["gateway"]
    groups = [{"targets": [address], "labels": {"job": part}} for part, address in left.items()]
    prometheus.targets_file.write_text(json.dumps(groups))
    assert fires("NocodeVisionGone")["job"] == "gateway"
