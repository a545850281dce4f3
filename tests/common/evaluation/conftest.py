"""A data set, a pipeline and a model in a real bucket, made by the real parts."""

from __future__ import annotations

import io
import itertools
import secrets
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from common.architectures import IMAGENET_MEAN, IMAGENET_STD
from common.catalog.pipelines import Pipelines
from common.data.importing import run_import
from common.jobs.context import JobContext
from common.jobs.store import Jobs
from common.settings import ServiceSettings
from common.storage import resources
from common.storage.bucket import Bucket
from common.training.checkpoints import save_weights, sha256_of
from nocode.vision.v1 import job_pb2, model_pb2, pipeline_pb2
from services.classification.architectures import classifiers
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


COLOURS = {"red": (200, 40, 40), "green": (40, 180, 40), "blue": (40, 40, 220), "grey": (90,) * 3}


def picture(colour: str, number: int) -> bytes:
    """A noisy picture of a colour, of a size of its own."""
    rng = np.random.default_rng([number, *COLOURS[colour]])
    noise = rng.normal(0, 60, (24 + number % 5, 30, 3))
    pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def lively_network(architecture: str, class_count: int) -> torch.nn.Module:
    """Build a network that was never trained, and whose answers differ from image to image."""
    torch.manual_seed(1)
    network = classifiers.get(architecture).build(class_count)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # or one batch would not be enough for its statistics
        if isinstance(module, torch.nn.Linear):
            last = module
    images_N3SS = torch.randn(32, 3, 32, 32)
    with torch.no_grad():
        network(images_N3SS)
        logits_NC = network.eval()(images_N3SS)
        stretch_C = 2 / logits_NC.std(dim=0)
        last.weight.mul_(stretch_C[:, None])
        last.bias.copy_((last.bias - logits_NC.mean(dim=0)) * stretch_C)
    return network


@dataclass
class World:
    """What the tests of this folder do to a bucket."""

    bucket: Bucket
    settings: ServiceSettings
    numbers: itertools.count[int]

    def context(self, **spec: object) -> JobContext:
        """Make a job of its own and what its runner is given."""
        job = job_pb2.Job(name=f"tasks/classification/jobs/job-{next(self.numbers)}", **spec)
        return JobContext(
            job, task=ClassificationTask(), bucket=self.bucket, settings=self.settings
        )

    def dataset(self, dataset_id: str, counts: Mapping[str, int], *, first: int = 0) -> str:
        """Import pictures, numbered from `first`, of each class as many as `counts` says."""
        name = f"tasks/classification/datasets/{dataset_id}"
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for colour, count in counts.items():
                for number in range(first, first + count):
                    file.writestr(f"{colour}/{number:03}.png", picture(colour, number))
        self.bucket.put("incoming/data.zip", archive.getvalue())
        spec = job_pb2.ImportSpec(dataset=name)
        spec.source.uri = self.bucket.uri("incoming/data.zip")
        context = self.context(import_spec=spec)
        self.bucket.put(f"{name}/reserved", context.job.name.encode())
        return run_import(context)

    def pipeline(
        self, dataset: str, *, pipeline_id: str = "", **split: float
    ) -> pipeline_pb2.Pipeline:
        """Split a data set."""
        asked = pipeline_pb2.Pipeline(
            dataset=dataset,
            architecture="mobilenet_v3_small",
            split_config=pipeline_pb2.SplitConfig(**split),
        )
        jobs = Jobs(self.bucket, queue_size=10)
        pipelines = Pipelines(self.bucket, [ClassificationTask()], jobs, self.settings)
        return pipelines.create("classification", asked, pipeline_id=pipeline_id)

    def model(
        self, pipeline: pipeline_pb2.Pipeline, classes: list[str], scratch: Path
    ) -> model_pb2.Model:
        """Keep a model that was never trained."""
        network = lively_network(pipeline.architecture, len(classes))
        model = model_pb2.Model(
            name=f"tasks/classification/models/m-{next(self.numbers)}",
            pipeline=pipeline.name,
            dataset=pipeline.dataset,
            architecture=pipeline.architecture,
            classes=classes,
            temperature=1.3,
            preprocessing=model_pb2.Preprocessing(
                image_size_px=32,
                resize="stretch",
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
            ),
        )
        path = scratch / "weights.safetensors"
        save_weights(network.state_dict(), path)
        model.weights_sha256 = sha256_of(path)
        model.weights_size_bytes = path.stat().st_size
        self.bucket.put_file(f"{model.name}/model.safetensors", path)
        model.create_time.GetCurrentTime()
        resources.models(self.bucket).create(model.name, model)
        return model


@pytest.fixture(scope="session")
def lively():
    return lively_network


@pytest.fixture(scope="session")
def make_world(s3):
    """Make worlds that share nothing."""

    def make(folder):
        settings = s3.settings.model_copy(update={"s3_bucket": f"test-{secrets.token_hex(8)}"})
        Bucket(settings).make()
        service = ServiceSettings(**settings.model_dump(), work_dir=folder)
        return World(Bucket(service), service, itertools.count(1))

    return make


@pytest.fixture
def world(make_world, tmp_path):
    return make_world(tmp_path / "work")


@pytest.fixture
def dataset(world):
    """20 pictures of each of three colours; the classes are blue, green and red."""
    return world.dataset("colours", {"red": 20, "green": 20, "blue": 20})


@pytest.fixture
def model(world, dataset, tmp_path):
    """A model with a pipeline whose split is the default."""
    return world.model(world.pipeline(dataset), ["blue", "green", "red"], tmp_path)
