"""What the commands share: the connection, the form of results, and waiting for jobs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from client import arguments, as_json, console, display, progress
from client.api import Client
from client.channel import Security
from client.errors import JobFailed
from nocode.vision.v1 import dataset_source_pb2, job_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from google.protobuf.message import Message

    from nocode.vision.v1 import evaluation_pb2


@dataclass
class Options:
    """What holds for every command."""

    address: str
    as_json: bool
    security: Security = field(default_factory=Security)


options = Options("", False)


@contextmanager
def connected() -> Iterator[Client]:
    """Give a client of the server that the options name.

    Raises:
        typer.BadParameter: The options for TLS and the token do not fit together.
    """
    try:
        client = Client(options.address, options.security)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with client:
        yield client


def source_of(
    client: Client, task: str, source: str, hub: Sequence[str] = ()
) -> dataset_source_pb2.DatasetSource:
    """Return what to import: an address in a bucket or of the hub, or a file or folder.

    The last are uploaded.

    Args:
        client: Uploads.
        task: What the data is for.
        source: As typed.
        hub: FIELD=VALUE of `HuggingFaceSource`.

    Raises:
        typer.BadParameter: It is none of these, or `hub` says something of another than the hub's.
    """
    if source.startswith(arguments.HUB):
        return dataset_source_pb2.DatasetSource(hugging_face=arguments.hub_source(source, hub))
    if hub:
        raise typer.BadParameter(
            f"--hub {hub[0]}: {source} is not of the hub; that begins with {arguments.HUB}."
        )
    if source.startswith("s3://"):
        return dataset_source_pb2.DatasetSource(uri=source)
    path = Path(source)
    if not path.exists():
        raise typer.BadParameter(
            f"{source} is neither a file, nor a folder, nor an s3:// or {arguments.HUB} address."
        )
    with progress.upload_bar(path) as tell:
        return dataset_source_pb2.DatasetSource(upload=client.upload(task, path, tell))


def finish(client: Client, job: job_pb2.Job, no_wait: bool) -> job_pb2.Job:
    """Follow a job with a bar until it has succeeded; with `no_wait`, only name it."""
    if no_wait:
        show(job, lambda: console.note(f"{job.name}\nFollow it: nocode-vision watch {job.name}"))
        return job
    ended = follow(client, job.name)
    check(ended)
    return ended


def follow(client: Client, job: str) -> job_pb2.Job:
    """Follow a job with a bar until it has ended, and say what it noticed."""
    try:
        ended = progress.follow(client.watch(job))
    except KeyboardInterrupt:
        console.note(
            f"The job goes on. Come back with: nocode-vision watch {job}\n"
            f"Stop it with: nocode-vision cancel {job}"
        )
        raise typer.Exit(130) from None
    display.findings(ended.findings)
    return ended


def check(ended: job_pb2.Job) -> None:
    """Check that a job has succeeded.

    Raises:
        JobFailed: It has not.
    """
    if ended.state != job_pb2.Job.STATE_SUCCEEDED:
        raise JobFailed(ended)


def save_plots(
    client: Client, job: str, plots: Iterable[evaluation_pb2.Plot], folder: Path | None
) -> None:
    """Save the plots that a job has made; every picture's path is printed."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        path = client.download(job, plot.uri, folder / plot.uri.rsplit("/", 1)[-1])
        console.note(f"Saved {path}  ({plot.title})")


def show(message: Message, as_text: Callable[[], None]) -> None:
    """Show a message, as JSON if that is wanted."""
    if options.as_json:
        as_json.print_document(message)
    else:
        as_text()


def show_all(messages: list[Message], as_text: Callable[[], None]) -> None:
    """Show messages, in a line of JSON each if that is wanted."""
    if options.as_json:
        for message in messages:
            as_json.print_line(as_json.fields(message))
    else:
        as_text()
