"""What stands on the command line, checked and translated; what is wrong ends it with status 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from nocode.vision.v1 import pipeline_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
    config = pipeline_pb2.TrainingConfig()
    fields = pipeline_pb2.TrainingConfig.DESCRIPTOR.fields_by_name
    for setting in settings:
        field, _, value = setting.partition("=")
        if field not in fields:
            raise typer.BadParameter(f"--set {setting}: the fields are {', '.join(fields)}.")
        kind = type(getattr(config, field))
        try:
            setattr(config, field, kind(value))
        except ValueError:
            raise typer.BadParameter(
                f"--set {setting}: {field} takes {'a number' if kind is float else 'an integer'}."
            ) from None
    return config


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
