"""Real gRPC servers inside the test's process, for what the real system does only by chance."""

from concurrent import futures

import grpc
import pytest

from nocode.vision.v1 import dataset_pb2_grpc, job_pb2_grpc, prediction_pb2_grpc

ADD = {
    dataset_pb2_grpc.DatasetServiceServicer: (
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server
    ),
    job_pb2_grpc.JobServiceServicer: job_pb2_grpc.add_JobServiceServicer_to_server,
    prediction_pb2_grpc.PredictionServiceServicer: (
        prediction_pb2_grpc.add_PredictionServiceServicer_to_server
    ),
}


@pytest.fixture
def serve():
    """Serves a servicer until the test ends; returns the address."""
    servers = []

    def start(servicer):
        server = grpc.server(
            futures.ThreadPoolExecutor(4),
            options=[
                ("grpc.max_receive_message_length", 64 * 1024**2),
                # As the project's servers have it, which are pinged by their clients.
                ("grpc.http2.min_ping_interval_without_data_ms", 500),
            ],
        )
        for kind, add in ADD.items():
            if isinstance(servicer, kind):
                add(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()
