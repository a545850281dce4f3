"""The Kubernetes Job of a worker: the operator's template, and what makes it this job's own."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import yaml

from common import names
from common.jobs.store import Claim
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

    from common.settings import StorageSettings

Object = dict[str, Any]
"""Any object of the Kubernetes API, as JSON has it."""

_PREFIX = "vision.nocode"
BUCKET = f"{_PREFIX}/bucket"
TASK = f"{_PREFIX}/task"
JOB = f"{_PREFIX}/job"
ATTEMPT = f"{_PREFIX}/attempt"
# An annotation: it may be longer than a label.
OWNER = f"{_PREFIX}/owner"
QUEUE = "kueue.x-k8s.io/queue-name"
# These the cluster sets.
POD_OF = "batch.kubernetes.io/job-name"
NODE_RANK = "batch.kubernetes.io/job-completion-index"

_DEFAULTS = {
    # Long enough to read the log of a worker that has ended.
    "ttlSecondsAfterFinished": 3600,
    # A week, waiting for a node included.
    "activeDeadlineSeconds": 7 * 86400,
}
_RENDEZVOUS_PORT = 29400
# What a template may have, and is added to.
_MAPPINGS = tuple(
    f"{where}metadata{field}"
    for where in ("", "spec.template.")
    for field in ("", ".labels", ".annotations")
)
_LISTS_OF_WORKER = ("args", "env")
# A pod of the Job is named after it, with an index, and a name has at most 63 characters.
_READABLE_LENGTH = 36


class TemplateInvalid(Exception):
    """The template cannot be used; the text says what is wrong with which file."""


class Template:
    """Makes the Job of each attempt from a file, which is read again each time.

    The first container is the worker.

    Args:
        path: A batch/v1 Job as YAML.
        storage: The bucket, whose Jobs are told from those of another one by a label.
        nodes: How many machines a training is spread over.
    """

    def __init__(self, path: Path, storage: StorageSettings, *, nodes: int = 1) -> None:
        self._path = path
        self._bucket = _digest(storage.s3_endpoint, storage.s3_bucket)
        self._nodes = nodes

    def selector(self, tasks: list[str]) -> str:
        """Return the label selector of this bucket's Jobs, and their pods, of some tasks."""
        return f"{BUCKET}={self._bucket},{TASK} in ({','.join(sorted(tasks))})"

    def name_of(self, job: pb.Job) -> str:
        """Return the name of the Job of a job's attempt: always the same, and nobody else's."""
        readable = names.parse(job.name, "jobs").id[:_READABLE_LENGTH].rstrip("-")
        return f"{readable}-{_digest(self._bucket, job.name)}-{job.attempt}"

    def read(self) -> Object:
        """Return the template.

        Raises:
            TemplateInvalid: It is not one.
        """
        try:
            template = yaml.safe_load(self._path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateInvalid(f"{self._path} cannot be read: {error}") from error
        except yaml.YAMLError as error:
            raise TemplateInvalid(f"{self._path} is no YAML: {error}") from error
        if problem := _problem(template, self._nodes):
            raise TemplateInvalid(f"{self._path}: {problem}")
        found: Object = template
        return found

    def manifest(self, job: pb.Job) -> Object:
        """Return the Job of a job's attempt.

        Args:
            job: Claimed, so that `owner` and `attempt` are set.

        Raises:
            TemplateInvalid: The template cannot be used.
        """
        manifest = copy.deepcopy(self.read())
        name = self.name_of(job)
        parsed = names.parse(job.name, "jobs")
        labels = {
            BUCKET: self._bucket,
            TASK: parsed.task,
            JOB: parsed.id,
            ATTEMPT: str(job.attempt),
        }
        spec = manifest["spec"]
        meta = _metadata_of(manifest)
        meta["name"] = name
        meta.pop("namespace", None)
        spec.update(backoffLimit=0, completions=1, parallelism=1)
        # So that there are never two pods of an attempt, not even while the first is ending.
        spec["podReplacementPolicy"] = "Failed"
        spec.update({key: value for key, value in _DEFAULTS.items() if spec.get(key) is None})
        if QUEUE in (meta.get("labels") or {}):
            # Kueue lets it go on when its turn has come.
            spec["suspend"] = True
        for owner in (meta, _metadata_of(spec["template"])):
            owner["labels"] = {**(owner.get("labels") or {}), **labels}
            owner["annotations"] = {**(owner.get("annotations") or {}), OWNER: job.owner}
        pod = spec["template"]["spec"]
        pod["restartPolicy"] = "Never"
        worker = pod["containers"][0]
        worker["args"] = [
            *(worker.get("args") or ()),
            *("work", job.name, f"--owner={job.owner}", f"--attempt={job.attempt}"),
        ]
        # So that it knows that nobody keeps its log where it runs.
        own = {"name": "NOCODE_LAUNCHER", "value": "kubernetes"}
        worker["env"] = [*(worker.get("env") or ()), own]
        if job.kind == pb.Job.KIND_TRAIN and self._nodes > 1:
            _spread(spec, name, self._nodes)
        return manifest


def claim_of(made: Object) -> Claim:
    """Return the claim that the worker of a Job was made for."""
    labels = made["metadata"].get("labels") or {}
    name = names.ResourceName(labels.get(TASK, ""), "jobs", labels.get(JOB, ""))
    owner = (made["metadata"].get("annotations") or {}).get(OWNER, "")
    return Claim(str(name), owner, int(labels.get(ATTEMPT, 0)))


def _metadata_of(thing: Object) -> Object:
    """Return the metadata of an object, to be added to; it may have none yet."""
    thing["metadata"] = thing.get("metadata") or {}
    found: Object = thing["metadata"]
    return found


def _spread(spec: Object, name: str, nodes: int) -> None:
    """Let a Job run one pod on each of several machines, which find each other by name.

    torchrun reads its options from these variables. The machines wait for each other as long as
    the Job may: they come one by one, and the first one has all images to read before it trains.
    """
    pod = spec["template"]["spec"]
    spec.update(completionMode="Indexed", completions=nodes, parallelism=nodes)
    rank = {"fieldRef": {"fieldPath": f"metadata.annotations['{NODE_RANK}']"}}
    pod["containers"][0]["env"] = [
        *(pod["containers"][0].get("env") or ()),
        {"name": "PET_NNODES", "value": str(nodes)},
        {"name": "PET_NODE_RANK", "valueFrom": rank},
        {"name": "PET_MASTER_ADDR", "value": f"{name}-0.{pod['subdomain']}"},
        {"name": "PET_MASTER_PORT", "value": str(_RENDEZVOUS_PORT)},
        {"name": "PET_RDZV_CONF", "value": f"timeout={spec['activeDeadlineSeconds']}"},
    ]


def _problem(template: object, nodes: int) -> str:
    """Return what is wrong with a template, or nothing. The API checks the rest."""
    if not isinstance(template, dict):
        return "it is empty, or no mapping. It must be a batch/v1 Job."
    kind = f"{template.get('apiVersion')} {template.get('kind')}"
    if kind != "batch/v1 Job":
        return f"it is a {kind}. It must be a batch/v1 Job."
    spec = template
    for key in ("spec", "template", "spec"):
        inner = spec.get(key)
        if not isinstance(inner, dict):
            return "it has no spec.template.spec. Put the worker's pod there."
        spec = inner
    containers = spec.get("containers")
    first = containers[0] if isinstance(containers, list) and containers else None
    if not isinstance(first, dict) or not first.get("image") or not first.get("name"):
        return (
            "spec.template.spec.containers has no first container with a name and an image. It is "
            "the worker; give it the image of the service."
        )
    for path in _MAPPINGS:
        found: Any = template
        for key in path.split("."):
            found = (found or {}).get(key)
        if not isinstance(found, dict | None):
            return f"{path} is no mapping."
    for key in _LISTS_OF_WORKER:
        if not isinstance(first.get(key), list | None):
            return f"{key} of the first container in spec.template.spec.containers is no list."
    if nodes > 1 and not spec.get("subdomain"):
        return (
            f"spec.template.spec.subdomain is missing, and NOCODE_KUBERNETES_NODES is {nodes}. "
            "Name the headless Service there that the machines of a training find each other by."
        )
    return ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
