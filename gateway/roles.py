"""Who may do what: four roles, each with all that the one before may do, task by task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from common import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Role(IntEnum):
    """What a caller may do in a task."""

    VIEWER = 1
    """Look at everything, and download what jobs have made."""
    PREDICTOR = 2
    """Call models."""
    TRAINER = 3
    """Bring data, train, evaluate, export, and cancel jobs."""
    ADMIN = 4
    """Delete."""


_METHODS = {
    Role.VIEWER: (
        "DatasetService/GetDataset",
        "DatasetService/ListDatasets",
        "DatasetService/ListFormats",
        "PipelineService/ListArchitectures",
        "PipelineService/GetPipeline",
        "PipelineService/ListPipelines",
        "PipelineService/GetSplits",
        "ModelService/GetModel",
        "ModelService/ListModels",
        "ModelService/GetTrackingUrl",
        "JobService/GetJob",
        "JobService/ListJobs",
        "JobService/WatchJob",
        "JobService/DownloadArtifact",
    ),
    Role.PREDICTOR: (
        "PredictionService/Predict",
        "PredictionService/StreamPredict",
    ),
    Role.TRAINER: (
        "DatasetService/UploadArchive",
        "DatasetService/ImportDataset",
        "DatasetService/ExportDataset",
        "PipelineService/CreatePipeline",
        "PipelineService/Train",
        "ModelService/Evaluate",
        "ModelService/ExportModel",
        "JobService/CancelJob",
    ),
    Role.ADMIN: (
        "DatasetService/DeleteDataset",
        "PipelineService/DeletePipeline",
        "ModelService/DeleteModel",
    ),
}

LEAST: dict[str, Role] = {
    f"/nocode.vision.v1.{method}": role for role, methods in _METHODS.items() for method in methods
}
"""The least role that each method of the contract needs, by path."""

CHANGING = frozenset(path for path, role in LEAST.items() if role >= Role.TRAINER)
"""The methods that change something, by path: what the audit log tells of."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and its role in each task."""

    name: str
    """E.g. `token:ci` or `oidc:alice`; ASCII, as metadata must be."""
    roles: Mapping[str, Role]
    """By task; none for a task where it may do nothing."""

    def has(self, role: Role, task: str) -> bool:
        """Return whether the caller may do in a task what needs a role."""
        return self.roles.get(task, 0) >= role


def parse_role(text: str) -> tuple[Role, tuple[str, ...]]:
    """Return a role and its tasks: `trainer` is one for all tasks, `trainer:detection` for one.

    Raises:
        ValueError: It is no role, or no task.
    """
    role, _, task = text.partition(":")
    known = {each.name.lower(): each for each in Role}
    if role not in known:
        raise ValueError(f"{text!r} is no role; the roles are {', '.join(known)}")
    if task and task not in names.TASKS:
        raise ValueError(f"{text!r} names no task; the tasks are {', '.join(names.TASKS)}")
    if text.endswith(":"):
        raise ValueError(f"{text!r} names no task; leave the colon out for all tasks")
    return known[role], (task,) if task else names.TASKS


def by_task(roles: Iterable[tuple[Role, tuple[str, ...]]]) -> dict[str, Role]:
    """Return the greatest role in each task."""
    greatest: dict[str, Role] = {}
    for role, tasks in roles:
        for task in tasks:
            greatest[task] = max(role, greatest.get(task, role))
    return greatest
