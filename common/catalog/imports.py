"""What an import is asked to do, checked as far as it can be before the data is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.catalog import requests
from common.data import formats, mapping
from common.errors import InvalidInput
from common.reasons import Reason
from nocode.vision.v1 import job_pb2

if TYPE_CHECKING:
    from common.names import ResourceName
    from common.task import Task
    from nocode.vision.v1 import dataset_pb2 as pb

MAX_VOID_INDEX = 65_535
"""The largest value of a pixel of 16 bits."""


def spec_of(
    request: pb.ImportDatasetRequest, task: Task, dataset: ResourceName
) -> job_pb2.ImportSpec:
    """Return what a job is to do.

    Raises:
        InvalidInput: `void_index` is wrong.
    """
    spec = job_pb2.ImportSpec(
        dataset=str(dataset),
        source=request.source,
        format=request.format,
        display_name=request.display_name,
        label_mapping=request.label_mapping,
        validate_only=request.validate_only,
    )
    if request.HasField("void_index"):
        check_void_index(request.void_index, task)
        spec.void_index = request.void_index
    return spec


def check(request: pb.ImportDatasetRequest, task: Task) -> None:
    """Return if the fields of a request that say what to make of the data can be right.

    Raises:
        InvalidInput: One cannot.
    """
    requests.check_length(
        request.display_name, requests.MAX_DISPLAY_NAME_LENGTH, field="display_name"
    )
    if request.format:
        formats.by_name(task.formats, request.format)
    mapping.check(request.label_mapping)


def check_void_index(void_index: int, task: Task) -> None:
    """Return if a value may be that of void pixels.

    Raises:
        InvalidInput: The task has none, or no pixel can have it.
    """
    if not task.has_void:
        raise InvalidInput(
            Reason.OPTION_UNSUPPORTED,
            f"void_index is {void_index}, but data sets of {task.name} have no masks that number "
            "the classes of pixels. Leave it out.",
            field="void_index",
            value=void_index,
        )
    if not 0 <= void_index <= MAX_VOID_INDEX:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"void_index is {void_index}. Send a value of a pixel, from 0 to {MAX_VOID_INDEX}.",
            field="void_index",
            value=void_index,
            minimum=0,
            maximum=MAX_VOID_INDEX,
        )
