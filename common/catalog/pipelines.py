"""Pipelines: what a user sets up once, with its split, and trains as often as needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import names
from common.catalog import requests, splitting, uses
from common.catalog.architectures import Architectures
from common.data import splits
from common.errors import AlreadyExists, InvalidInput, NotFound, WrongState
from common.jobs import states
from common.reasons import Reason
from common.storage import resources
from common.training import recipes
from nocode.vision.v1 import job_pb2
from nocode.vision.v1 import pipeline_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from common.jobs.store import Jobs
    from common.names import ResourceName
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task


def set_model(bucket: Bucket, pipeline: str, model: str) -> None:
    """Note a pipeline's latest model; one deleted in the meantime stays so."""

    def change(resource: pb.Pipeline) -> None:
        resource.model = model

    _update_if_there(bucket, pipeline, change)


def clear_model(bucket: Bucket, pipeline: str, model: str) -> None:
    """Leave a pipeline without a model, if `model` is the one it has."""

    def change(resource: pb.Pipeline) -> None:
        if resource.model == model:
            resource.model = ""

    _update_if_there(bucket, pipeline, change)


def _update_if_there(bucket: Bucket, pipeline: str, change: Callable[[pb.Pipeline], None]) -> None:
    try:
        resources.pipelines(bucket).update(pipeline, change)
    except NotFound:
        return


