"""A service behind the gateway: a real server that implements the contract's servicers.

What it does is chosen by the last part of the name that it is sent, e.g. `slow` waits.
`python -m tests.gateway.remote PORT` runs it as a process, which can be killed.
"""

import asyncio
import sys

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from common.rpc.streams import until_end
from nocode.vision.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    pipeline_pb2,
    pipeline_pb2_grpc,
    prediction_pb2,
    prediction_pb2_grpc,
)

OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 64 * 1024**2),
    ("grpc.max_send_message_length", 64 * 1024**2),
]
FLOOD_BYTES = 100_000
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def refusal(code=grpc.StatusCode.FAILED_PRECONDITION) -> status_pb2.Status:
    """What the remote refuses with: a code, a text that is not ASCII, and details."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="BECAUSE", domain="nocode.vision"))
    return status_pb2.Status(code=code.value[0], message="Nein – größer ✓", details=[detail])


class Remote(
    dataset_pb2_grpc.DatasetServiceServicer,
    pipeline_pb2_grpc.PipelineServiceServicer,
    model_pb2_grpc.ModelServiceServicer,
    job_pb2_grpc.JobServiceServicer,
    prediction_pb2_grpc.PredictionServiceServicer,
):
    """A server of its own, with what it has seen."""

    def __init__(self):
        self.port = 0
        self.resources = []
        """What lists return: messages, in the backend's order."""
        self.largest_page = 1000
        self.calls = 0
        self.parent = ""
        """Of the last list."""
        self.metadata = {}
        self.time_remaining = None
        self.written = 0
        """Messages of a flood."""
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.released = asyncio.Event()
        self.uploads = []
        """Bytes of each upload that ended as it should."""

    async def start(self, port=0, credentials=None):
        """Listen, on the same port as before if it was started before."""
        self._server = grpc.aio.server(options=OPTIONS)
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(self, self._server)
        pipeline_pb2_grpc.add_PipelineServiceServicer_to_server(self, self._server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(self, self._server)
        job_pb2_grpc.add_JobServiceServicer_to_server(self, self._server)
        prediction_pb2_grpc.add_PredictionServiceServicer_to_server(self, self._server)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        address = f"127.0.0.1:{port or self.port}"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        await self._server.start()
        return self

    async def stop(self, grace=None):
        await self._server.stop(grace)

    def _see(self, context):
        self.calls += 1
        self.metadata = {}
        for key, value in context.invocation_metadata():
            self.metadata.setdefault(key, []).append(value)
        self.time_remaining = context.time_remaining()
        self.begun.set()

    async def _wait(self):
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def GetJob(self, request, context):
        self._see(context)
        match request.name.rpartition("/")[2]:
            case "slow":
                await self._wait()
            case "refused":
                status = rpc_status.to_status(refusal())
                trailers = (*status.trailing_metadata, ("x-trailing", "of a refusal"))
                await context.abort(status.code, status.details, trailers)
            case "unavailable":
                await context.abort_with_status(
                    rpc_status.to_status(refusal(grpc.StatusCode.UNAVAILABLE))
                )
            case "annotated":
                await context.send_initial_metadata((("x-initial", "a"), ("x-initial", "b")))
                context.set_trailing_metadata((("x-trailing", "c"), ("x-trailing-bin", b"\0\xff")))
        return job_pb2.Job(name=request.name)

    async def WatchJob(self, request, context):
        self._see(context)
        kind = request.name.rpartition("/")[2]
        if kind == "silent":
            await context.send_initial_metadata((("x-initial", "early"),))
            await self._wait()
        if kind == "refused":
            await context.abort_with_status(rpc_status.to_status(refusal()))
        while kind == "flood":
            yield job_pb2.Job(waiting_reason="x" * FLOOD_BYTES)
            self.written += 1
        for attempt in range(1, 4):
            yield job_pb2.Job(name=request.name, attempt=attempt)
        if kind == "endless":
            await self._wait()
        if kind == "breaks":
            await context.abort_with_status(rpc_status.to_status(refusal()))
        context.set_trailing_metadata((("x-trailing", "of a stream"),))

    async def UploadArchive(self, request_iterator, context):
        self._see(context)
        size = 0
        try:
            async for request in until_end(request_iterator):
                size += len(request.chunk)
                if request.sha256 == "refused":
                    await context.abort_with_status(rpc_status.to_status(refusal()))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.uploads.append(size)
        return dataset_pb2.UploadArchiveResponse(size_bytes=size)

    async def StreamPredict(self, request_iterator, context):
        self._see(context)
        try:
            async for request in until_end(request_iterator):
                if request.id == "refused":
                    await context.abort_with_status(rpc_status.to_status(refusal()))
                yield prediction_pb2.StreamPredictResponse(id=request.id)
                if request.id == "last":
                    return
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Predict(self, request, context):
        self._see(context)
        return prediction_pb2.PredictResponse(
            model=request.name,
            predictions=[prediction_pb2.Prediction(overlay_png=request.images[0].content)]
            * (2 if request.name.endswith("doubled") else 1),
        )

    async def ListJobs(self, request, context):
        return self._page(request, context, job_pb2.ListJobsResponse)

    async def ListModels(self, request, context):
        return self._page(request, context, model_pb2.ListModelsResponse)

    async def ListArchitectures(self, request, context):
        return self._page(request, context, pipeline_pb2.ListArchitecturesResponse)

    def _page(self, request, context, response_type):
        """A token is the name of the last item of the page before, as with keys of a bucket."""
        self._see(context)
        self.parent = request.parent
        rest = self.resources
        if request.page_token:
            order = [_key(resource) for resource in rest]
            rest = [r for r, key in zip(rest, order, strict=True) if key > request.page_token]
        page = rest[: min(request.page_size, self.largest_page)]
        token = _key(page[-1]) if len(page) < len(rest) else ""
        response = response_type(next_page_token=token)
        getattr(response, response_type.DESCRIPTOR.fields_by_number[1].name).extend(page)
        return response


def _key(resource) -> str:
    """The place of a resource in its list, as text that sorts: newest first, then by name."""
    made = resource.create_time.ToNanoseconds() if hasattr(resource, "create_time") else 0
    return f"{2**63 - made:020d}/{resource.name}"


async def _main(port):
    remote = await Remote().start(port)
    print("listening", flush=True)  # noqa: T201 - whoever started it waits for this
    await remote._server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
