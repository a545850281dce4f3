"""The `nocode-vision` command.

Results go to standard output, progress and errors to standard error. Exit status: 0 success, 1 the
server refused or the job did not succeed, 2 wrong arguments, 3 no server, 130 stopped waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.message import Message

from client import arguments, as_json, display
from client.api import Client
from client.channel import DEFAULT_ADDRESS
from client.errors import CallFailed, JobFailed
from client.predicting import predict_files
from nocode.vision.v1 import (
    dataset_source_pb2,
    evaluation_pb2,
    job_pb2,
    pipeline_pb2,
    prediction_pb2,
)

app = typer.Typer(
    name="nocode-vision",
    help="Train image models without writing code, and call them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@dataclass
class Options:
    """What holds for every command."""

    address: str
    as_json: bool


_options = Options("", False)


@app.callback()
def options(
    address: Annotated[
        str, typer.Option(envvar="NOCODE_ADDRESS", help="HOST:PORT of the gateway.")
    ] = DEFAULT_ADDRESS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Train image models without writing code, and call them."""
    _options.address = address
    _options.as_json = json


TaskOption = Annotated[
    str, typer.Option("--task", "-t", help="What to train for: classification or detection.")
]
AllTasks = Annotated[str, typer.Option("--task", "-t", help="Only this task; - means all.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many, newest first.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once; see `watch`.")]
SaveTo = Annotated[
    Path | None, typer.Option("--save", file_okay=False, help="Folder for the pictures.")
]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="An archive, a folder, or s3://BUCKET/KEY.")],
    task: TaskOption = "classification",
    dataset_id: Annotated[str, typer.Option("--id", help="Id of the data set.")] = "",
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    format: Annotated[str, typer.Option(help="E.g. image_folder or coco; else detected.")] = "",  # noqa: A002
    no_wait: NoWait = False,
) -> None:
    """Import labeled images as a data set."""
    with _client() as client:
        job = client.import_dataset(
            task,
            _source(client, task, source),
            dataset_id=dataset_id,
            display_name=name,
            format=format,
        )
        job = _finish(client, job, no_wait)
        if job.dataset:
            dataset = client.dataset(job.dataset)
            _show(dataset, lambda: display.dataset(dataset))


@app.command()
def train(
    dataset: Annotated[
        str, typer.Argument(help="tasks/TASK/datasets/ID, or an existing pipeline.")
    ],
    architecture: Annotated[
        str, typer.Option("--architecture", "-a", help="See `architectures`; else the first.")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE, e.g. epoch_count=10.")
    ] = None,
    pipeline_id: Annotated[str, typer.Option("--id", help="Id of the pipeline.")] = "",
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    group_by: Annotated[str, typer.Option(help="column:NAME or path:REGEX.")] = "",
    no_wait: NoWait = False,
    save: SaveTo = None,
) -> None:
    """Train a model on a data set, and measure it on images held out."""
    own = {
        "--architecture": architecture,
        "--set": settings,
        "--id": pipeline_id,
        "--name": name,
        "--group-by": group_by,
    }
    with _client() as client:
        if "/pipelines/" in dataset:
            arguments.refuse_for_pipeline(dataset, own)
            pipeline_name = dataset
        else:
            task = arguments.task_of(dataset)
            config = arguments.training_config(settings or [])
            if not architecture:
                first: Any = client.list("architectures", task, 1)[0]
                architecture = first.name
            pipeline = pipeline_pb2.Pipeline(
                display_name=name,
                architecture=architecture,
                dataset=dataset,
                training_config=config,
                split_config=pipeline_pb2.SplitConfig(group_by=group_by),
            )
            pipeline_name = client.create_pipeline(task, pipeline, pipeline_id=pipeline_id).name
        job = _finish(client, client.train(pipeline_name), no_wait)
        if job.model:
            model = client.model(job.model)
            _show(model, lambda: display.model(model))
            _save(client, job.name, model.evaluation, save)


@app.command()
def watch(job: Annotated[str, typer.Argument(help="tasks/TASK/jobs/ID.")]) -> None:
    """Follow a job until it ends."""
    with _client() as client:
        ended = _follow(client, job)
        _show(ended, lambda: display.job(ended))
        _check(ended)


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="tasks/TASK/jobs/ID.")]) -> None:
    """Stop a job."""
    with _client() as client:
        stopped = client.cancel(job)
        _show(stopped, lambda: display.job(stopped))


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="A model or a pipeline.")],
    subset: Annotated[str, typer.Option(help="train, val or test; else test.")] = "",
    dataset: Annotated[str, typer.Option(help="Another data set to measure on.")] = "",
    no_wait: NoWait = False,
    save: SaveTo = None,
) -> None:
    """Measure a model on images."""
    with _client() as client:
        job = _finish(client, client.evaluate(name, subset, dataset), no_wait)
        if job.HasField("evaluation"):
            _show(job.evaluation, lambda: display.evaluation(job.evaluation))
            _save(client, job.name, job.evaluation, save)


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="A model or a pipeline.")],
    images: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Images.")],
    overlay: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for pictures of the answers.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out what scores less; else the model decides."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=0, help="Likeliest classes to name; 0 means 5.")] = 0,
    max_results: Annotated[
        int, typer.Option(min=0, help="Objects to name in an image; 0 means 100.")
    ] = 0,
    tiling: Annotated[
        bool, typer.Option("--tiling", help="Look for small objects in pieces of large images.")
    ] = False,
) -> None:
    """Ask a model what it sees in images."""
    wanted = prediction_pb2.PredictOptions(
        overlay=overlay is not None,
        score_threshold=threshold,
        top_k=top_k,
        max_results=max_results,
        tiling=tiling,
    )
    width = max(len(str(path)) for path in images)
    failed = False
    if overlay is not None:
        overlay.mkdir(parents=True, exist_ok=True)
    with _client() as client:
        for batch, response in predict_files(client, name, images, wanted):
            for path, prediction in zip(batch, response.predictions, strict=True):
                if overlay is not None and prediction.overlay_png:
                    target = _unused(overlay / f"{path.stem}.png")
                    target.write_bytes(prediction.overlay_png)
                    display.note(f"Saved {target}")
                if _options.as_json:
                    fields = {"image": str(path), "model": response.model}
                    fields |= as_json.fields(prediction)
                    del fields["overlay_png"]
                    as_json.print_line(fields)
                else:
                    display.prediction(path, prediction, width)
                failed = failed or prediction.HasField("error")
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model or a pipeline.")],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="File to write.")],
    format: Annotated[str, typer.Option(help="onnx or safetensors.")] = "onnx",  # noqa: A002
) -> None:
    """Write a model in another format, and save the file."""
    with _client() as client:
        job = _finish(client, client.export(name, format), no_wait=False)
        client.download(job.name, job.export.uri, output)
        _show(job.export, lambda: display.note(f"Saved {output}"))


