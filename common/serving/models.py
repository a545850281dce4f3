"""From the bucket to a network in memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors

from common.errors import Internal, NotFound
from common.reasons import Reason
from common.storage import resources
from common.storage.bucket import KeyMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from common.architectures import Registry
    from common.storage.bucket import Bucket
    from nocode.vision.v1.model_pb2 import Model

WEIGHTS = "model.safetensors"


def read_model(bucket: Bucket, name: str) -> Model:
    """Read what is known of a model.

    Raises:
        NotFound: There is none of this name.
    """
    return resources.models(bucket).get(name)


def check_exists(bucket: Bucket, name: str) -> None:
    """Return if there is a model of this name.

    Raises:
        NotFound: There is none.
    """
    if not resources.models(bucket).exists(name):
        raise _not_found(name)


def load_model(bucket: Bucket, name: str, registry: Registry) -> tuple[nn.Module, Model]:
    """Read a model and its network; see `load_network`."""
    model = read_model(bucket, name)
    return load_network(bucket, model, registry), model


def load_network(bucket: Bucket, model: Model, registry: Registry) -> nn.Module:
    """Read the network of a model: on the CPU, in float32, in evaluation mode.

    The weights are safetensors, so nothing in them is ever run, and are checked by their hash.
    Needs twice the size of the weights for as long as it runs.

    Raises:
        NotFound: The model has just been deleted.
        Internal: Its weights are not those that the training wrote.
    """
    name = model.name
    try:
        data = bucket.get(f"{name}/{WEIGHTS}")
    except KeyMissing:
        raise _not_found(name) from None
    if hashlib.sha256(data).hexdigest() != model.weights_sha256:
        raise _damaged(name, "their hash is not the one that the training noted down")
    architecture = registry.get(model.architecture)
    try:
        network = _build(architecture.build, len(model.classes), parse_safetensors(data))
    except (SafetensorError, RuntimeError) as error:
        raise _damaged(name, f"they do not fit {architecture.name}: {error}") from error
    return network.eval().requires_grad_(False)


def _build(
    build: Callable[[int], nn.Module], class_count: int, state: dict[str, Tensor]
) -> nn.Module:
    """Build a network with these weights, without drawing random ones first."""
    with torch.device("meta"):
        network = build(class_count)
    network.load_state_dict(state, strict=True, assign=True)
    tensors = (*network.parameters(), *network.buffers())
    if any(tensor.is_meta for tensor in tensors):
        # A buffer that is not among the weights: only the builder knows what is in it.
        network = build(class_count)
        network.load_state_dict(state, strict=True)
    return network


def _not_found(name: str) -> NotFound:
    return NotFound(
        Reason.RESOURCE_NOT_FOUND,
        f"{name} does not exist. ListModels shows what there is.",
        field="name",
        name=name,
    )


def _damaged(name: str, why: str) -> Internal:
    return Internal(
        Reason.MODEL_DAMAGED,
        f"The weights of {name} cannot be used: {why}. Train the pipeline again.",
        name=name,
    )
