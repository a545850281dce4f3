"""`GetTrackingUrl`, as far as no tracking server is needed for it: the ids are in the bucket."""

from __future__ import annotations

import pytest

from common import names
from common.catalog.models import Models
from common.errors import InvalidInput, NotFound, WrongState
from common.jobs.store import Jobs
from common.reasons import Reason
from common.settings import ServiceSettings
from common.storage import resources
from common.tracking.pages import pages, remember
from nocode.vision.v1 import job_pb2, model_pb2, pipeline_pb2
from services.classification.task import ClassificationTask

PARENT = "tasks/classification"
JOB = names.parse(f"{PARENT}/jobs/trained", "jobs")


@pytest.fixture
def models(bucket, storage_settings):
    """Makes what a service with a tracking server has, in which one job was tracked."""

    def make(**settings: str) -> Models:
        settings = {"mlflow_tracking_uri": "http://mlflow:5000"} | settings
        shown = pages(bucket, ServiceSettings(**storage_settings.model_dump(), **settings))
        return Models(bucket, [ClassificationTask()], Jobs(bucket, queue_size=3), shown)

    return make


@pytest.fixture(autouse=True)
def known(bucket):
    """A pipeline, its model, the job that made it, and one that was not tracked."""
    pipeline = f"{PARENT}/pipelines/p"
    resources.pipelines(bucket).create(pipeline, pipeline_pb2.Pipeline(name=pipeline))
    model = f"{PARENT}/models/m"
    resources.models(bucket).create(model, model_pb2.Model(name=model, job=str(JOB)))
    for job in (str(JOB), f"{PARENT}/jobs/untold"):
        resources.jobs(bucket).create(job, job_pb2.Job(name=job))
    remember(bucket, JOB, experiment_id="3", run_id="abc")


@pytest.mark.parametrize(
    ("name", "page"),
    [
        (PARENT, "3/runs"),
        (f"{PARENT}/jobs/trained", "3/runs/abc"),
        (f"{PARENT}/models/m", "3/runs/abc"),
        (
            f"{PARENT}/pipelines/p",
            "3/runs?searchFilter=tags.%60nocode.pipeline%60%20%3D%20%27"
            "tasks%2Fclassification%2Fpipelines%2Fp%27",
        ),
    ],
)
def test_whatever_was_tracked_has_a_page(models, name, page):
    """At the address where browsers find the server, which may not be that of the workers."""
    assert models().tracking_url(name) == f"http://mlflow:5000/#/experiments/{page}"
    public = models(mlflow_ui_url="https://example.com/mlflow/")
    assert public.tracking_url(name) == f"https://example.com/mlflow/#/experiments/{page}"


def test_without_a_tracking_server_there_are_no_pages(models):
    """Even if there was one once."""
    with pytest.raises(WrongState) as caught:
        models(mlflow_tracking_uri="").tracking_url(PARENT)

    assert caught.value.reason == Reason.TRACKING_OFF


@pytest.mark.parametrize("collection", ["pipelines", "models", "jobs"])
def test_what_does_not_exist_has_no_page(models, collection):
    """As everywhere."""
    with pytest.raises(NotFound) as caught:
        models().tracking_url(f"{PARENT}/{collection}/gone")

    assert caught.value.details["name"] == f"{PARENT}/{collection}/gone"


def test_a_job_of_which_nothing_was_told_is_named(models):
    """Such as an import."""
    with pytest.raises(
        NotFound, match="told nothing of tasks/classification/jobs/untold"
    ) as caught:
        models().tracking_url(f"{PARENT}/jobs/untold")

    assert caught.value.reason == Reason.RESOURCE_NOT_FOUND


def test_a_task_of_another_service_is_refused(models):
    """The gateway would not have asked."""
    with pytest.raises(InvalidInput, match="this service serves classification"):
        models().tracking_url("tasks/detection")
