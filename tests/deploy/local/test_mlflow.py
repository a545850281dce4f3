"""The whole system with MLflow, as `make run MLFLOW=1` starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import grpc
import psutil
import pytest
from mlflow.tracking import MlflowClient

from client import Client
from deploy.local.process import REPOSITORY
from deploy.local.stack import LocalStack
from nocode.vision.v1 import dataset_source_pb2, model_pb2, model_pb2_grpc, pipeline_pb2
from tests.e2e.data import archive

TASK = "classification"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_training_through_the_gateway_has_its_page(tmp_path):
    """Import, train, and ask where to look: the run there is that of the job."""
    env = {TASK: {"NOCODE_TRAIN_THREADS": "1", "NOCODE_WEIGHTS_URL": ""}}
    path = tmp_path / "shapes.zip"
    path.write_bytes(archive(10))
    with (
        LocalStack(tmp_path / "run", services=[TASK], mlflow_port=0, env=env) as stack,
        Client(stack.address) as client,
    ):
        source = dataset_source_pb2.DatasetSource(upload=client.upload(TASK, path))
        dataset = client.wait(client.import_dataset(TASK, source).name).dataset
        config = pipeline_pb2.TrainingConfig(epoch_count=1, image_size_px=32, batch_size=8)
        asked = pipeline_pb2.Pipeline(
            architecture="mobilenet_v3_small", dataset=dataset, training_config=config
        )
        pipeline = client.create_pipeline(TASK, asked)
        job = client.wait(client.train(pipeline.name).name)
        with grpc.insecure_channel(stack.address) as channel:
            stub = model_pb2_grpc.ModelServiceStub(channel)
            request = model_pb2.GetTrackingUrlRequest(name=job.name)
            url = stub.GetTrackingUrl(request, timeout=30).url
        mlflow = MlflowClient(tracking_uri=stack.mlflow_url)
        run = mlflow.get_run(url.rpartition("/")[2])

        assert url.startswith(f"{stack.mlflow_url}/#/experiments/")
        assert run.data.tags["nocode.job"] == job.name
        assert run.info.status == "FINISHED"
        stack.check()


def test_a_killed_make_run_leaves_no_mlflow(tmp_path):
    """Nor when it is killed: MLflow has a child of its own, which must end too."""
    env = {"NOCODE_RUN_DIR": str(tmp_path), "NOCODE_PORT": "0", "NOCODE_MLFLOW_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.local", "--mlflow"],
        cwd=REPOSITORY,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        commands = [" ".join(child.cmdline()) for child in children]
        process.send_signal(signal.SIGKILL)

    assert "  MLflow " in printed
    assert any("uvicorn" in command for command in commands)
    deadline = time.monotonic() + 60
    while [child for child in children if child.is_running()]:
        assert time.monotonic() < deadline, children
        time.sleep(0.1)
