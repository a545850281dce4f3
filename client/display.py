"""What the command shows: tables on standard output, progress and errors on standard error."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from nocode.vision.v1 import evaluation_pb2, finding_pb2, job_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from google.protobuf.message import Message

    from nocode.vision.v1 import dataset_pb2, model_pb2, pipeline_pb2, prediction_pb2

# Names come from users: in `dog [male]` and `:dog:` nothing is markup.
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = 200  # a file or a pipe folds nothing, and rich would say 80

SEVERITY_STYLES = {
    finding_pb2.Finding.SEVERITY_ERROR: "red",
    finding_pb2.Finding.SEVERITY_WARNING: "yellow",
    finding_pb2.Finding.SEVERITY_INFO: "cyan",
}


def note(text: str) -> None:
    """Say something that is not the result."""
    err.print(text)


def failure(message: str, reason: str = "", log: str = "") -> None:
    """Say what went wrong."""
    if log:
        err.print(log, style="dim")
    err.print(f"Error: {message}" + (f" [{reason}]" if reason else ""), style="red")


@contextmanager
def upload_bar(path: Path) -> Iterator[Callable[[int, int], None]]:
    """Show how much of `path` is sent; gives the function to call with bytes sent and in all."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
    ) as bar:
        task = bar.add_task(f"Uploading {path.name}", total=None)
        yield lambda sent, size: bar.update(task, completed=sent, total=size)


def follow(states: Iterable[job_pb2.Job]) -> job_pb2.Job:
    """Show a bar with time left while a job runs; return its last state.

    Where standard error is no terminal, a line is printed for each phase and epoch instead.
    """
    job = job_pb2.Job()
    if not err.is_terminal:
        said = ""
        for job in states:
            if (text := _milestone(job)) != said:
                said = text
                note(text)
        return job
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}", markup=False),
        TextColumn("{task.fields[metrics]}", style="dim", markup=False),
        console=err,
    ) as bar:
        task = bar.add_task("Waiting", total=None, eta="", metrics="")
        for job in states:
            done, total = _done(job)
            bar.update(
                task,
                description=_phase(job),
                completed=done,
                total=total or None,
                eta=_eta(job),
                metrics=_values(job.progress),
            )
    return job


def findings(found: Sequence[finding_pb2.Finding]) -> None:
    """List findings, if there are any."""
    for finding in found:
        style = SEVERITY_STYLES.get(finding.severity, "")
        err.print(f"{finding.id} ({finding.count})", style=style, end=" ")
        examples = ", ".join(finding.examples[:3])
        more = ", …" if len(finding.examples) > 3 else ""
        err.print(finding.message + (f" E.g. {examples}{more}" if examples else ""))


def dataset(data: dataset_pb2.Dataset) -> None:
    """Show a data set: its classes, and what the import noticed."""
    table = Table(title=f"{data.name}: {data.image_count} images, {data.format}")
    table.add_column("class")
    table.add_column("images", justify="right")
    # An image of a class may show several objects of it, unless the class is of the whole image.
    has_objects = any(count.object_count > count.image_count for count in data.class_counts)
    if has_objects:
        table.add_column("objects", justify="right")
    for count in data.class_counts:
        objects = [str(count.object_count)] if has_objects else []
        table.add_row(count.class_name, str(count.image_count), *objects)
    out.print(table)
    if data.given_splits:
        splits = ", ".join(f"{split.subset} {split.image_count}" for split in data.given_splits)
        out.print(f"Splits in the data: {splits}")
    findings(data.findings)


def model(trained: model_pb2.Model) -> None:
    """Show a model and how it does on images it never saw."""
    out.print(
        f"{trained.name}: {trained.architecture}, {trained.parameter_count:,} weights, "
        f"best epoch {trained.best_epoch}",
    )
    evaluation(trained.evaluation)


def job(shown: job_pb2.Job) -> None:
    """Show a job in a line, and its result."""
    state = job_pb2.Job.State.Name(shown.state).removeprefix("STATE_")
    result = shown.dataset or shown.model or shown.export.uri
    out.print(f"{shown.name}  {state}  {result}".rstrip())
    if shown.HasField("evaluation"):
        evaluation(shown.evaluation)


