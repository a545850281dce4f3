"""EXPORT jobs: what other programs make of the files."""

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from safetensors import safe_open

from common.evaluation.export import run_export, write_onnx
from common.serving.models import load_model
from nocode.vision.v1 import job_pb2, model_pb2, pipeline_pb2
from services.classification.architectures import classifiers
from services.classification.learner import ClassificationLearner

CLASSES = ["blue", "grün", "red"]


@pytest.fixture(scope="module")
def world(make_world, tmp_path_factory):
    """One bucket for all tests of this module: an export takes seconds."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(world, tmp_path_factory):
    pipeline = pipeline_pb2.Pipeline(architecture="resnet18")
    return world.model(pipeline, CLASSES, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def network(world, model):
    return load_model(world.bucket, model.name, classifiers)[0]


def export(world, model, form, folder):
    """Do the job; return it, its result and the file."""
    context = world.context(export_spec=job_pb2.ExportSpec(model=model.name, format=form))
    exported = run_export(context)
    path = folder / f"fetched.{form}"
    world.bucket.get_file(exported.uri.removeprefix(world.bucket.uri("")), path)
    return context.job, exported, path


@pytest.fixture(scope="module")
def as_onnx(world, model, tmp_path_factory):
    return export(world, model, "onnx", tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def as_safetensors(world, model, tmp_path_factory):
    return export(world, model, "safetensors", tmp_path_factory.mktemp("safetensors"))


@pytest.mark.parametrize("image_count", [1, 5])
def test_onnx_runtime_gives_the_same_probabilities(network, as_onnx, image_count):
    """For one image and for several; the temperature is in the file."""
    images_N3SS = torch.randn(image_count, 3, 32, 32)
    session = onnxruntime.InferenceSession(as_onnx[2])

    (answer_NC,) = session.run(["probabilities"], {"images": images_N3SS.numpy()})

    with torch.inference_mode():
        expected_NC = torch.softmax(network(images_N3SS) / 1.3, dim=1).numpy()
    assert answer_NC == pytest.approx(expected_NC, abs=1e-5)
    assert np.ptp(answer_NC[:, 0]) > 0.1 or image_count == 1  # or the comparison would mean little


def test_an_onnx_file_says_how_to_use_it(model, as_onnx):
    proto = onnx.load(as_onnx[2])

    properties = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(properties["classes"]) == CLASSES
    assert properties["architecture"] == "resnet18"
    assert properties["model"] == model.name
    assert float(properties["temperature"]) == 1.3
    assert json.loads(properties["preprocessing"]) == {
        "image_size_px": 32,
        "resize": "stretch",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    dimensions = proto.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in dimensions] == ["batch", 3, 32, 32]


def test_an_onnx_file_does_not_tell_of_the_machine_that_made_it(as_onnx):
    proto = onnx.load(as_onnx[2])
    for tensor in proto.graph.initializer:
        tensor.ClearField("raw_data")  # in millions of weights, any three letters occur

    assert b"site-packages" not in proto.SerializeToString()
    assert b".py" not in proto.SerializeToString()


def test_safetensors_load_into_torchvision(network, as_safetensors):
    with safe_open(as_safetensors[2], "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        properties = file.metadata()

    fresh = torchvision.models.resnet18(weights=None, num_classes=3)
    fresh.load_state_dict(tensors)
    images_N3SS = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(fresh.eval()(images_N3SS), network(images_N3SS))
    assert json.loads(properties["classes"]) == CLASSES
    assert json.loads(properties["preprocessing"])["image_size_px"] == 32


@pytest.mark.parametrize("form", ["onnx", "safetensors"])
def test_an_export_says_what_was_written_and_where(request, world, model, form):
    """In a folder of the model's that is the job's own, so that it goes with the model."""
    job, exported, path = request.getfixturevalue(f"as_{form}")

    folder = f"{model.name}/exports/{job.name.rpartition('/')[2]}"
    assert exported.uri == world.bucket.uri(f"{folder}/model.{form}")
    assert exported.model == model.name
    assert exported.format == form
    assert exported.size_bytes == path.stat().st_size
    assert exported.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [entry.name for entry in classifiers])
def test_every_architecture_is_exported_right(lively, architecture, tmp_path):
    network = lively(architecture, 4)
    model = model_pb2.Model(architecture=architecture, classes="abcd", temperature=1.3)
    model.preprocessing.image_size_px = 32
    images_N3SS = torch.randn(3, 3, 32, 32)

    write_onnx(ClassificationLearner(), network, model, tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (answer_NC,) = session.run(None, {"images": images_N3SS.numpy()})
    with torch.inference_mode():
        expected_NC = torch.softmax(network(images_N3SS) / 1.3, dim=1).numpy()
    assert answer_NC == pytest.approx(expected_NC, abs=5e-4)
    assert np.ptp(answer_NC, axis=0).max() > 0.1
