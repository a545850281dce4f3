"""The API of a Kubernetes cluster, as far as workers need it: Jobs, their pods, and logs.

Nothing else imports the `kubernetes` package, which comes with the extra of that name.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import Watch

from common.jobs.launchers import LauncherMisconfigured
from common.jobs.launchers.manifests import OWNER, POD_OF

if TYPE_CHECKING:
    from collections.abc import Callable

    from common.jobs.launchers.manifests import Object

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TIMEOUT_S = (3.0, 10.0)
# How long nothing is asked after the API did not answer: whoever asks waits for it each time.
_PAUSE_S = 2.0
# A watch is asked for again after so long, which shows a connection that has died in silence.
_WATCH_S = 60
# Objects are taken as they are sent: the client's own classes refuse what newer clusters say.
_RAW = {"_preload_content": False}
# What is watched is listed again after so long, in case something was missed.
_RELIST_S = 600.0
_RETRY_S = 1.0
_RETRY_MAX_S = 15.0
# The API refused what was asked, and would again. 401 is not here: a token is renewed.
_FINAL = frozenset({400, 403, 404, 405, 413, 415, 422})

_log = logging.getLogger(__name__)


class Unreachable(Exception):
    """The API did not answer, or cannot do it now: nothing is known. The text says why."""


class Refused(Exception):
    """The API will not do it; the text says why."""


class Mirror:
    """The objects of a kind that have some labels, kept up to date by a thread.

    Args:
        kind: What they are, for the log.
        list_objects: The client's function that lists them, and watches.
        arguments: What it is to be called with.
    """

    def __init__(self, kind: str, list_objects: Callable[..., Any], arguments: Object) -> None:
        self._kind = kind
        self._list = list_objects
        self._arguments = arguments
        self._objects: dict[str, Object] | None = None
        self._lock = threading.Lock()
        self._version: str | None = None
        self._listed_at = 0.0
        self._closed = threading.Event()
        self._watch: Any = None
        self._thread = threading.Thread(target=self._run, name=f"mirror-{kind}", daemon=True)
        self._thread.start()

    def objects(self) -> dict[str, Object] | None:
        """Return the objects by name, as they were when the API was last heard of.

        None before the first time.
        """
        with self._lock:
            return None if self._objects is None else dict(self._objects)

    def put(self, found: Object) -> None:
        """Add what the API has just told elsewhere, unless it is known."""
        with self._lock:
            if self._objects is not None:
                self._objects.setdefault(found["metadata"]["name"], found)

    def close(self) -> None:
        """End the thread, within a second or two."""
        self._closed.set()
        if self._watch is not None:
            self._watch.stop()

    def _run(self) -> None:
        pause_s = _RETRY_S
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                if self._version is None or began - self._listed_at > _RELIST_S:
                    self._relist()
                self._follow()
            except Exception as error:  # noqa: BLE001 - whatever the client raises, it goes on
                if getattr(error, "status", None) == 410:  # gone
                    # The changes since then are not kept any more.
                    self._version = None
                elif not self._closed.is_set():
                    if time.monotonic() - began > _RETRY_MAX_S:
                        # It went well until now.
                        pause_s = _RETRY_S
                    if pause_s == _RETRY_S:
                        _log.warning("%s cannot be watched: %s", self._kind, _text(error))
                    self._closed.wait(pause_s)
                    pause_s = min(2 * pause_s, _RETRY_MAX_S)
                    continue
            else:
                pause_s = _RETRY_S
            # Also if every watch is ended, or found to be too old, at once.
            self._closed.wait(max(0.0, began + _RETRY_S - time.monotonic()))

    def _relist(self) -> None:
        answer = self._list(**self._arguments, _request_timeout=_TIMEOUT_S, **_RAW)
        found: Object = json.loads(answer.data)
        with self._lock:
            self._objects = {item["metadata"]["name"]: item for item in found["items"]}
        self._version = found["metadata"]["resourceVersion"]
        self._listed_at = time.monotonic()

    def _follow(self) -> None:
        """Follow what changes until the API ends the watch."""
        self._watch = cast("Any", Watch)(object)
        events = self._watch.stream(
            self._list,
            **self._arguments,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_S,
            _request_timeout=(_TIMEOUT_S[0], _WATCH_S + _TIMEOUT_S[1]),
        )
        for event in events:
            changed = event["object"]
            name = changed["metadata"].get("name")
            with self._lock:
                if self._objects is not None and event["type"] in {"ADDED", "MODIFIED"}:
                    self._objects[name] = changed
                elif self._objects is not None and event["type"] == "DELETED":
                    self._objects.pop(name, None)
            self._version = changed["metadata"]["resourceVersion"]
            if self._closed.is_set():
                return


class Cluster:
    """Jobs, and the pods that the cluster makes for them, in one namespace.

    Args:
        namespace: The namespace; that of the service account or of the kubeconfig, if empty.
        selector: Labels of the Jobs and pods to know of.

    Raises:
        LauncherMisconfigured: There is no cluster to be found, or no namespace.
    """

    def __init__(self, namespace: str, selector: str) -> None:
        api, default_namespace = _connect()
        self.namespace = namespace or default_namespace
        if not self.namespace:
            raise LauncherMisconfigured(
                "NOCODE_KUBERNETES_NAMESPACE is empty, and there is no service account or "
                "kubeconfig that names one. Set it to the namespace that workers run in."
            )
        self._api = api
        self._custom: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)
        self._batch = {
            "group": "batch",
            "version": "v1",
            "namespace": self.namespace,
            "plural": "jobs",
        }
        self._paused_until = 0.0
        self._trouble = ""
        arguments = {"namespace": self.namespace, "label_selector": selector}
        self.jobs = Mirror("Jobs", client.BatchV1Api(api).list_namespaced_job, arguments)
        self.pods = Mirror("pods", self._core.list_namespaced_pod, arguments)

    def create(self, manifest: Object) -> Object:
        """Create a Job, and return it; or the one of that name, if it has the same owner.

        Raises:
            Unreachable: It may have been created, or not.
            Refused: It cannot be.
        """
        try:
            made: Object = self._call(
                self._custom.create_namespaced_custom_object, **self._batch, body=manifest
            )
        except ApiException as error:
            if error.status != 409:  # conflict
                raise Refused(_text(error)) from error
        else:
            return made
        name = manifest["metadata"]["name"]
        found = self.get(name)
        if found is None:
            raise Unreachable(f"the Job {name} was deleted while it was created")
        if owner_of(found) != owner_of(manifest):
            raise Refused(f"there is a Job {name} of another owner, {owner_of(found)!r}")
        return found

    def get(self, name: str) -> Object | None:
        """Return a Job as it is now; None if there is none of that name.

        Raises:
            Unreachable: That is not known.
        """
        try:
            found: Object = self._call(
                self._custom.get_namespaced_custom_object, **self._batch, name=name
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise Unreachable(_text(error)) from error
        return found

    def pods_of(self, name: str) -> list[Object]:
        """Return the pods of a Job as they are now.

        Raises:
            Unreachable: That is not known.
        """
        try:
            answer = self._call(
                self._core.list_namespaced_pod,
                namespace=self.namespace,
                label_selector=f"{POD_OF}={name}",
                **_RAW,
            )
        except ApiException as error:
            raise Unreachable(_text(error)) from error
        found: list[Object] = json.loads(answer.data)["items"]
        return found

    def delete(self, name: str) -> None:
        """Delete a Job once its pods have ended, which are asked to.

        Raises:
            Unreachable: It may be deleted, or not.
        """
        self._delete(
            self._custom.delete_namespaced_custom_object,
            **self._batch,
            name=name,
            propagation_policy="Foreground",
        )

    def kill(self, pod: str) -> None:
        """Delete a pod without waiting for it to end.

        Raises:
            Unreachable: It may be deleted, or not.
        """
        self._delete(
            self._core.delete_namespaced_pod,
            name=pod,
            namespace=self.namespace,
            grace_period_seconds=0,
            **_RAW,
        )

    def log(self, pod: str, container: str, *, lines: int, max_bytes: int) -> str:
        """Return the last lines of a container's log; empty if it cannot be read."""
        try:
            answer = self._call(
                self._core.read_namespaced_pod_log,
                name=pod,
                namespace=self.namespace,
                container=container,
                tail_lines=lines,
                **_RAW,
            )
        except (ApiException, Unreachable) as error:
            _log.warning("the log of the pod %s cannot be read: %s", pod, _text(error))
            return ""
        text: str = answer.data.decode(errors="replace")
        return text[-max_bytes:]

    def close(self) -> None:
        """Watch no more."""
        self.jobs.close()
        self.pods.close()

    def _delete(self, call: Callable[..., Any], **arguments: Any) -> None:
        try:
            self._call(call, **arguments)
        except ApiException as error:
            if error.status != 404:
                _log.warning(
                    "the cluster refuses to delete %s: %s", arguments["name"], _text(error)
                )

    def _call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Ask the API.

        Raises:
            ApiException: It refuses for good.
            Unreachable: It does not answer, or not now.
        """
        if time.monotonic() < self._paused_until:
            raise Unreachable(self._trouble)
        try:
            return call(**arguments, _request_timeout=_TIMEOUT_S)
        except ApiException as error:
            if error.status == 409 or (error.status in _FINAL and not _is_quota(error)):
                raise
            self._give_up(error)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        self._paused_until = time.monotonic() + _PAUSE_S
        self._trouble = _text(error)
        raise Unreachable(self._trouble) from error


def owner_of(made: Object) -> str:
    """Return who a Job, or a manifest of one, was made for."""
    return str((made["metadata"].get("annotations") or {}).get(OWNER, ""))


def _connect() -> tuple[Any, str]:
    """Return a client of the cluster that this process is in, or of the kubeconfig's."""
    settings = client.Configuration()
    # What is worth a retry is known here; and each would make the dispatcher wait.
    settings.retries = cast("Any", False)
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            cast("Any", config.load_incluster_config)(client_configuration=settings)
            namespace = _SERVICE_ACCOUNT.read_text().strip()
        else:
            file = os.environ.get("KUBECONFIG")
            cast("Any", config.load_kube_config)(file, client_configuration=settings)
            contexts = cast("Any", config.list_kube_config_contexts)(file)
            namespace = contexts[1]["context"].get("namespace", "")
    except (config.ConfigException, OSError) as error:
        raise LauncherMisconfigured(
            f"NOCODE_LAUNCHER is kubernetes, but no cluster is found: {error}. Run the service in "
            "a pod with a service account whose token is mounted, or set KUBECONFIG."
        ) from error
    return client.ApiClient(settings), namespace


def _is_quota(error: ApiException) -> bool:
    """Whether only so many objects may be there, which passes."""
    return error.status == 403 and "exceeded quota" in _text(error)


def _text(error: Exception) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, ApiException):
        try:
            return str(json.loads(error.body or "")["message"])
        except (ValueError, KeyError, TypeError):
            return f"HTTP {error.status} {error.reason}"
    return str(error) or type(error).__name__
