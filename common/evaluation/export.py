"""Writes a model in a format that other programs read: EXPORT jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx
import torch
from google.protobuf import json_format
from safetensors.torch import save_file

from common.serving.models import load_model
from common.training.checkpoints import sha256_of
from nocode.vision.v1 import job_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from common.jobs.context import JobContext
    from common.training.learner import Learner
    from nocode.vision.v1 import model_pb2

OPSET = 20
"""Of ONNX. Read by ONNX Runtime from 1.17 on."""

INPUT = "images"
"""Name of the ONNX model's input."""


def run_export(context: JobContext) -> job_pb2.Export:
    """Do an EXPORT job.

    Raises:
        NotFound: The model has been deleted.
        Internal: Its weights are damaged.
    """
    spec = context.job.export_spec
    learner = context.task.learner()
    context.progress(phase="Loading the model")
    network, model = load_model(context.bucket, spec.model, learner.registry)
    context.progress(phase="Exporting")
    path = context.work_dir / f"model.{spec.format}"
    if spec.format == "onnx":
        write_onnx(learner, network, model, path)
    else:
        write_safetensors(network, model, path)
    context.progress(phase="Uploading")
    # In a folder of the job's own, so that exports of one model do not replace each other.
    key = f"{spec.model}/exports/{context.name.id}/{path.name}"
    context.bucket.put_file(key, path)
    return job_pb2.Export(
        model=spec.model,
        format=spec.format,
        uri=context.bucket.uri(key),
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
    )


def write_onnx(learner: Learner, network: nn.Module, model: model_pb2.Model, path: Path) -> None:
    """Write a model as ONNX: normalized images (batch, 3, S, S) in, calibrated answers out.

    What a program needs to know to use it, `metadata`, is in the file.
    """
    module, output_names = learner.exportable(network, model)
    size_px = model.preprocessing.image_size_px
    program = torch.onnx.export(
        module.eval(),
        (torch.zeros(2, 3, size_px, size_px),),
        input_names=[INPUT],
        output_names=output_names,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # noqa: S101 - it is only without dynamo
    proto = program.model_proto
    _strip(proto.graph)
    onnx.helper.set_model_props(proto, metadata(model))
    proto.doc_string = (
        f"{model.architecture}, trained by No-Code Vision. Send upright RGB images, resized and "
        "normalized as the metadata's preprocessing says."
    )
    onnx.save(proto, path)
    onnx.checker.check_model(path, full_check=True)


def write_safetensors(network: nn.Module, model: model_pb2.Model, path: Path) -> None:
    """Write the weights, named as torchvision names them, and `metadata`."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt", **metadata(model)})


def metadata(model: model_pb2.Model) -> dict[str, str]:
    """Return what a program needs to know to use a model.

    Lists and the preprocessing are JSON: `classes` in the order of the scores, `preprocessing`
    with the fields of the API's `Preprocessing`.
    """
    preprocessing = json_format.MessageToDict(
        model.preprocessing,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return {
        "model": model.name,
        "architecture": model.architecture,
        "classes": json.dumps(list(model.classes), ensure_ascii=False),
        "preprocessing": json.dumps(preprocessing),
        "temperature": repr(model.temperature or 1.0),
        "score_thresholds": json.dumps(list(model.score_thresholds)),
    }


def _strip(graph: onnx.GraphProto) -> None:
    """Remove what the exporter notes down of the code that it traced, paths of this machine."""
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.input, *graph.output, *graph.value_info):
        del value.metadata_props[:]
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