class Pipelines:
    """The pipelines of a service's tasks. Blocks."""

    def __init__(
        self, bucket: Bucket, tasks: Iterable[Task], jobs: Jobs, settings: ServiceSettings
    ) -> None:
        self._bucket = bucket
        self._settings = settings
        self._tasks = {task.name: task for task in tasks}
        self._jobs = jobs
        self._resources = resources.pipelines(bucket)
        self._datasets = resources.datasets(bucket)
        self._architectures = Architectures(self._tasks.values())

    # Create.

    def create(
        self, task: str, pipeline: pb.Pipeline, *, pipeline_id: str = "", request_id: str = ""
    ) -> pb.Pipeline:
        """Check a pipeline, split its data set and keep both.

        Raises:
            InvalidInput: A field is not what it may be, or the data cannot be split so.
            NotFound: The data set does not exist.
            AlreadyExists: The id is taken.
        """
        requests.check_served(task, self._tasks, field="parent")
        requests.check_length(request_id, requests.MAX_REQUEST_ID_LENGTH, field="request_id")
        if pipeline_id:
            names.check_id(pipeline_id, field="pipeline_id")
        elif request_id:
            pipeline_id = requests.id_from("pipeline", task, request_id)
        name = names.ResourceName(task, "pipelines", pipeline_id or names.new_id("pipeline"))
        asked = self._checked(name, pipeline, request_id)
        if existing := self._find(name):
            return _same(existing, asked)
        dataset = requests.find_dataset(
            self._datasets, asked.dataset, task, field="pipeline.dataset"
        )
        prefix = "pipeline.split_config."
        split = splitting.make(
            self._bucket, self._tasks[task], dataset, asked.split_config, prefix=prefix
        )
        # The order matters for what a crash leaves: the split claims the name, the mark keeps the
        # data set, and the pipeline, written last, makes both count.
        splitting.keep(self._bucket, name, split)
        uses.mark(self._bucket, asked.dataset, name)
        try:
            self._resources.create(str(name), asked)
        except AlreadyExists:
            return _same(self.get(name), asked)
        if not self._datasets.exists(asked.dataset):
            # It was deleted before it was marked as in use.
            self._remove(name, asked)
            raise NotFound(
                Reason.RESOURCE_NOT_FOUND,
                f"pipeline.dataset is {asked.dataset}, which has just been deleted.",
                field="pipeline.dataset",
                name=asked.dataset,
            )
        return asked

    def _checked(self, name: ResourceName, pipeline: pb.Pipeline, request_id: str) -> pb.Pipeline:
        """Return the resource to be, with what the caller may set."""
        requests.check_length(
            pipeline.display_name,
            requests.MAX_DISPLAY_NAME_LENGTH,
            field="pipeline.display_name",
        )
        entry = self._architectures.get(
            name.task, pipeline.architecture, field="pipeline.architecture"
        )
        recipes.validate(entry, pipeline.training_config, prefix="pipeline.training_config.")
        return pb.Pipeline(
            name=str(name),
            display_name=pipeline.display_name,
            architecture=pipeline.architecture,
            dataset=pipeline.dataset,
            training_config=pipeline.training_config,
            split_config=splits.resolve(pipeline.split_config, prefix="pipeline.split_config."),
            request_id=request_id,
        )

    # Read.

    def get(self, name: ResourceName) -> pb.Pipeline:
        """Return a pipeline.

        Raises:
            NotFound: There is none of that name.
        """
        requests.check_served(name.task, self._tasks, field="name")
        return self._resources.get(str(name))

    def _find(self, name: ResourceName) -> pb.Pipeline | None:
        try:
            return self.get(name)
        except NotFound:
            return None

    def list_architectures(
        self, parent: str, page_size: int, page_token: str
    ) -> tuple[list[pb.Architecture], str]:
        """Return a page of what can be trained, best first, and the token of the next page."""
        return self._architectures.list(parent, page_size, page_token)

    def list(self, parent: str, page_size: int, page_token: str) -> tuple[list[pb.Pipeline], str]:
        """Return a page of pipelines, newest first, and the token of the next page."""
        return self._resources.list(list(self._tasks), parent, page_size, page_token)

    def splits(self, name: ResourceName) -> pb.Splits:
        """Return how a pipeline's data set is split.

        Raises:
            NotFound: There is no pipeline of that name.
        """
        self.get(name)
        return splitting.read(self._bucket, str(name))

    # Train.

    def train(self, name: ResourceName, *, request_id: str = "") -> job_pb2.Job:
        """Queue a training.

        Raises:
            NotFound: There is no pipeline of that name.
            WrongState: Published weights are required and cannot be had.
            Exhausted: The queue is full.
        """
        pipeline = self.get(name)
        job_name = self._jobs.name_for(job_pb2.Job.KIND_TRAIN, str(name), request_id)
        if not (request_id and self._jobs.find(job_name)):
            self._check_weights(name.task, pipeline)
        # Named after the job, so that a retry asks for the same model.
        model = names.ResourceName(name.task, "models", f"model-{job_name.id.partition('-')[2]}")
        spec = job_pb2.TrainSpec(pipeline=str(name), model=str(model))
        job = self._jobs.create(job_name, spec, request_id=request_id)
        try:
            self._note_job(name, job)
        except NotFound:
            # It was deleted in the meantime.
            self._jobs.cancel(job_name)
            raise
        return job

    def _check_weights(self, task: str, pipeline: pb.Pipeline) -> None:
        entry = self._architectures.get(task, pipeline.architecture)
        if recipes.resolve(entry, pipeline.training_config).pretrained != "required":
            return
        from common.training import pretrained  # noqa: PLC0415 - brings torch with it

        if not pretrained.available(entry, self._bucket, self._settings):
            raise WrongState(
                Reason.PRETRAINED_UNAVAILABLE,
                f"training_config.pretrained is required, but published weights for {entry.name} "
                "can neither be fetched nor are they in the bucket under weights/. Put them "
                "there, or create a pipeline with pretrained auto or none.",
                field="training_config.pretrained",
                architecture=entry.name,
            )

    def _note_job(self, name: ResourceName, job: job_pb2.Job) -> None:
        """Make a job the pipeline's latest, unless a later one is that already."""

        def change(pipeline: pb.Pipeline) -> None:
            if not pipeline.latest_job or pipeline.latest_job == job.name:
                pipeline.latest_job = job.name
                return
            latest = self._jobs.find(names.parse(pipeline.latest_job, "jobs"))
            if latest is None or (
                latest.create_time.ToNanoseconds() < job.create_time.ToNanoseconds()
            ):
                pipeline.latest_job = job.name

        self._resources.update(str(name), change)

    # Delete.

    def delete(self, name: ResourceName) -> None:
        """Delete a pipeline and its split.

        Raises:
            NotFound: There is none of that name.
            WrongState: A job of it has not ended.
        """
        pipeline = self.get(name)
        for marker in self._jobs.active(name.task):
            job = self._jobs.find(names.parse(marker.job, "jobs"))
            if job and not states.ended(job.state) and self._needs(job, name):
                raise WrongState(
                    Reason.PIPELINE_BUSY,
                    f"{name} cannot be deleted while {job.name} has not ended. Wait for it, or "
                    "cancel it first.",
                    job=job.name,
                )
        self._remove(name, pipeline)

    def _needs(self, job: job_pb2.Job, pipeline: ResourceName) -> bool:
        """Whether a job trains the pipeline, or measures a model of it on its split."""
        if job.kind == job_pb2.Job.KIND_TRAIN:
            return job.train_spec.pipeline == str(pipeline)
        if job.kind == job_pb2.Job.KIND_EVALUATE and job.evaluate_spec.subset:
            try:
                model = resources.models(self._bucket).get(job.evaluate_spec.model)
            except NotFound:
                return False
            return model.pipeline == str(pipeline)
        return False

    def _remove(self, name: ResourceName, pipeline: pb.Pipeline) -> None:
        # The split goes first: once the pipeline is gone, its name may be taken, split and all.
        self._bucket.delete(splitting.key_of(str(name)))
        self._resources.delete(str(name))
        uses.unmark(self._bucket, pipeline.dataset, name)


def _same(existing: pb.Pipeline, asked: pb.Pipeline) -> pb.Pipeline:
    """Return the existing pipeline if the same request has made it.

    Raises:
        AlreadyExists: Another request has.
        InvalidInput: One with the same id, but not the same content, has.
    """
    if not asked.request_id or existing.request_id != asked.request_id:
        raise splitting.taken(names.parse(asked.name))
    fields = ("display_name", "architecture", "dataset", "training_config", "split_config")
    if any(getattr(existing, field) != getattr(asked, field) for field in fields):
        raise InvalidInput(
            Reason.REQUEST_ID_REUSED,
            f"request_id {names.shorten(asked.request_id)!r} was used to make {existing.name}, "
            "with other values. Send another request_id for another pipeline.",
            field="request_id",
            name=existing.name,
        )
    return existing
