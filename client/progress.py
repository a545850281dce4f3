"""How far an upload or a job is: a bar on standard error, or lines where it is no terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from client.console import err, note
from nocode.vision.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

# Words of metrics that are not written as others are.
_SPELLED = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR", "f1": "F1", "iou": "IoU",
}  # fmt: skip


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
                description=phase(job),
                completed=done,
                total=total or None,
                eta=_eta(job),
                metrics=_values(job),
            )
    return job


def phase(job: job_pb2.Job) -> str:
    """Return in words where a job is."""
    if job.state == job_pb2.Job.STATE_QUEUED:
        return f"Queued: {job.waiting_reason}" if job.waiting_reason else "Queued"
    if job.state not in (job_pb2.Job.STATE_RUNNING, job_pb2.Job.STATE_UNSPECIFIED):
        return job_pb2.Job.State.Name(job.state).removeprefix("STATE_").capitalize()
    if job.waiting_reason:
        return job.waiting_reason
    progress = job.progress
    if progress.epoch:
        return f"{progress.phase or 'Training'} {progress.epoch}/{progress.epoch_count}"
    return progress.phase or "Starting"


def _milestone(job: job_pb2.Job) -> str:
    values = ""
    if job.history and job.progress.epoch:
        latest = job.history[-1].metrics
        values = "  ".join(["", *_written(latest)])
    return phase(job) + values


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


def _values(job: job_pb2.Job) -> str:
    """Return the numbers of this step, and of the last epoch what validation found."""
    values = list(_written(job.progress.metrics))
    if job.history and job.progress.epoch:
        latest = job.history[-1].metrics
        values += _written({name: latest[name] for name in latest if name.startswith("val_")})
    if job.progress.images_per_second:
        values.append(f"{job.progress.images_per_second:.0f} images/s")
    return "  ".join(values)


def _written(metrics: Mapping[str, float]) -> Iterator[str]:
    for name in sorted(metrics):
        words = " ".join(_SPELLED.get(word, word) for word in name.split("_"))
        yield f"{words} {metrics[name]:.4g}"
