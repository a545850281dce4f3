"""What stands on the command line, checked and translated; what is wrong ends it with status 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from client import labeling
from nocode.vision.v1 import dataset_source_pb2, pipeline_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HUB = "hf://"
"""What a data set of the Hugging Face hub begins with, where a source is named."""

TaskOption = Annotated[
    str,
    typer.Option(
        "--task",
        "-t",
        help="What to train for: classification, detection, semantic-segmentation or "
        "instance-segmentation.",
    ),
]
AllTasks = Annotated[str, typer.Option("--task", "-t", help="Only this task; - means all.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many, newest first.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once; see `watch`.")]
SaveTo = Annotated[
    Path | None, typer.Option("--save", file_okay=False, help="Folder for the pictures.")
]

M = TypeVar("M", pipeline_pb2.TrainingConfig, dataset_source_pb2.HuggingFaceSource)


def task_of(dataset: str) -> str:
    """Return the task in the name of a data set.

    Raises:
        typer.BadParameter: It is no such name.
    """
    parts = dataset.split("/")
    if len(parts) != 4 or parts[0] != "tasks":
        raise typer.BadParameter(f"{dataset} is not of the form tasks/TASK/datasets/ID.")
    return parts[1]


def training_config(settings: Iterable[str]) -> pipeline_pb2.TrainingConfig:
    """Parse FIELD=VALUE as the contract's types say.

    Raises:
        typer.BadParameter: There is no such field, or it takes no such value.
    """
    return _filled(pipeline_pb2.TrainingConfig(), "--set", settings)


def hub_source(source: str, settings: Iterable[str]) -> dataset_source_pb2.HuggingFaceSource:
    """Parse `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, and FIELD=VALUE.

    Raises:
        typer.BadParameter: There is no such field.
    """
    path, _, revision = source.removeprefix(HUB).partition("@")
    made = dataset_source_pb2.HuggingFaceSource(path=path, revision=revision)
    return _filled(made, "--hub", settings)


def label_mapping(written: Iterable[str]) -> dict[str, str]:
    """Parse CLASS=NAME; without a name the class is dropped.

    Raises:
        typer.BadParameter: One has no `=`, or a class is named twice.
    """
    mapping: dict[str, str] = {}
    for one in written:
        # A name may have the sign in it; then it is doubled.
        name, sign, new = (
            part.replace("\0", "=") for part in one.replace("==", "\0").partition("=")
        )
        if not sign:
            raise typer.BadParameter(f"--map {one}: write CLASS=NAME, or CLASS= to drop the class.")
        if name in mapping:
            raise typer.BadParameter(f"--map {one}: {name} is mapped already.")
        mapping[name] = new
    return mapping


def _filled(message: M, option: str, settings: Iterable[str]) -> M:
    fields = message.DESCRIPTOR.fields_by_name
    for setting in settings:
        field, _, value = setting.partition("=")
        if field not in fields:
            raise typer.BadParameter(f"{option} {setting}: the fields are {', '.join(fields)}.")
        kind = type(getattr(message, field))
        try:
            setattr(message, field, kind(value))
        except ValueError:
            taken = "a number" if kind is float else "an integer"
            raise typer.BadParameter(f"{option} {setting}: {field} takes {taken}.") from None
    return message


def check_labels(
    name: str,
    format: str | None,  # noqa: A002
    output: Path | None,
    mask_format: str | None,
) -> None:
    """Check what is said of writing answers as a data set.

    Raises:
        typer.BadParameter: The options do not go together, or not with the model.
    """
    if (format is None) != (output is None):
        raise typer.BadParameter("--format says what to write to --output: give both, or none.")
    task = [*name.split("/"), ""][1]
    if format and task not in labeling.TASKS:
        raise typer.BadParameter(
            f"--format {format}: it has no place for what {name} says. Models of "
            f"{' and '.join(labeling.TASKS)} say where objects are."
        )
    if format and mask_format == "png":
        raise typer.BadParameter("--mask-format png: --format needs masks as rle.")


def refuse_for_pipeline(pipeline: str, options: Mapping[str, object]) -> None:
    """Check that nothing is asked of an existing pipeline that only a new one can be given.

    Raises:
        typer.BadParameter: One of `options`, by their names, has a value.
    """
    given = ", ".join(option for option, value in options.items() if value)
    if given:
        raise typer.BadParameter(
            f"{pipeline} exists, and keeps what it was made with: {given} would change nothing. "
            "To train otherwise, name its data set, which makes a new pipeline."
        )
