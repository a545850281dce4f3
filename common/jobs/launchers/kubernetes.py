"""Workers as Kubernetes Jobs: one for each attempt, which goes on when the service ends.

What is launched is known by its name, which follows from the job and the attempt, so that nothing
needs to be kept here: another instance of the service sees the same Jobs. While the API is away
nothing is known, and nothing is decided.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from common import logs, names
from common.errors import Internal, InvalidInput
from common.jobs import logfiles
from common.jobs.launchers import Exit, Launcher, LauncherMisconfigured, LaunchFailed, pods
from common.jobs.launchers.cluster import Cluster, Refused, Unreachable, owner_of
from common.jobs.launchers.manifests import POD_OF, Template, TemplateInvalid, claim_of
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from common.jobs.launchers.manifests import Object
    from common.jobs.store import Claim
    from common.settings import ServiceSettings
    from nocode.vision.v1 import job_pb2 as pb

# How long a pod may fail to start for a reason that a person has to mend.
_MEND_S = 600.0
# How often to ask for a Job by name that is not among those watched: it may only be new.
_ASK_S = 1.0

_log = logging.getLogger(__name__)


@dataclass
class _Known:
    """What is known of a worker beyond what the cluster says now.

    Attributes:
        wanted: Its Job, while it is not known to have been created.
        trouble: Why it is not.
        pods: Its pods as last seen, which tell more than their absence.
        is_gone: Its Job was deleted.
        asked_at: When that was asked last.
        stuck_since: Since when it does not start for a reason that a person has to mend.
    """

    wanted: Object | None = None
    trouble: str = ""
    pods: list[Object] = field(default_factory=list)
    is_gone: bool = False
    asked_at: float = -1e9
    stuck_since: float | None = None


class KubernetesLauncher(Launcher):
    """Starts workers on a cluster, from a template of a Job.

    Args:
        settings: Of the service.
        tasks: Names of the tasks whose workers it starts.

    Raises:
        LauncherMisconfigured: The settings are wrong.
    """

    where = "the cluster"
    outlives_service = True

    def __init__(self, settings: ServiceSettings, tasks: Sequence[str]) -> None:
        if settings.kubernetes_job_template is None:
            raise LauncherMisconfigured(
                "NOCODE_LAUNCHER is kubernetes, but NOCODE_KUBERNETES_JOB_TEMPLATE is not set. Set "
                "it to the path of a file with a batch/v1 Job."
            )
        self._template = Template(
            settings.kubernetes_job_template, settings, nodes=settings.kubernetes_nodes
        )
        try:
            self._template.read()
        except TemplateInvalid as error:
            raise LauncherMisconfigured(f"NOCODE_KUBERNETES_JOB_TEMPLATE: {error}") from error
        self._cluster = Cluster(settings.kubernetes_namespace, self._template.selector(list(tasks)))
        self._known: dict[str, _Known] = {}

    def launch(self, job: pb.Job, devices: Sequence[str]) -> None:
        """See `Launcher`. Which GPUs a worker gets is for the cluster to say.

        If the API does not answer, this is tried again until it does, or until `stop`.
        """
        del devices
        try:
            wanted = self._template.manifest(job)
        except TemplateInvalid as error:
            raise LaunchFailed(str(error)) from error
        name = wanted["metadata"]["name"]
        self._known[name] = _Known(wanted)
        try:
            self._create(name)
        except Refused as error:
            del self._known[name]
            raise LaunchFailed(f"the cluster refuses its Job: {error}") from error

    def poll(self, job: pb.Job) -> Exit | None:
        """See `Launcher`."""
        name = self._template.name_of(job)
        known = self._known.setdefault(name, _Known())
        if known.wanted is not None:
            try:
                self._create(name)
            except Refused as error:
                return _unstartable(f"The worker could not be started: {error}.")
        found = self._find(name)
        if found is None:
            if known.is_gone:
                return pods.gone(name, known.pods)
            return None
        its_pods = self._pods_of(name)
        if its_pods is None:
            return None
        if pods.is_finished(found) and not any(map(pods.is_over, its_pods)):
            # Jobs and pods are watched separately, and what is known of these may be older.
            try:
                its_pods = self._cluster.pods_of(name)
            except Unreachable:
                return None
        known.pods = its_pods or known.pods
        if end := pods.ended(found, its_pods or known.pods):
            return self._with_log(*end)
        return self._given_up(known, its_pods)

    def stop(self, job: pb.Job, *, force: bool = False) -> None:
        """See `Launcher`."""
        name = self._template.name_of(job)
        if name in self._known:
            self._known[name].wanted = None
        found = (self._cluster.jobs.objects() or {}).get(name)
        with suppress(Unreachable):
            if found is None or "deletionTimestamp" not in found["metadata"]:
                self._cluster.delete(name)
            if force:
                for pod in self._cluster.pods_of(name):
                    if not pods.is_over(pod):
                        self._cluster.kill(pod["metadata"]["name"])

    def discard(self, job: pb.Job, *, ended: bool) -> None:
        """See `Launcher`. What has ended stays for a while, so that its log can be read."""
        del ended
        name = self._template.name_of(job)
        self._known.pop(name, None)
        found = (self._cluster.jobs.objects() or {}).get(name)
        its_pods = self._pods_of(name) or []
        is_over = bool(its_pods) and all(map(pods.is_over, its_pods))
        if found and not is_over and not pods.is_finished(found):
            self.stop(job)

    def kept(self) -> Iterable[str]:
        """See `Launcher`."""
        return ()

    def waiting(self, job: pb.Job) -> str:
        """See `Launcher`."""
        name = self._template.name_of(job)
        known = self._known.get(name)
        if known and known.wanted is not None:
            return f"Waits for the cluster: {names.shorten(known.trouble, 300)}."
        found = (self._cluster.jobs.objects() or {}).get(name)
        its_pods = self._pods_of(name)
        if found is None or its_pods is None or "deletionTimestamp" in found["metadata"]:
            return ""
        return pods.waiting(found, its_pods)

    def has(self, job: pb.Job) -> bool | None:
        """See `Launcher`."""
        name = self._template.name_of(job)
        known = self._known.setdefault(name, _Known())
        if known.wanted is not None:
            return True
        found = self._find(name)
        if found is None and not known.is_gone:
            return None
        del self._known[name]
        return found is not None and owner_of(found) == job.owner

    def workers(self) -> Iterator[Claim]:
        """See `Launcher`."""
        for found in (self._cluster.jobs.objects() or {}).values():
            if pods.is_finished(found):
                continue
            try:
                yield claim_of(found)
            except (InvalidInput, ValueError):
                _log.warning("the Job %s has labels that are not ours", found["metadata"]["name"])

    def close(self) -> None:
        """See `Launcher`."""
        self._cluster.close()

    def _create(self, name: str) -> None:
        """Create a Job that is wanted, if the API answers.

        Raises:
            Refused: It does, and will not.
        """
        known = self._known[name]
        if known.wanted is None:
            return
        try:
            made = self._cluster.create(known.wanted)
        except Unreachable as error:
            if known.trouble != str(error):
                _log.warning("the Job %s cannot be created now: %s", name, error)
            known.trouble = str(error)
        else:
            known.wanted = None
            self._cluster.jobs.put(made)

    def _find(self, name: str) -> Object | None:
        """Return a Job; None if it is gone, which is then known, or not known."""
        known = self._known[name]
        watched = self._cluster.jobs.objects()
        if known.wanted is not None or watched is None:
            return None
        if name in watched:
            return watched[name]
        now = time.monotonic()
        if known.is_gone or now - known.asked_at < _ASK_S:
            return None
        known.asked_at = now
        try:
            found = self._cluster.get(name)
        except Unreachable:
            return None
        known.is_gone = found is None
        if found is not None:
            self._cluster.jobs.put(found)
        return found

    def _pods_of(self, name: str) -> list[Object] | None:
        """Return the pods of a Job; None if they are not known."""
        watched = self._cluster.pods.objects()
        if watched is None:
            return None
        labels = ((pod, pod["metadata"].get("labels") or {}) for pod in watched.values())
        return [pod for pod, its in labels if its.get(POD_OF) == name]

    def _with_log(self, end: Exit, pod: Object | None) -> Exit:
        if pod is None:
            return end
        text = self._cluster.log(
            pod["metadata"]["name"],
            pod["spec"]["containers"][0]["name"],
            lines=logfiles.TAIL_LINES,
            max_bytes=logfiles.TAIL_BYTES,
        )
        return replace(end, log_tail="\n".join(map(logs.for_people, text.splitlines())))

    def _given_up(self, known: _Known, its_pods: Sequence[Object]) -> Exit | None:
        """Return the end of a worker that does not start until a person has mended something."""
        error = pods.stuck(its_pods)
        if error is None:
            known.stuck_since = None
            return None
        now = time.monotonic()
        if known.stuck_since is None:
            known.stuck_since = now
        if pods.is_hopeless(its_pods) or now - known.stuck_since > _MEND_S:
            return Exit(1, out_of_memory=False, log_tail="", error=error, final=True)
        return None


def _unstartable(message: str) -> Exit:
    error = Internal(Reason.WORKER_CRASHED, message)
    return Exit(1, out_of_memory=False, log_tail="", error=error)
