"""The architectures that can be trained, as the API serves them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from common import names
from common.catalog import requests
from common.errors import InvalidInput
from common.reasons import Reason
from common.storage import paging
from common.training import recipes
from nocode.vision.v1 import pipeline_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from common.architectures import Architecture, Registry
    from common.task import Task


class Architectures:
    """The architectures of a service's tasks."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._registry = cache(self._load)

    def _load(self, task: str) -> Registry:
        return self._tasks[task].learner().registry

    def get(self, task: str, name: str, *, field: str = "architecture") -> Architecture:
        """Return an architecture of a task.

        Raises:
            InvalidInput: There is none of that name.
        """
        return self._registry(task).get(name, field=field)

    def list(
        self, parent: str, page_size: int, page_token: str
    ) -> tuple[list[pb.Architecture], str]:
        """Return a page of architectures, and the token of the next page.

        Raises:
            InvalidInput: A parent, size or token that is none.
        """
        task = names.parse_task(parent, wildcard=True)
        if task == names.ALL_TASKS:
            tasks = list(self._tasks)
        else:
            tasks = [requests.check_served(task, self._tasks, field="parent")]
        size = paging.check_page_size(page_size)
        after = paging.read_token(page_token, parent)
        listed = [(task, entry) for task in tasks for entry in self._registry(task)]
        positions = [f"{task}/{entry.name}" for task, entry in listed]
        if after and after not in positions:
            raise InvalidInput(
                Reason.PAGE_TOKEN_INVALID,
                "page_token leads behind an architecture that there is no more. Send none, to "
                "start from the first page.",
                field="page_token",
            )
        start = positions.index(after) + 1 if after else 0
        page = [describe(task, entry) for task, entry in listed[start : start + size]]
        if start + size >= len(listed):
            return page, ""
        return page, paging.write_token(parent, positions[start + size - 1])


def describe(task: str, entry: Architecture) -> pb.Architecture:
    """Return an architecture as the API serves it."""
    return pb.Architecture(
        name=entry.name,
        display_name=entry.display_name,
        task=f"tasks/{task}",
        paper_uri=entry.paper,
        parameter_count=entry.parameter_count,
        parameter_count_class_count=entry.parameter_count_class_count,
        input_multiple_px=entry.input_multiple_px,
        recipe=recipes.resolve(entry, pb.TrainingConfig()),
        settings=recipes.schema(entry),
        pretrained_weights=entry.pretrained_weights,
    )
