"""The commands about data sets: what is imported, what came of it, and what can be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from client import arguments, console, display, session
from client.api import validated

Pictures = Annotated[
    Path | None,
    typer.Option(
        "--pictures",
        file_okay=False,
        help="Folder for a plot of the classes and a sheet of samples with their labels drawn.",
    ),
]


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="An archive, a folder, s3://BUCKET/KEY, or hf://OWNER/NAME[@REVISION] of the "
            "Hugging Face hub."
        ),
    ],
    task: arguments.TaskOption = "classification",
    dataset_id: Annotated[str, typer.Option("--id", help="Id of the data set.")] = "",
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    format: Annotated[str, typer.Option(help="See `formats`; else detected.")] = "",  # noqa: A002
    void_index: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Of semantic-segmentation: the value of pixels that nobody labeled.",
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="CLASS=NAME renames a class, several to one name merge them, CLASS= drops one. "
            "Of a class with = in its name, double it.",
        ),
    ] = None,
    hub: Annotated[
        list[str] | None,
        typer.Option(
            "--hub", help="FIELD=VALUE of HuggingFaceSource, e.g. label_column=fine_label."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only find out what the data set would be.")
    ] = False,
    pictures: Pictures = None,
    no_wait: arguments.NoWait = False,
) -> None:
    """Import labeled images as a data set."""
    label_mapping = arguments.label_mapping(mapping or [])
    with session.connected() as client:
        job = client.import_dataset(
            task,
            session.source_of(client, task, source, hub or []),
            dataset_id=dataset_id,
            display_name=name,
            format=format,
            void_index=void_index,
            label_mapping=label_mapping,
            validate_only=dry_run,
        )
        job = session.finish(client, job, no_wait)
        found = client.dataset(job.dataset) if job.dataset else validated(job)
        if found is not None:
            session.show(found, lambda: display.dataset(found))
            session.save_plots(client, job.name, found.plots, pictures)
        if found is not None and dry_run:
            console.note("This was a dry run: nothing was imported.")


def dataset(
    name: Annotated[str, typer.Argument(help="tasks/TASK/datasets/ID.")], pictures: Pictures = None
) -> None:
    """Show a data set: its classes, and what its import noticed."""
    with session.connected() as client:
        found = client.dataset(name)
        session.show(found, lambda: display.dataset(found))
        session.save_plots(client, found.job, found.plots, pictures)


def formats(
    task: Annotated[str, typer.Argument(help="Only those of this task; - means all.")] = "-",
    name: Annotated[str, typer.Option(help="Show this one in full.")] = "",
) -> None:
    """List the formats that can be imported; with --name, what one looks like and holds."""
    with session.connected() as client:
        found: list[Any] = client.list("formats", task, 1000)
    if name:
        named = [entry for entry in found if entry.name == name]
        if not named:
            known = dict.fromkeys(entry.name for entry in found)
            raise typer.BadParameter(f"--name {name}: it is none of {', '.join(known)}.")
        session.show_all(named, lambda: display.formats(named))
        return
    session.show_all(found, lambda: display.listing("formats", found))
