"""Images trained are counted once, by whoever runs the training."""

import pytest
from prometheus_client import CollectorRegistry

from common.jobs.metrics import JobMetrics
from nocode.vision.v1 import job_pb2 as pb


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return JobMetrics(registry)


def training(image_count, *, name="tasks/t/jobs/j", state=pb.Job.STATE_RUNNING):
    return pb.Job(name=name, kind=pb.Job.KIND_TRAIN, state=state, trained_image_count=image_count)


def counted(registry):
    return registry.get_sample_value("nocode_vision_images_trained_total")


def test_a_training_is_counted_while_it_runs_and_what_is_left_at_its_end(registry, metrics):
    """The last report may come with the end."""
    metrics.started(training(0))
    metrics.active([training(40)], run_here={"tasks/t/jobs/j"})
    while_it_ran = counted(registry)
    metrics.ended(training(100, state=pb.Job.STATE_SUCCEEDED))

    assert while_it_ran == 40
    assert counted(registry) == 100


def test_a_training_of_another_replica_is_counted_there(registry, metrics):
    """Each replica sees the jobs of all."""
    for image_count in (40, 80):
        metrics.active([training(image_count)], run_here={"tasks/t/jobs/other"})

    assert counted(registry) == 0


def test_a_training_that_was_given_back_is_not_counted_twice(registry, metrics):
    """It went on elsewhere, and comes back for its last epochs."""
    metrics.started(training(0))
    metrics.active([training(40)], run_here={"tasks/t/jobs/j"})
    metrics.active([training(400)])
    metrics.active([training(400)], run_here={"tasks/t/jobs/j"})
    metrics.ended(training(450, state=pb.Job.STATE_SUCCEEDED))

    assert counted(registry) == 90
