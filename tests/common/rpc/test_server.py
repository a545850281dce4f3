"""The server that every process runs, as a client, a probe and a supervisor see it."""

import asyncio
import json
import signal
import sys
import urllib.request

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common.rpc.health import NOT_SERVING, SERVING
from common.rpc.server import Server
from common.settings import MIB, ServerSettings

PROCESS = """
import asyncio
from common.rpc.server import Server, wait_for_stop
from common.settings import ServerSettings, load

async def main():
    server = Server(load(ServerSettings))
    await server.start()
    server.health.set("", serving=True)
    await wait_for_stop()
    await server.drain()

asyncio.run(main())
"""


class Slow(grpc.GenericRpcHandler):
    """Answers `/test/Slow` when told to, and `/test/Echo` at once."""

    def __init__(self):
        self.called = asyncio.Event()
        self.answer = asyncio.Event()

    def service(self, handler_call_details):
        if handler_call_details.method == "/test/Slow":
            return grpc.unary_unary_rpc_method_handler(self.slow)
        if handler_call_details.method == "/test/Echo":
            return grpc.unary_unary_rpc_method_handler(self.echo)
        return None

    async def slow(self, request, context):
        self.called.set()
        await self.answer.wait()
        return request

    async def echo(self, request, context):
        return request


@pytest.fixture
async def started():
    """Start servers with the given settings; all are closed at the end."""
    servers = []

    async def start(handler=None, **settings):
        server = Server(ServerSettings(**{"drain_s": 0.0, **settings}))
        if handler:
            server.grpc.add_generic_rpc_handlers((handler,))
        await server.start()
        servers.append(server)
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{server.port}",
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ],
        )
        return server, channel

    yield start
    for server in servers:
        await server.drain()


async def test_health_says_not_serving_until_told_otherwise(started):
    server, channel = await started()
    stub = health_pb2_grpc.HealthStub(channel)

    before = await stub.Check(health_pb2.HealthCheckRequest())
    server.health.set("", serving=True)
    after = await stub.Check(health_pb2.HealthCheckRequest())

    assert (before.status, after.status) == (NOT_SERVING, SERVING)


async def test_health_of_an_unknown_service_is_not_found(started):
    _, channel = await started()

    for name in ("nobody", "nobody" * 20_000):  # the answer must fit into metadata
        with pytest.raises(grpc.aio.AioRpcError, match="nobody") as raised:
            await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=name)
            )

        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_sees_changes_and_ends_at_a_drain(started):
    """An open watch does not make a stop take the whole grace period."""
    server, channel = await started(drain_s=30)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())

    seen = [(await watch.read()).status]
    server.health.set("", serving=True)
    seen.append((await watch.read()).status)
    async with asyncio.timeout(10):
        drained = asyncio.create_task(server.drain())
        seen.append((await watch.read()).status)
        rest = [status async for status in _rest(watch)]
        await drained

    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]
    assert rest == []


async def test_a_watch_whose_reader_is_slow_sees_a_drain(started):
    """What changes while an answer is being sent is sent next."""
    server, _ = await started()
    watch = server.health.Watch(health_pb2.HealthCheckRequest(), None)

    seen = [(await anext(watch)).status]
    server.health.set("", serving=True)
    seen.append((await anext(watch)).status)
    server.health.drain()
    seen += [answer.status async for answer in watch]

    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def _rest(call):
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message


async def test_nothing_is_serving_again_once_a_drain_began(started):
    server, _ = await started()
    server.health.set("", serving=True)

    server.health.drain()
    server.health.set("", serving=True)
    check = await server.health.Check(health_pb2.HealthCheckRequest(), None)

    assert check.status == NOT_SERVING


