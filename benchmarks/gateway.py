"""What the gateway adds to a call, beside nginx `grpc_pass`: `make bench-gateway`.

An echo takes 100 KB and answers 1 KB: called directly, through the gateway, and through nginx.
All three take turns in the same run, so that a busy neighbour slows them alike; read the ratios.
The gateway runs as it is shipped, with its metrics; nginx has one worker and no log.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from common.rpc.server import Server, message_limits, wait_for_stop
from common.settings import MIB, ServerSettings, load
from nocode.vision.v1 import prediction_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD = "/nocode.vision.v1.PredictionService/Predict"
REQUEST = pb.PredictRequest(
    name="tasks/classification/models/m", images=[pb.Image(content=os.urandom(100_000))]
).SerializeToString()
RESPONSE = os.urandom(1_000)

# Many short rounds: a neighbour that is busy for a second slows all ways of a round alike.
ROUNDS = 20
CALLS_A_ROUND = 100
CLIENTS = 8
SECONDS_A_ROUND = 0.6
NGINX_FOLDER = Path("build/nginx")


async def echo() -> None:
    """Serve `Predict` as fast as grpc.aio can, until told to stop."""

    async def predict(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return RESPONSE

    server = Server(load(ServerSettings))
    service, method = METHOD.strip("/").split("/")
    server.grpc.add_registered_method_handlers(
        service, {method: grpc.unary_unary_rpc_method_handler(predict)}
    )
    await server.start()
    server.health.set("", serving=True)
    await wait_for_stop()
    await server.drain()


@contextmanager
def process(arguments: list[str], folder: Path, name: str, **environment: str) -> Iterator[int]:
    """Run one of our servers, and give its port."""
    ready = folder / f"{name}.json"
    settings = {"NOCODE_READY_FILE": str(ready), "NOCODE_DRAIN_S": "0", **environment}
    with (folder / f"{name}.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, *arguments], env=os.environ | settings, stderr=log
        )
        try:
            wait_until(ready.exists, child, name)
            yield json.loads(ready.read_text())["port"]
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(10)


def wait_until(is_so: Any, child: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a child is ready."""
    deadline = time.monotonic() + 30
    while not is_so():
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{name} did not start.")
        time.sleep(0.02)


def find_nginx() -> Path | None:
    """Return an nginx: the installed one, else Debian's, unpacked into build/; None without."""
    if installed := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Path(installed)
    unpacked = NGINX_FOLDER / "usr/sbin/nginx"
    if not unpacked.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        NGINX_FOLDER.mkdir(parents=True, exist_ok=True)
        download = ["apt-get", "download", "nginx"]
        subprocess.run(download, cwd=NGINX_FOLDER, check=False, capture_output=True)
        for package in NGINX_FOLDER.glob("nginx_*.deb"):
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=NGINX_FOLDER, check=False)
    return unpacked.resolve() if unpacked.exists() else None


@contextmanager
def nginx(binary: Path, folder: Path, backend_port: int) -> Iterator[int]:
    """Run nginx with one worker, as the gateway has one process, and give its port."""
    port = free_port()
    home = folder / "nginx"
    home.mkdir()
    configuration = home / "nginx.conf"
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(
        f"""
        worker_processes 1; daemon off; pid {home}/pid; error_log {home}/error.log;
        events {{ worker_connections 256; }}
        http {{
          access_log off; {temporary}
          client_max_body_size 64m; client_body_buffer_size 1m; keepalive_requests 1000000;
          upstream backend {{
            server 127.0.0.1:{backend_port}; keepalive 16; keepalive_requests 1000000;
          }}
          server {{
            listen 127.0.0.1:{port} http2;
            location / {{ grpc_pass grpc://backend; }}
          }}
        }}
        """
    )
    child = subprocess.Popen([binary, "-p", home, "-c", configuration, "-e", home / "error.log"])
    try:
        wait_until((home / "pid").exists, child, "nginx")
        yield port
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(10)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def latencies_ms(call: Any, count: int) -> list[float]:
    """Call again and again, one call at a time."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await call(REQUEST)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def throughput(call: Any, seconds: float) -> float:
    """Call from several clients at the same time, and return calls a second."""
    began = time.perf_counter()

    async def client() -> int:
        count = 0
        while time.perf_counter() - began < seconds:
            await call(REQUEST)
            count += 1
        return count

    counts = await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return sum(counts) / (time.perf_counter() - began)


async def measure(ports: dict[str, int]) -> None:
    """Measure all ways by turns, and print them."""
    channels = {
        way: grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=message_limits(64 * MIB))
        for way, port in ports.items()
    }
    calls: dict[str, Any] = {way: channel.unary_unary(METHOD) for way, channel in channels.items()}
    p50s: dict[str, list[float]] = {way: [] for way in ports}
    rates: dict[str, list[float]] = {way: [] for way in ports}
    for call in calls.values():
        await latencies_ms(call, CALLS_A_ROUND)  # warm
    for _ in range(ROUNDS):
        for way, call in calls.items():
            p50s[way].append(statistics.median(await latencies_ms(call, CALLS_A_ROUND)))
        for way, call in calls.items():
            rates[way].append(await throughput(call, SECONDS_A_ROUND))
    for channel in channels.values():
        await channel.close()
    report(p50s, rates)


def report(p50s: dict[str, list[float]], rates: dict[str, list[float]]) -> None:
    """Print the table: medians over the rounds; what is added is compared within each round."""
    p50 = {way: statistics.median(values) for way, values in p50s.items()}
    rate = {way: statistics.median(values) for way, values in rates.items()}
    added = {
        way: statistics.median(
            ms - direct for ms, direct in zip(values, p50s["direct"], strict=True)
        )
        for way, values in p50s.items()
    }
    print(f"\n100 KB up, 1 KB down; medians of {ROUNDS} rounds, the ways taking turns\n")
    print("           p50 at 1   added   added     calls/s at 8   calls/s")
    print("                 ms      ms   ÷ nginx                  ÷ direct")
    for way, ms in p50.items():
        is_known = way != "direct" and "nginx" in added
        ratio = f"{added[way] / added['nginx']:.1f}" if is_known else "-"
        print(
            f"{way:<10} {ms:8.2f}  {added[way]:6.2f}   {ratio:>7}"
            f"   {rate[way]:12.0f}   {rate[way] / rate['direct']:10.2f}"
        )


def main() -> None:
    """Start everything, measure, stop everything."""
    if sys.argv[1:] == ["echo"]:
        asyncio.run(echo())
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = stack.enter_context(process(["-m", "benchmarks.gateway", "echo"], folder, "echo"))
        gateway = stack.enter_context(
            process(
                ["-m", "gateway"],
                folder,
                "gateway",
                NOCODE_BACKENDS=json.dumps({"classification": f"127.0.0.1:{backend}"}),
            )
        )
        ports = {"direct": backend, "gateway": gateway}
        if binary := find_nginx():
            ports["nginx"] = stack.enter_context(nginx(binary, folder, backend))
        else:
            print("nginx is not installed and cannot be downloaded: no ratio to it.")
        asyncio.run(measure(ports))


if __name__ == "__main__":
    main()
