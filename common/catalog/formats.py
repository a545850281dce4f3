"""The formats that can be imported, as the API serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import names
from common.catalog import requests
from common.errors import InvalidInput
from common.reasons import Reason
from common.storage import paging
from nocode.vision.v1 import dataset_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from common.data.formats import Format
    from common.task import Task


def page(
    tasks: Mapping[str, Task], parent: str, page_size: int, page_token: str
) -> tuple[list[pb.DatasetFormat], str]:
    """Return a page of formats, and the token of the next page.

    Args:
        tasks: Those that are served, by name.
        parent: `tasks/{task}`, or `tasks/-` for all of `tasks`.
        page_size: At most this many; 0 means the default.
        page_token: That of the page before, or empty.

    Raises:
        InvalidInput: A parent, size or token that is none.
    """
    task = names.parse_task(parent, wildcard=True)
    chosen = list(tasks)
    if task != names.ALL_TASKS:
        chosen = [requests.check_served(task, tasks, field="parent")]
    size = paging.check_page_size(page_size)
    after = paging.read_token(page_token, parent)
    listed = [describe(one, entry) for one in chosen for entry in tasks[one].formats]
    positions = [f"{entry.task}/{entry.name}" for entry in listed]
    if after and after not in positions:
        raise InvalidInput(
            Reason.PAGE_TOKEN_INVALID,
            "page_token leads behind a format that there is no more. Send none, to start from the "
            "first page.",
            field="page_token",
        )
    start = positions.index(after) + 1 if after else 0
    end = start + size
    more = end < len(listed)
    return listed[start:end], paging.write_token(parent, positions[end - 1]) if more else ""


def describe(task: str, entry: Format) -> pb.DatasetFormat:
    """Return a format as the API serves it."""
    return pb.DatasetFormat(
        name=entry.name,
        task=f"tasks/{task}",
        description=entry.description,
        layout=entry.layout,
        detection=entry.detected,
        kept=entry.kept,
        dropped=entry.dropped,
    )
