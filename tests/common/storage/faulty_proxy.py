"""A proxy between a client and a real S3 server that does harm when it is told to."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from common.settings import StorageSettings

_SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class FaultyProxy:
    """Passes requests on; each fault in `faults` is done to one request, in order."""

    def __init__(self, settings: StorageSettings) -> None:
        self.faults: deque[Callable[[_Handler], None]] = deque()
        self.request_count = 0
        self.target = urlsplit(settings.s3_endpoint).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self
        self.settings = settings.model_copy(
            update={"s3_endpoint": f"http://127.0.0.1:{self._server.server_port}"}
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def do_no_harm(request: _Handler) -> None:
    """Pass the request on."""
    request.answer(*request.forward())


def lose_answer(request: _Handler) -> None:
    """Do what was asked, and break the connection instead of saying so."""
    request.forward()
    request.close_connection = True


def lose_request(request: _Handler) -> None:
    """Break the connection before anything is done."""
    request.close_connection = True


def slow_down(request: _Handler) -> None:
    """Answer as S3 does when it is asked for too much."""
    request.answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)


def cut_answer(request: _Handler) -> None:
    """Send half of the content and break the connection."""
    status, headers, body = request.forward()
    request.answer(status, headers, body, send=len(body) // 2)
    request.close_connection = True


def ignore_condition(request: _Handler) -> None:
    """Answer as a server does that does not look at conditions."""
    status, headers, body = request.forward()
    if status == 412:
        status, headers, body = 200, [("ETag", '"0123456789abcdef"')], b""
    request.answer(status, headers, body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        proxy = self.server.proxy
        proxy.request_count += 1
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        fault = proxy.faults.popleft() if proxy.faults else do_no_harm
        fault(self)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _handle

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Have the real server do it."""
        connection = http.client.HTTPConnection(self.server.proxy.target, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(self.body)
        response = connection.getresponse()
        body = response.read()
        headers = [(n, v) for n, v in response.getheaders() if n.lower() != "transfer-encoding"]
        connection.close()
        return response.status, headers, body

    def answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, send: int | None = None
    ) -> None:
        """Answer the client, with all of the body or the first `send` bytes."""
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD" and status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:send])

    def log_message(self, *_: object) -> None:
        """Say nothing."""
