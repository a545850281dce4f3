"""A server that answers what the hub's client asks for to fetch a data set."""

import json
import threading
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """What the server has, and what it was asked for.

    Attributes:
        repositories: Contents by paths, by id and revision.
        gated: Ids that nobody may have.
        broken: Whether it answers nothing but errors.
        fetched: Paths of files that were sent.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.broken = False
        self.fetched: list[str] = []
        self.endpoint = ""


def _answer(hub: Hub):
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            if hub.broken:
                return self.send(503, b"busy")
            if path.startswith("/api/datasets/"):
                name, _, revision = path.removeprefix("/api/datasets/").partition("/revision/")
                files = self.files(name, revision or "main")
                if files is None:
                    return None
                listed = [{"rfilename": p, "size": len(c)} for p, c in files.items()]
                return self.send(200, json.dumps({"id": name, "siblings": listed}).encode())
            name, _, rest = path.removeprefix("/datasets/").partition("/resolve/")
            known = hub.repositories.get(name, {})
            revision = next((one for one in known if rest.startswith(f"{one}/")), "")
            files = self.files(name, revision)
            if files is None:
                return None
            file = rest.removeprefix(f"{revision}/")
            if file not in files:
                return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            if body:
                hub.fetched.append(file)
            headers = {"ETag": f'"{sha1(files[file]).hexdigest()}"', "X-Repo-Commit": "0" * 40}
            return self.send(200, files[file], headers, body=body)

        def files(self, name: str, revision: str) -> dict[str, bytes] | None:
            if name in hub.gated:
                self.send(403, b"", {"X-Error-Code": "GatedRepo"})
            elif name not in hub.repositories:
                self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif revision not in hub.repositories[name]:
                self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                return hub.repositories[name][revision]
            return None

        def send(self, status: int, content: bytes, headers=None, *, body: bool = True) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Answer


@contextmanager
def serving():
    """Serve a `Hub` on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answer(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
