"""What a runner reports, and how it hears that it should stop."""

import pytest

from common.jobs import context as contexts
from common.jobs.context import Cancelled, JobContext
from nocode.vision.v1 import finding_pb2
from nocode.vision.v1 import job_pb2 as pb


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(contexts, "time", clock)
    return clock


@pytest.fixture
def context(tmp_path):
    class Settings:
        work_dir = tmp_path

    job = pb.Job(name="tasks/classification/jobs/a")
    return JobContext(job, task=None, bucket=None, settings=Settings())


def test_what_is_not_said_again_stays(context):
    context.progress(phase="Training", epoch=1, epoch_count=5, step=2, step_count=10)
    context.progress(step=3, metrics={"loss": 0.5, "learning_rate": 0.1})
    context.progress(epoch=2, step=0, images_per_second=7.5, metrics={"loss": 0.25})

    progress = context.job.progress
    assert (progress.epoch, progress.epoch_count) == (2, 5)
    assert (progress.step, progress.step_count) == (0, 10)
    assert progress.images_per_second == 7.5
    assert dict(progress.metrics) == {"loss": 0.25, "learning_rate": 0.1}


def test_a_new_phase_starts_from_nothing(context):
    context.progress(phase="Training", epoch=3, epoch_count=5, metrics={"loss": 0.5})
    context.progress(phase="Testing", step=1)

    assert context.job.progress == pb.JobProgress(phase="Testing", step=1)


@pytest.mark.parametrize(
    ("first", "later", "left_s"),
    [
        pytest.param({"step": 0, "step_count": 100}, {"step": 25}, 30, id="steps"),
        pytest.param(
            {"epoch": 1, "epoch_count": 4, "step": 0, "step_count": 10},
            {"epoch": 3, "step": 0},
            10,
            id="epochs",
        ),
        pytest.param(
            # resumed at 8 of 10 epochs: one took 10 s, so one is left
            {"epoch": 9, "epoch_count": 10},
            {"epoch": 10},
            10,
            id="resumed",
        ),
        pytest.param({"step": 0}, {"step": 5}, None, id="end unknown"),
        pytest.param({"step": 5, "step_count": 10}, {"step": 5}, None, id="no step done yet"),
        pytest.param({"step": 0, "step_count": 9}, {"step": 1, "eta_s": 1.5}, 1.5, id="told"),
    ],
)
def test_time_left_is_estimated_from_what_was_done(context, clock, first, later, left_s):
    context.progress(phase="Training", **first)
    clock.now += 10.0
    context.progress(**later)

    progress = context.job.progress
    assert progress.HasField("eta") == (left_s is not None)
    if left_s is not None:
        assert progress.eta.ToMilliseconds() == pytest.approx(left_s * 1000)


def test_an_epoch_done_again_replaces_what_the_dead_attempt_left(context):
    """It had got to epoch 3; the last checkpoint was of epoch 1."""
    for epoch in (1, 2, 3):
        context.add_history(epoch, {"loss": epoch}, ended_s=10.5 * epoch)
    context.add_history(2, {"loss": 20.0}, ended_s=50.0)

    assert [(e.epoch, e.metrics["loss"]) for e in context.job.history] == [(1, 1.0), (2, 20.0)]
    assert [e.end_time.ToMilliseconds() for e in context.job.history] == [10_500, 50_000]


def test_a_finding_told_again_is_told_once(context):
    context.add_finding(finding_pb2.Finding(id="A", count=1))
    context.add_finding(finding_pb2.Finding(id="B", count=1))
    context.add_finding(finding_pb2.Finding(id="A", count=2))

    assert [(f.id, f.count) for f in context.job.findings] == [("B", 1), ("A", 2)]


def test_a_stop_is_heard_at_the_next_report(context):
    context.progress(phase="Training")
    context.check_cancelled()

    context.request_stop()

    with pytest.raises(Cancelled):
        context.check_cancelled()
    with pytest.raises(Cancelled):
        context.progress(step=7)
    assert context.job.progress.step == 7


def test_reports_reach_the_stored_job_and_nothing_else_does(context):
    context.progress(phase="Training", step=3)
    context.add_history(1, {"loss": 1.0}, ended_s=1.0)
    context.add_finding(finding_pb2.Finding(id="A", count=1))
    stored = pb.Job(name=context.job.name, state=pb.Job.STATE_CANCELLING, owner="me")
    stored.progress.phase = "old"

    context.write_into(stored)

    assert stored.progress.phase == "Training"
    assert len(stored.history) == len(stored.findings) == 1
    assert (stored.state, stored.owner) == (pb.Job.STATE_CANCELLING, "me")


def test_a_job_has_a_folder_and_keys_of_its_own(context, tmp_path):
    assert context.work_dir.is_dir()
    assert context.work_dir.is_relative_to(tmp_path)
    assert context.key("checkpoint/a") == "tasks/classification/jobs/a/checkpoint/a"