async def test_reflection_serves_the_whole_contract(started):
    _, channel = await started()
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="nocode.vision.v1.PredictRequest"
        ),
        # what error details are made of
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="google.rpc.ErrorInfo"),
    ]

    answers = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]

    assert {s.name for s in answers[0].list_services_response.service} == {
        *(f"nocode.vision.v1.{name}Service" for name in ("Dataset", "Pipeline", "Model", "Job")),
        "nocode.vision.v1.PredictionService",
        "grpc.health.v1.Health",
        "grpc.channelz.v1.Channelz",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert all(len(a.file_descriptor_response.file_descriptor_proto) > 0 for a in answers[1:])


async def test_channelz_lists_the_server(started):
    _, channel = await started()

    servers = await channelz_pb2_grpc.ChannelzStub(channel).GetServers(
        channelz_pb2.GetServersRequest()
    )

    assert len(servers.server) > 0


async def test_metrics_are_shown_over_http(started):
    server, _ = await started()
    method = server.metrics.method("unary", "test", "Echo")
    method.end(method.start(), grpc.StatusCode.OK)

    address = f"http://127.0.0.1:{server.metrics_port}/metrics"
    with await asyncio.to_thread(urllib.request.urlopen, address) as page:
        text = page.read().decode()

    labels = 'grpc_method="Echo",grpc_service="test",grpc_type="unary"'
    assert f'grpc_server_handled_total{{grpc_code="OK",{labels}}} 1.0' in text
    assert "process_resident_memory_bytes" in text


async def test_the_message_limit_holds_both_ways(started):
    _, channel = await started(Slow(), max_message_bytes=8 * MIB)
    echo = channel.unary_unary("/test/Echo")

    answer = await echo(bytes(7 * MIB))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await echo(bytes(9 * MIB))

    assert len(answer) == 7 * MIB
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_drain_lets_calls_under_way_end_and_takes_no_new_ones(started):
    handler = Slow()
    server, channel = await started(handler, drain_s=30)
    under_way = channel.unary_unary("/test/Slow")(b"late")
    await handler.called.wait()

    drained = asyncio.create_task(server.drain())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as another, asyncio.timeout(9):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _call_until_refused(another)
    handler.answer.set()

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await under_way == b"late"
    async with asyncio.timeout(10):
        await drained


async def _call_until_refused(channel):
    while True:
        await channel.unary_unary("/test/Echo")(b"")


async def test_a_drain_ends_calls_that_outlast_the_grace(started):
    handler = Slow()
    server, channel = await started(handler, drain_s=0.2)
    under_way = channel.unary_unary("/test/Slow")(b"never")
    await handler.called.wait()

    async with asyncio.timeout(10):
        await server.drain()

    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await under_way


async def test_connections_age_so_that_new_replicas_are_found(started):
    """A call on an aged connection is not cut; the next one makes a new connection."""
    handler = Slow()
    _, channel = await started(handler, max_connection_age_s=0.5)
    under_way = channel.unary_unary("/test/Slow")(b"long")
    await handler.called.wait()

    async with asyncio.timeout(20):
        while channel.get_state() is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
    handler.answer.set()

    assert await under_way == b"long"
    assert await channel.unary_unary("/test/Echo")(b"again") == b"again"


async def test_a_client_that_pings_often_is_not_sent_away(started):
    """With the defaults, its connection ends with ENHANCE_YOUR_CALM after three pings."""
    handler = Slow()
    server, _ = await started(handler)
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{server.port}",
        options=[
            ("grpc.keepalive_time_ms", 1_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ],
    ) as channel:
        call = channel.unary_unary("/test/Slow")(b"still here")
        await handler.called.wait()
        done, _ = await asyncio.wait([asyncio.ensure_future(_result(call))], timeout=5.5)
        handler.answer.set()

        assert not done
        assert await call == b"still here"


async def _result(call):
    return await call


async def test_a_taken_port_is_one_clear_line(started):
    server, _ = await started()

    with pytest.raises(SystemExit, match="NOCODE_PORT") as grpc_port:
        await started(port=server.port)
    with pytest.raises(SystemExit, match="NOCODE_METRICS_PORT") as metrics_port:
        await started(metrics_port=server.metrics_port)

    for raised in (grpc_port, metrics_port):
        assert "\n" not in raised.value.code
        assert "the port is taken" in raised.value.code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_stops_cleanly_at_a_signal(tmp_path, monkeypatch, number):
    """The ready file is there while it listens; the exit status is 0."""
    ready = tmp_path / "ready.json"
    monkeypatch.setenv("NOCODE_READY_FILE", str(ready))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS)
    try:
        async with asyncio.timeout(30):
            while not ready.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
        ports = json.loads(ready.read_text())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['port']}") as channel:
            await channel.channel_ready()
            check = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=10
            )
        process.send_signal(number)
        status = await asyncio.wait_for(process.wait(), 20)
    finally:
        if process.returncode is None:
            process.kill()

    assert check.status == SERVING
    assert set(ports) == {"port", "metrics_port"}
    assert status == 0
    assert not ready.exists()


async def test_a_process_whose_port_is_taken_exits_with_status_1(started, monkeypatch):
    server, _ = await started()
    monkeypatch.setenv("NOCODE_PORT", str(server.port))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, stderr=asyncio.subprocess.PIPE
    )

    _, stderr = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 1
    assert b"NOCODE_PORT" in stderr.splitlines()[-1]
    assert b"Traceback" not in stderr
