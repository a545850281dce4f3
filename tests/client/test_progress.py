"""How far uploads and jobs are."""

from pathlib import Path

from client import console, progress
from nocode.vision.v1 import job_pb2


def test_an_upload_shows_its_file_as_it_is(capsys):
    """Beside the bar."""
    with progress.upload_bar(Path("data/photos [new].zip")) as tell:
        tell(1, 2)

    assert "photos [new].zip" in capsys.readouterr().err


def running(**metrics):
    """A training whose last epoch ended with some numbers."""
    job = job_pb2.Job(state=job_pb2.Job.STATE_RUNNING)
    job.progress.phase = "Training"
    job.progress.epoch, job.progress.epoch_count = 3, 10
    job.progress.metrics["loss"] = 0.25
    job.progress.images_per_second = 12
    job.history.add(epoch=2).metrics.update(metrics)
    return job


def test_metrics_of_an_epoch_are_words(capsys):
    """Where there is no terminal, in a line for each epoch."""
    progress.follow([running(val_mean_iou=0.61234, val_mask_ap=0.5, val_ap50=0.75, loss=1)])

    line = capsys.readouterr().err
    assert line == ("Training 3/10  loss 1  val AP50 0.75  val mask AP 0.5  val mean IoU 0.6123\n")


def test_the_bar_shows_what_validation_found_last(capsys, monkeypatch):
    """Beside the numbers of the step; other numbers of the epoch would be older than those."""
    monkeypatch.setattr(console.err, "_force_terminal", True)
    monkeypatch.setattr(console.err, "width", 200)

    progress.follow([running(val_mean_iou=0.61234, loss=1)])

    shown = capsys.readouterr().err
    assert "loss 0.25  val mean IoU 0.6123  12 images/s" in shown
    assert "loss 1" not in shown
