"""What the command shows of resources: tables on standard output, findings on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from client.console import err, out, share
from client.evaluations import evaluation, headline
from client.progress import phase
from nocode.vision.v1 import finding_pb2, job_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nocode.vision.v1 import dataset_pb2, model_pb2, pipeline_pb2

SEVERITY_STYLES = {
    finding_pb2.Finding.SEVERITY_ERROR: "red",
    finding_pb2.Finding.SEVERITY_WARNING: "yellow",
    finding_pb2.Finding.SEVERITY_INFO: "cyan",
}


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
    pixels = sum(count.pixel_count for count in data.class_counts)
    if has_objects:
        table.add_column("objects", justify="right")
    if pixels:
        table.add_column("pixels", justify="right")
    for count in data.class_counts:
        cells = [str(count.object_count)] if has_objects else []
        cells += [share(count.pixel_count, pixels)] if pixels else []
        table.add_row(count.class_name, str(count.image_count), *cells)
    out.print(table)
    if data.format_reason:
        out.print(f"Read as {data.format}, since {data.format_reason}.")
    if data.derivation:
        out.print(data.derivation)
    if data.mapped_classes:
        out.print(_mapping(data))
    if data.given_splits:
        splits = ", ".join(f"{split.subset} {split.image_count}" for split in data.given_splits)
        out.print(f"Splits in the data: {splits}")
    findings(data.findings)


def _mapping(data: dataset_pb2.Dataset) -> Table:
    pixels = sum(one.pixel_count for one in data.mapped_classes)
    table = Table("in the data", "here")
    for heading in ("images", "pixels" if pixels else "objects"):
        table.add_column(heading, justify="right")
    for one in data.mapped_classes:
        amount = one.pixel_count if pixels else one.object_count
        table.add_row(one.source, one.target or "(dropped)", str(one.image_count), str(amount))
    return table


def formats(found: Sequence[dataset_pb2.DatasetFormat]) -> None:
    """Show formats in full: what they look like, how they are known, what is read."""
    for one in found:
        out.print(f"{one.name}, for {one.task.removeprefix('tasks/')}", style="bold")
        out.print(f"  {one.description}.")
        for line in one.layout.splitlines():
            out.print(f"      {line}")
        about = {"Detected by": one.detection, "Kept": one.kept, "Dropped": one.dropped}
        for heading, text in about.items():
            if text:
                out.print(f"  {heading}: {text}")


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
    result = result or ("validated" if shown.HasField("validated") else "")
    out.print(f"{shown.name}  {state}  {result}".rstrip())
    if shown.HasField("evaluation"):
        evaluation(shown.evaluation)


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
            "note": lambda j: _sentence(j.error.message) or j.waiting_reason or phase(j),
            "created": _created,
        },
        "models": {
            "name": lambda m: m.name,
            "architecture": lambda m: m.architecture,
            "classes": lambda m: str(len(m.classes)),
            "held-out": lambda m: headline(m.evaluation),
            "created": _created,
        },
        "architectures": {
            "name": lambda a: a.name,
            "task": lambda a: a.task.removeprefix("tasks/"),
            "weights": lambda a: f"{a.parameter_count / 1e6:.1f} M",
            "image px": lambda a: str(a.recipe.image_size_px),
        },
        "formats": {
            "name": lambda f: f.name,
            "task": lambda f: f.task.removeprefix("tasks/"),
            "how to lay out files": lambda f: f.description,
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


def _sentence(text: str) -> str:
    """Return the first sentence: a list has a line for each."""
    first, stop, _ = text.partition(". ")
    return first + stop.strip()


def _created(message: Any) -> str:
    return str(message.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"))