@app.command()
def delete(name: Annotated[str, typer.Argument(help="A data set, pipeline or model.")]) -> None:
    """Delete a data set, a pipeline or a model."""
    with _client() as client:
        client.delete(name)


@app.command()
def datasets(task: AllTasks = "-", limit: Limit = 20) -> None:
    """List data sets."""
    _list("datasets", task, limit)


@app.command()
def pipelines(task: AllTasks = "-", limit: Limit = 20) -> None:
    """List pipelines."""
    _list("pipelines", task, limit)


@app.command()
def jobs(task: AllTasks = "-", limit: Limit = 20) -> None:
    """List jobs."""
    _list("jobs", task, limit)


@app.command()
def models(task: AllTasks = "-", limit: Limit = 20) -> None:
    """List models."""
    _list("models", task, limit)


@app.command()
def architectures(
    name: Annotated[str, typer.Argument(help="Show the settings of this one.")] = "",
    task: AllTasks = "-",
) -> None:
    """List what can be trained; with a name, its settings."""
    with _client() as client:
        found: list[Any] = client.list("architectures", task, 1000)
    if not name:
        _show_all(found, lambda: display.listing("architectures", found))
        return
    by_name = {architecture.name: architecture for architecture in found}
    if name not in by_name:
        raise typer.BadParameter(f"{name} is none of {', '.join(by_name)}.")
    _show(by_name[name], lambda: display.settings(by_name[name]))


def main() -> None:
    """Run the command; every foreseeable failure is one message and an exit status."""
    try:
        app()
    except JobFailed as error:
        # The worker's log is for what the server cannot explain; the rest, a user can mend.
        log = error.log if error.code == "INTERNAL" else ""
        display.failure(error.message, error.reason, log)
        sys.exit(1)
    except CallFailed as error:
        display.failure(error.message, error.reason)
        sys.exit(3 if error.unreachable else 1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        display.failure(f"{place}{error.strerror or error}")
        sys.exit(1)


@contextmanager
def _client() -> Iterator[Client]:
    with Client(_options.address) as client:
        yield client


def _source(client: Client, task: str, source: str) -> dataset_source_pb2.DatasetSource:
    if source.startswith("s3://"):
        return dataset_source_pb2.DatasetSource(uri=source)
    path = Path(source)
    if not path.exists():
        raise typer.BadParameter(f"{source} is neither a file, nor a folder, nor an s3:// address.")
    with display.upload_bar(path) as progress:
        return dataset_source_pb2.DatasetSource(upload=client.upload(task, path, progress))


def _finish(client: Client, job: job_pb2.Job, no_wait: bool) -> job_pb2.Job:
    """Follow a job with a bar until it has succeeded; with `no_wait`, only name it."""
    if no_wait:
        _show(job, lambda: display.note(f"{job.name}\nFollow it: nocode-vision watch {job.name}"))
        return job
    ended = _follow(client, job.name)
    _check(ended)
    return ended


def _follow(client: Client, job: str) -> job_pb2.Job:
    """Follow a job with a bar until it has ended, and say what it noticed."""
    try:
        ended = display.follow(client.watch(job))
    except KeyboardInterrupt:
        display.note(
            f"The job goes on. Come back with: nocode-vision watch {job}\n"
            f"Stop it with: nocode-vision cancel {job}"
        )
        raise typer.Exit(130) from None
    display.findings(ended.findings)
    return ended


def _check(ended: job_pb2.Job) -> None:
    if ended.state != job_pb2.Job.STATE_SUCCEEDED:
        raise JobFailed(ended)


def _list(collection: str, task: str, limit: int) -> None:
    with _client() as client:
        found = client.list(collection, task, limit)
    _show_all(found, lambda: display.listing(collection, found))


def _save(
    client: Client, job: str, evaluation: evaluation_pb2.Evaluation, folder: Path | None
) -> None:
    """Save the plots of an evaluation; every picture's path is printed."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for plot in evaluation.plots:
        path = client.download(job, plot.uri, folder / plot.uri.rsplit("/", 1)[-1])
        display.note(f"Saved {path}  ({plot.title})")


def _unused(path: Path) -> Path:
    """Return `path`, or one with a number if it exists: two images may share a name."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _show(message: Message, as_text: Callable[[], None]) -> None:
    if _options.as_json:
        as_json.print_document(message)
    else:
        as_text()


def _show_all(messages: list[Message], as_text: Callable[[], None]) -> None:
    if _options.as_json:
        for message in messages:
            as_json.print_line(as_json.fields(message))
    else:
        as_text()
