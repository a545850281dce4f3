"""The `nocode-vision` command.

Results go to standard output, progress and errors to standard error. Exit status: 0 success, 1 the
server refused or the job did not succeed, 2 wrong arguments, 3 no server, 130 stopped waiting.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from client import (
    answers,
    arguments,
    as_json,
    console,
    data_commands,
    display,
    evaluations,
    session,
)
from client.channel import DEFAULT_ADDRESS, Security
from client.errors import CallFailed, JobFailed
from client.labeling import LabelFormat, Labels
from client.predicting import predict_files
from nocode.vision.v1 import pipeline_pb2, prediction_pb2

app = typer.Typer(
    name="nocode-vision",
    help="Train image models without writing code, and call them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    address: Annotated[
        str, typer.Option(envvar="NOCODE_ADDRESS", help="HOST:PORT of the gateway.")
    ] = DEFAULT_ADDRESS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    tls: Annotated[
        bool, typer.Option("--tls", envvar="NOCODE_TLS", help="Encrypt; --ca does so too.")
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option(envvar="NOCODE_CA_FILE", help="Authority of the server's certificate, PEM."),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(envvar="NOCODE_CERT_FILE", help="Certificate to show to the server, PEM."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(envvar="NOCODE_KEY_FILE", help="Its private key, PEM.")
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="NOCODE_TOKEN",
            help="Says who calls. Better in the variable: others may see a command line.",
        ),
    ] = "",
) -> None:
    """Train image models without writing code, and call them."""
    session.options.address = address
    session.options.security = Security(tls=tls, ca=ca, cert=cert, key=key, token=token.strip())
    session.options.as_json = json


class MaskFormat(StrEnum):
    """How masks are sent."""

    RLE = "rle"
    PNG = "png"


MASK_FORMATS = {
    None: prediction_pb2.PredictOptions.MASK_FORMAT_UNSPECIFIED,
    MaskFormat.RLE: prediction_pb2.PredictOptions.MASK_FORMAT_RLE,
    MaskFormat.PNG: prediction_pb2.PredictOptions.MASK_FORMAT_PNG,
}


app.command("import")(data_commands.import_)
app.command()(data_commands.dataset)
app.command()(data_commands.formats)


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
    no_wait: arguments.NoWait = False,
    save: arguments.SaveTo = None,
) -> None:
    """Train a model on a data set, and measure it on images held out."""
    own = {
        "--architecture": architecture,
        "--set": settings,
        "--id": pipeline_id,
        "--name": name,
        "--group-by": group_by,
    }
    with session.connected() as client:
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
        job = session.finish(client, client.train(pipeline_name), no_wait)
        if job.model:
            model = client.model(job.model)
            session.show(model, lambda: display.model(model))
            session.save_plots(client, job.name, model.evaluation.plots, save)


@app.command()
def watch(job: Annotated[str, typer.Argument(help="tasks/TASK/jobs/ID.")]) -> None:
    """Follow a job until it ends."""
    with session.connected() as client:
        ended = session.follow(client, job)
        session.show(ended, lambda: display.job(ended))
        session.check(ended)


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="tasks/TASK/jobs/ID.")]) -> None:
    """Stop a job."""
    with session.connected() as client:
        stopped = client.cancel(job)
        session.show(stopped, lambda: display.job(stopped))


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="A model or a pipeline.")],
    subset: Annotated[str, typer.Option(help="train, val or test; else test.")] = "",
    dataset: Annotated[str, typer.Option(help="Another data set to measure on.")] = "",
    no_wait: arguments.NoWait = False,
    save: arguments.SaveTo = None,
) -> None:
    """Measure a model on images."""
    with session.connected() as client:
        job = session.finish(client, client.evaluate(name, subset, dataset), no_wait)
        if job.HasField("evaluation"):
            session.show(job.evaluation, lambda: evaluations.evaluation(job.evaluation))
            session.save_plots(client, job.name, job.evaluation.plots, save)


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="A model or a pipeline.")],
    images: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Images.")],
    overlay: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for pictures of the answers.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder for masks, as PNG; the output is without them."),
    ] = None,
    mask_format: Annotated[
        MaskFormat | None, typer.Option(help="How masks are sent, for --json; else as rle.")
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
    format: Annotated[  # noqa: A002
        LabelFormat | None,
        typer.Option(help="Write objects, with copies of the images, as a data set to --output."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", file_okay=False, help="New folder for the data set."),
    ] = None,
) -> None:
    """Ask a model what it sees in images."""
    arguments.check_labels(name, format, output, mask_format)
    wanted = prediction_pb2.PredictOptions(
        overlay=overlay is not None,
        mask_format=MASK_FORMATS[mask_format],
        score_threshold=threshold,
        top_k=top_k,
        max_results=max_results,
        tiling=tiling,
    )
    width = max(len(str(path)) for path in images)
    failed = False
    for folder in (overlay, masks):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    with session.connected() as client, ExitStack() as opened:
        labels = None
        if format and output:
            labeler = client.model(client.model_of(name))
            name = labeler.name
            labels = opened.enter_context(Labels(output, format, labeler.classes))
        for batch, response in predict_files(client, name, images, wanted):
            for path, seen in zip(batch, response.predictions, strict=True):
                if labels and not seen.HasField("error"):
                    labels.add(path, seen)
                drawn = answers.save_overlay(seen, path, overlay) if overlay else None
                saved = answers.save_masks(seen, path, masks) if masks else None
                if drawn:
                    console.note(f"Saved {drawn}")
                if saved:
                    more = f" and {len(saved) - 1} more masks" if len(saved) > 1 else ""
                    console.note(f"Saved {saved[0]}{more}")
                if session.options.as_json:
                    as_json.print_line(answers.fields(path, response.model, seen, saved))
                else:
                    answers.show(path, seen, width)
                failed = failed or seen.HasField("error")
    if output:
        console.note(f"Saved {output}")
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model, a pipeline or a data set.")],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="File to write.")],
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            help="Of a model onnx or safetensors. Of a data set coco or yolo, or what its task "
            "has. Else the first that there is."
        ),
    ] = "",
) -> None:
    """Write a model or a data set in another format, and save the file."""
    with session.connected() as client:
        queue = client.export_dataset if "/datasets/" in name else client.export
        job = session.finish(client, queue(name, format), no_wait=False)
        client.download(job.name, job.export.uri, output)
        session.show(job.export, lambda: console.note(f"Saved {output}"))


@app.command()
def delete(name: Annotated[str, typer.Argument(help="A data set, pipeline or model.")]) -> None:
    """Delete a data set, a pipeline or a model."""
    with session.connected() as client:
        client.delete(name)


@app.command()
def datasets(task: arguments.AllTasks = "-", limit: arguments.Limit = 20) -> None:
    """List data sets."""
    _list("datasets", task, limit)


@app.command()
def pipelines(task: arguments.AllTasks = "-", limit: arguments.Limit = 20) -> None:
    """List pipelines."""
    _list("pipelines", task, limit)


@app.command()
def jobs(task: arguments.AllTasks = "-", limit: arguments.Limit = 20) -> None:
    """List jobs."""
    _list("jobs", task, limit)


@app.command()
def models(task: arguments.AllTasks = "-", limit: arguments.Limit = 20) -> None:
    """List models."""
    _list("models", task, limit)


@app.command()
def architectures(
    name: Annotated[str, typer.Argument(help="Show the settings of this one.")] = "",
    task: arguments.AllTasks = "-",
) -> None:
    """List what can be trained; with a name, its settings."""
    with session.connected() as client:
        found: list[Any] = client.list("architectures", task, 1000)
    if not name:
        session.show_all(found, lambda: display.listing("architectures", found))
        return
    by_name = {architecture.name: architecture for architecture in found}
    if name not in by_name:
        raise typer.BadParameter(f"{name} is none of {', '.join(by_name)}.")
    session.show(by_name[name], lambda: display.settings(by_name[name]))


def main() -> None:
    """Run the command; every foreseeable failure is one message and an exit status."""
    try:
        app()
    except JobFailed as error:
        # The worker's log is for what the server cannot explain; the rest, a user can mend.
        log = error.log if error.code == "INTERNAL" else ""
        console.failure(error.message, error.reason, log)
        sys.exit(1)
    except CallFailed as error:
        console.failure(error.message, error.reason)
        sys.exit(3 if error.unreachable else 1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        console.failure(f"{place}{error.strerror or error}")
        sys.exit(1)


def _list(collection: str, task: str, limit: int) -> None:
    with session.connected() as client:
        found = client.list(collection, task, limit)
    session.show_all(found, lambda: display.listing(collection, found))
