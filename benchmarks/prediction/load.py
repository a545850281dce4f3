"""Clients in a process of their own. They send bytes and look at no answer, so they cost little.

`python -m benchmarks.prediction.load REQUEST_FILE` reads one command a line as JSON from standard
input, and writes what it measured as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import grpc

METHOD = "/nocode.vision.v1.PredictionService/Predict"

Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


async def closed(call: Call, request: bytes, clients: int, seconds: float) -> dict[str, float]:
    """Let each client call again as soon as it is answered."""
    times_s: list[float] = []
    began = time.perf_counter()

    async def client() -> None:
        while (sent := time.perf_counter()) < began + seconds:
            await call(request)
            times_s.append(time.perf_counter() - sent)

    await asyncio.gather(*(client() for _ in range(clients)))
    rate = len(times_s) / (time.perf_counter() - began)
    return {"rate": rate, "p50_ms": statistics.median(times_s) * 1000}


async def overload(
    call: Call, request: bytes, rate: float, seconds: float, deadline_s: float
) -> dict[str, float]:
    """Call at a rate whatever the answers, then see how soon the service is itself again.

    The first second, in which the queue fills, is not counted.
    """
    answered: list[float] = []
    refused = 0
    intervals = random.Random(0)
    began = time.perf_counter()

    async def one() -> None:
        nonlocal refused
        try:
            await call(request, timeout=deadline_s)
            answered.append(time.perf_counter() - began)
        except grpc.aio.AioRpcError as error:
            refused += error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    calls = []
    due = began
    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        calls.append(asyncio.create_task(one()))
        due += intervals.expovariate(rate)
    ended = time.perf_counter()
    fresh_ms = await _recover(call, request, deadline_s)
    recovered_s = time.perf_counter() - ended
    await asyncio.gather(*calls)
    good = sum(1 <= when <= ended - began for when in answered)
    return {
        "goodput": good / (ended - began - 1),
        "offered": len(calls) / (ended - began),
        "refused": refused / len(calls),
        "recovered_s": recovered_s,
        "fresh_ms": fresh_ms,
    }


async def _recover(call: Call, request: bytes, deadline_s: float) -> float:
    """Call until an answer comes, and return what it took."""
    while True:
        sent = time.perf_counter()
        try:
            await call(request, timeout=deadline_s)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.02)
        else:
            return (time.perf_counter() - sent) * 1000


async def main(request: bytes) -> None:
    """Do what standard input says, until it ends."""
    channels: dict[str, grpc.aio.Channel] = {}
    measures: dict[str, Any] = {"closed": closed, "overload": overload}
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        address = command.pop("address")
        if address not in channels:
            channels[address] = grpc.aio.insecure_channel(address)
        measure = measures[command.pop("do")]
        measured = await measure(channels[address].unary_unary(METHOD), request, **command)
        print(json.dumps(measured), flush=True)
    for channel in channels.values():
        await channel.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes()))