def evaluation(measured: evaluation_pb2.Evaluation) -> None:
    """Show an evaluation: every single number, then a table for each class."""
    kind = measured.WhichOneof("metrics")
    if kind is None:
        return
    subset = measured.subset or measured.dataset
    table = Table(title=f"{measured.image_count} images ({subset})")
    for heading in ("metric", "value", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    metrics: Any = getattr(measured, kind)
    for name, value, interval in _scalars(metrics):
        span = f"{interval.low:.4f} – {interval.high:.4f}" if interval else ""
        table.add_row(name, _number(value), span)
    out.print(table)
    for rows in _class_tables(metrics):
        out.print(rows)


def prediction(path: Path, seen: prediction_pb2.Prediction, width: int) -> None:
    """Show what a model saw in an image, in a line whose first column is `width` wide.

    Objects follow in a table.
    """
    out.print(f"{path!s:{width}}  {_answer(seen)}")
    objects = _objects(seen)
    if not objects:
        return
    table = Table("class")
    for heading in ("score", "xmin", "ymin", "xmax", "ymax"):
        table.add_column(heading, justify="right")
    for one in objects:
        sides = (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax)
        table.add_row(one.class_name, f"{one.score:.3f}", *(f"{side:.1f}" for side in sides))
    out.print(table)


def listing(collection: str, found: Sequence[Any]) -> None:
    """Show a list as a table."""
    columns: dict[str, dict[str, Callable[[Any], str]]] = {
        "datasets": {
            "name": lambda d: d.name,
            "images": lambda d: str(d.image_count),
            "classes": lambda d: str(len(d.classes)),
            "format": lambda d: d.format,
            "created": _created,
        },
        "pipelines": {
            "name": lambda p: p.name,
            "architecture": lambda p: p.architecture,
            "dataset": lambda p: p.dataset.rsplit("/", 1)[-1],
            "model": lambda p: p.model.rsplit("/", 1)[-1],
            "created": _created,
        },
        "jobs": {
            "name": lambda j: j.name,
            "kind": lambda j: job_pb2.Job.Kind.Name(j.kind).removeprefix("KIND_"),
            "state": lambda j: job_pb2.Job.State.Name(j.state).removeprefix("STATE_"),
            "note": lambda j: _sentence(j.error.message) or j.waiting_reason or _phase(j),
            "created": _created,
        },
        "models": {
            "name": lambda m: m.name,
            "architecture": lambda m: m.architecture,
            "classes": lambda m: str(len(m.classes)),
            "held-out": lambda m: _headline(m.evaluation),
            "created": _created,
        },
        "architectures": {
            "name": lambda a: a.name,
            "task": lambda a: a.task.removeprefix("tasks/"),
            "weights": lambda a: f"{a.parameter_count / 1e6:.1f} M",
            "image px": lambda a: str(a.recipe.image_size_px),
        },
    }
    table = Table()
    for heading in columns[collection]:
        # A name is for the next command: it is never cut, however narrow the terminal is.
        table.add_column(heading, no_wrap=heading == "name", overflow="fold")
    for message in found:
        table.add_row(*(cell(message) for cell in columns[collection].values()))
    out.print(table)


def settings(architecture: pipeline_pb2.Architecture) -> None:
    """Show what may be set for an architecture."""
    table = Table(title=f"{architecture.display_name}, {architecture.paper_uri}")
    table.add_column("setting", no_wrap=True)
    for heading in ("default", "allowed", ""):
        table.add_column(heading, overflow="fold")
    for setting in architecture.settings:
        default = setting.default_value
        value = default.string_value or f"{default.number_value:.10g}"
        allowed = ", ".join(setting.choices) or f"{setting.minimum:.10g} to {setting.maximum:.10g}"
        if setting.multiple_of:
            allowed += f", a multiple of {setting.multiple_of}"
        table.add_row(setting.field, value, allowed, setting.help)
    out.print(table)


def _phase(job: job_pb2.Job) -> str:
    if job.state == job_pb2.Job.STATE_QUEUED:
        return f"Queued: {job.waiting_reason}" if job.waiting_reason else "Queued"
    if job.state not in (job_pb2.Job.STATE_RUNNING, job_pb2.Job.STATE_UNSPECIFIED):
        return job_pb2.Job.State.Name(job.state).removeprefix("STATE_").capitalize()
    progress = job.progress
    if progress.epoch:
        return f"{progress.phase or 'Training'} {progress.epoch}/{progress.epoch_count}"
    return progress.phase or "Starting"


def _milestone(job: job_pb2.Job) -> str:
    values = ""
    if job.history and job.progress.epoch:
        latest = job.history[-1].metrics
        values = "  " + "  ".join(f"{name} {latest[name]:.4g}" for name in sorted(latest))
    return _phase(job) + values


def _done(job: job_pb2.Job) -> tuple[float, float]:
    progress = job.progress
    if job.state == job_pb2.Job.STATE_SUCCEEDED:
        return 1, 1
    if progress.epoch:
        within = progress.step / progress.step_count if progress.step_count else 0
        return progress.epoch - 1 + within, progress.epoch_count
    return progress.step, progress.step_count


def _eta(job: job_pb2.Job) -> str:
    if not job.progress.HasField("eta") or job.state != job_pb2.Job.STATE_RUNNING:
        return ""
    minutes, seconds = divmod(job.progress.eta.seconds, 60)
    return f"{minutes}:{seconds:02d} left"


def _values(progress: job_pb2.JobProgress) -> str:
    values = [f"{name} {progress.metrics[name]:.4g}" for name in sorted(progress.metrics)]
    if progress.images_per_second:
        values.append(f"{progress.images_per_second:.0f} images/s")
    return "  ".join(values)


def _sentence(text: str) -> str:
    """Return the first sentence: a list has a line for each."""
    first, stop, _ = text.partition(". ")
    return first + stop.strip()


def _created(message: Any) -> str:
    return str(message.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"))


def _scalars(
    metrics: Message,
) -> Iterator[tuple[str, float, evaluation_pb2.ConfidenceInterval | None]]:
    """Walk a metrics message: every number in it or in a message of it, with its interval."""
    intervals: Any = getattr(metrics, "confidence_intervals", {})
    for field in metrics.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        value: Any = getattr(metrics, field.name)
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            yield field.name, value, intervals.get(field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and metrics.HasField(field.name):
            for name, number, own in _scalars(value):
                path = f"{field.name}.{name}"
                yield path, number, own or intervals.get(path)


def _class_tables(metrics: Message, title: str = "") -> Iterator[Table]:
    """Give a table for each list of classes in a metrics message or in a message of it."""
    for field in metrics.DESCRIPTOR.fields:
        value: Any = getattr(metrics, field.name)
        if field.name == "per_class":
            descriptor: Any = field.message_type
            yield _class_table(value, descriptor.fields, title)
        elif (
            field.type == FieldDescriptor.TYPE_MESSAGE
            and not field.is_repeated
            and metrics.HasField(field.name)
        ):
            yield from _class_tables(value, field.name)


def _class_table(rows: Any, fields: Any, title: str) -> Table:
    table = Table(title=title or None)
    for field in fields:
        is_text = field.type == FieldDescriptor.TYPE_STRING
        table.add_column(field.name, justify="left" if is_text else "right")
    for row in rows:
        values = [getattr(row, field.name) for field in fields]
        table.add_row(*(_number(v) if isinstance(v, float) else str(v) for v in values))
    return table


def _number(value: float) -> str:
    """Write a metric; below 0 is what COCO says where there is nothing to measure on."""
    return f"{value:.4f}" if value >= 0 else "–"


def _headline(measured: evaluation_pb2.Evaluation) -> str:
    """Return the first number of an evaluation, with its name."""
    kind = measured.WhichOneof("metrics")
    if kind is None:
        return ""
    name, value, _ = next(_scalars(getattr(measured, kind)))
    return f"{name.rpartition('.')[2]} {_number(value)}"


def _answer(prediction: prediction_pb2.Prediction) -> str:
    if prediction.HasField("error"):
        return f"error: {prediction.error.message}"
    if prediction.HasField("classification"):
        classes = prediction.classification.classes
        return ", ".join(f"{item.class_name} {item.score:.3f}" for item in classes)
    if objects := _objects(prediction):
        counts = Counter(one.class_name for one in objects)
        return ", ".join(f"{count} × {name}" for name, count in counts.most_common())
    regions = prediction.semantic_segmentation.regions
    return ", ".join(region.class_name for region in regions) or "nothing"


def _objects(prediction: prediction_pb2.Prediction) -> Sequence[Any]:
    """Return the objects of an answer, if it has such."""
    kind = prediction.WhichOneof("result") or "detection"
    return getattr(getattr(prediction, kind), "objects", [])
