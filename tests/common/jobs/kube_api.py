"""A Kubernetes API over real HTTP, with as much of Jobs and pods as a launcher meets.

Objects, label selectors, resource versions, conflicts, deletion by finalizer, watches with
bookmarks, and versions too old to watch from. And what goes wrong: answers that say no, connections
cut before a request is done or after, an API that is away. `kube_nodes` runs what is created here.
"""

from __future__ import annotations

import copy
import json
import re
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

NAMESPACE = "vision"
TOKEN = "a-service-accounts-token"
_PATH = re.compile(
    r"/(?:apis/batch/v1|api/v1)/namespaces/(?P<namespace>[^/]+)/(?P<kind>jobs|pods)"
    r"(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_BOOKMARK_S = 0.3

Object = dict[str, Any]


@dataclass
class Fault:
    """What befalls the next requests of a kind.

    Attributes:
        method: Of the request.
        what: `cut-before` it is done, `cut-after` it was done, `hang-before` or `hang-after` until
            `go_on` is set, or the status to answer.
        message: Of that status.
        times: How many requests.
    """

    method: str
    what: str | int
    message: str = ""
    times: int = 1
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@dataclass
class KubeApi:
    """An API server on 127.0.0.1, from `start` to `close`.

    Attributes:
        objects: Everything there is, by kind and name. Change it through `put` and `remove`.
        created: Names of all Jobs ever created.
        requests: Method and path of all requests, but those that were refused a connection.
        logs: What the containers have printed, by pod.
        lock: Held while anything is changed; notified then.
    """

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Condition = field(default_factory=threading.Condition)
    _faults: list[Fault] = field(default_factory=list)
    _events: list[tuple[int, str, str, Object]] = field(default_factory=list)
    _version: int = 100
    _oldest: int = 100
    _watches: int = 0
    _port: int = 0
    _server: ThreadingHTTPServer | None = None
    _sockets: set[socket.socket] = field(default_factory=set)

    def start(self) -> None:
        """Listen, at the same port as before, if there was one."""
        api = self

        class Handler(_Handler):
            def setup(self) -> None:
                self.api = api
                api._sockets.add(self.request)
                super().setup()

            def finish(self) -> None:
                api._sockets.discard(self.request)
                with suppress(OSError):
                    super().finish()

        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="kube-api", daemon=True
        ).start()

    def close(self) -> None:
        """Be away: refuse connections, and cut those that there are."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._cut(list(self._sockets))

    def kubeconfig(self) -> str:
        """Return what a client needs to know."""
        return yaml.safe_dump(
            {
                "clusters": [
                    {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}
                ],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "contexts": [
                    {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}
                ],
                "current-context": "x",
            }
        )

    # What goes wrong.

    def fail(self, method: str, what: str | int, message: str = "", times: int = 1) -> Fault:
        """See `Fault`."""
        fault = Fault(method, what, message, times)
        with self.lock:
            self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """Let nothing befall requests any more."""
        with self.lock:
            self._faults.clear()

    def cut_watches(self) -> None:
        """End all watches in the middle."""
        with self.lock:
            self._watches += 1
            self.lock.notify_all()

    def compact(self) -> None:
        """Forget all changes so far: an older version is too old to watch from."""
        with self.lock:
            self._version += 1
            self._oldest = self._version
            self._events.clear()

    # What controllers do.

    def jobs(self) -> list[Object]:
        with self.lock:
            return [copy.deepcopy(o) for (kind, _), o in self.objects.items() if kind == "jobs"]

    def pods(self, job: str | None = None) -> list[Object]:
        with self.lock:
            return [
                copy.deepcopy(pod)
                for (kind, _), pod in self.objects.items()
                if kind == "pods"
                and (not job or pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == job)
            ]

    def put(self, kind: str, thing: Object) -> None:
        """Create an object or replace it, if it has changed."""
        with self.lock:
            key = (kind, thing["metadata"]["name"])
            before = self.objects.get(key)
            if before == thing:
                return
            thing = copy.deepcopy(thing)
            self._version += 1
            thing["metadata"]["resourceVersion"] = str(self._version)
            self.objects[key] = thing
            self._events.append((self._version, kind, "MODIFIED" if before else "ADDED", thing))
            self.lock.notify_all()

    def remove(self, kind: str, name: str) -> None:
        """Delete an object for good."""
        with self.lock:
            if thing := self.objects.pop((kind, name), None):
                self._version += 1
                thing = copy.deepcopy(thing)
                thing["metadata"]["resourceVersion"] = str(self._version)
                self._events.append((self._version, kind, "DELETED", thing))
                self.lock.notify_all()

    def _cut(self, sockets: list[socket.socket]) -> None:
        for connection in sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def take_fault(self, method: str) -> Fault | None:
        with self.lock:
            for fault in self._faults:
                if fault.method == method:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                    fault.reached.set()
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: KubeApi

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = "WATCH" if query.get("watch") == "True" or query.get("watch") == "true" else method
        self.api.requests.append(f"{name} {url.path}")
        fault = self.api.take_fault(name)
        if fault and fault.what == "hang-before":
            fault.go_on.wait()
        if fault and fault.what == "cut-before":
            return self._cut()
        try:
            if isinstance(fault, Fault) and isinstance(fault.what, int):
                raise _Refused(fault.what, fault.message)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise _Refused(401, "Unauthorized")
            found = _PATH.fullmatch(url.path)
            if not found or found["namespace"] != NAMESPACE:
                raise _Refused(404, f"the server could not find {url.path}")
            if name == "WATCH":
                return self._watch(found["kind"], query)
            if found["log"]:
                return self._answer(200, self._log(found["name"], query))
            do = {"GET": self._get, "POST": self._create, "DELETE": self._delete}[method]
            answer = json.dumps(do(found["kind"], found["name"], query, body)).encode()
        except _Refused as refused:
            status = {"kind": "Status", "code": refused.code, "message": refused.message}
            return self._answer(refused.code, json.dumps(status).encode())
        if fault and fault.what == "hang-after":
            fault.go_on.wait()
        if fault and fault.what == "cut-after":
            return self._cut()
        return self._answer(201 if method == "POST" else 200, answer)

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        self.api._cut([self.connection])

    def _get(self, kind: str, name: str | None, query: dict[str, str], _: bytes) -> Object:
        with self.api.lock:
            if name:
                if (kind, name) not in self.api.objects:
                    raise _Refused(404, f'{kind} "{name}" not found')
                return self.api.objects[kind, name]
            items = [
                thing
                for (its, _), thing in self.api.objects.items()
                if its == kind and _selects(query.get("labelSelector", ""), thing)
            ]
            return {
                "kind": f"{kind.title()[:-1]}List",
                "metadata": {"resourceVersion": str(self.api._version)},
                "items": items,
            }

    def _create(self, kind: str, _: str | None, __: dict[str, str], body: bytes) -> Object:
        thing = json.loads(body)
        meta = thing["metadata"]
        pod = thing["spec"]["template"]
        for text in [*meta["labels"].values(), *pod["metadata"]["labels"].values()]:
            if not _LABEL.fullmatch(text):
                raise _Refused(422, f"metadata.labels: Invalid value: {text!r}")
        if thing.get("apiVersion") != "batch/v1" or not _NAME.fullmatch(meta["name"]):
            raise _Refused(422, f"metadata.name: Invalid value: {meta['name']!r}")
        if pod["spec"].get("restartPolicy") != "Never":
            raise _Refused(422, "spec.template.spec.restartPolicy: Required value")
        with self.api.lock:
            if (kind, meta["name"]) in self.api.objects:
                raise _Refused(409, f'jobs.batch "{meta["name"]}" already exists')
            meta["uid"] = str(uuid.uuid4())
            thing["status"] = {}
            self.api.created.append(meta["name"])
            self.api.put(kind, thing)
            return self.api.objects[kind, meta["name"]]

    def _delete(self, kind: str, name: str | None, query: dict[str, str], _: bytes) -> Object:
        with self.api.lock:
            if not name or (kind, name) not in self.api.objects:
                raise _Refused(404, f'{kind} "{name}" not found')
            thing = copy.deepcopy(self.api.objects[kind, name])
            meta = thing["metadata"]
            meta.setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            meta["finalizers"] = [query.get("propagationPolicy", "")]
            if query.get("gracePeriodSeconds") == "0":
                meta["deletionGracePeriodSeconds"] = 0
            self.api.put(kind, thing)
            return thing

    def _log(self, name: str, query: dict[str, str]) -> bytes:
        if ("pods", name) not in self.api.objects:
            raise _Refused(404, f'pods "{name}" not found')
        lines = self.api.logs.get(name, b"").splitlines(keepends=True)
        return b"".join(lines[-int(query.get("tailLines", len(lines) or 1)) :])

    def _watch(self, kind: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        version = int(query["resourceVersion"])
        until = time.monotonic() + int(query.get("timeoutSeconds", 3600))
        began = self.api._watches
        while time.monotonic() < until:
            with self.api.lock:
                if began != self.api._watches:
                    return self._cut()
                if version < self.api._oldest:
                    gone = {
                        "kind": "Status",
                        "code": 410,
                        "reason": "Expired",
                        "message": "too old",
                    }
                    self._send("ERROR", gone)
                    break
                news = [event for event in self.api._events if event[0] > version]
                for version, its, what, thing in news:  # noqa: B007 - the last one counts
                    if its == kind and _selects(query.get("labelSelector", ""), thing):
                        self._send(what, thing)
                if not self.api.lock.wait(min(_BOOKMARK_S, max(until - time.monotonic(), 0))):
                    meta = {"resourceVersion": str(version)}
                    self._send("BOOKMARK", {"kind": kind.title()[:-1], "metadata": meta})
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _send(self, what: str, thing: Object) -> None:
        line = json.dumps({"type": what, "object": thing}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))


def _selects(selector: str, thing: Object) -> bool:
    """Whether an object has labels as `a=b,c in (d,e)` wants them."""
    labels = thing["metadata"].get("labels") or {}
    for part in re.split(r",(?![^(]*\))", selector):
        if found := re.fullmatch(r"(\S+) in \((.*)\)", part):
            if labels.get(found[1]) not in found[2].split(","):
                return False
        elif part and labels.get(part.partition("=")[0]) != part.partition("=")[2]:
            return False
    return True
