"""The contract as data: its services, methods and call shapes, read from the descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING

# Not used here; with it in the pool, a client can print the details of our errors by reflection.
from google.rpc import error_details_pb2  # noqa: F401

from nocode.vision.v1 import dataset_pb2, job_pb2, model_pb2, pipeline_pb2, prediction_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for module in (dataset_pb2, pipeline_pb2, model_pb2, job_pb2, prediction_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.methods
}
"""By path, e.g. `/nocode.vision.v1.JobService/GetJob`."""


def shape(method: MethodDescriptor) -> str:
    """Return the method's call shape as the metrics name it, e.g. `server_stream`."""
    return {
        (False, False): "unary",
        (True, False): "client_stream",
        (False, True): "server_stream",
        (True, True): "bidi_stream",
    }[method.client_streaming, method.server_streaming]
