"""A bare grpc.aio server: takes the bytes of `Predict` and answers bytes, always the same.

`python -m benchmarks.prediction.echo READY_FILE` is what no Python service can be faster than.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import grpc

from benchmarks.prediction.load import METHOD

RESPONSE = bytes(100)


async def serve(ready_file: Path) -> None:
    """Serve until killed."""

    async def predict(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return RESPONSE

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service, method = METHOD.strip("/").split("/")
    server.add_registered_method_handlers(
        service, {method: grpc.unary_unary_rpc_method_handler(predict)}
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asyncio.to_thread(ready_file.write_text, json.dumps({"port": port}))
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
