"""Models: what trainings have left, and what can be asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import names
from common.catalog import pipelines, requests, splitting
from common.data.manifest import SUBSETS
from common.errors import InvalidInput, NotFound, WrongState
from common.reasons import Reason
from common.storage import resources
from nocode.vision.v1 import job_pb2
from nocode.vision.v1 import model_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from common.jobs.store import Jobs
    from common.names import ResourceName
    from common.storage.bucket import Bucket
    from common.task import Task
    from common.tracking.pages import Pages

EXPORT_FORMATS = ("onnx", "safetensors")


def resolve_model(bucket: Bucket, name: ResourceName) -> ResourceName:
    """Return the model that is meant by a model's name, or by a pipeline's.

    Raises:
        NotFound: There is no pipeline of that name; whether there is such a model is not looked up.
        WrongState: The pipeline has no model.
    """
    if name.collection == "models":
        return name
    pipeline = resources.pipelines(bucket).get(str(name))
    if not pipeline.model:
        raise WrongState(
            Reason.PIPELINE_NOT_TRAINED,
            f"{name} has no model: no training of it has succeeded yet, or its model was deleted. "
            "Train it first.",
            field="name",
            pipeline=name,
        )
    return names.parse(pipeline.model, "models")


class Models:
    """The models of a service's tasks. Blocks.

    Args:
        bucket: Where they are.
        tasks: What the service serves.
        jobs: Where jobs are queued.
        pages: The tracking server's; None if there is none.
    """

    def __init__(
        self, bucket: Bucket, tasks: Iterable[Task], jobs: Jobs, pages: Pages | None
    ) -> None:
        self._bucket = bucket
        self._pages = pages
        self._tasks = [task.name for task in tasks]
        self._jobs = jobs
        self._resources = resources.models(bucket)
        self._datasets = resources.datasets(bucket)

    def get(self, name: ResourceName) -> pb.Model:
        """Return a model.

        Raises:
            NotFound: There is none of that name.
        """
        requests.check_served(name.task, self._tasks, field="name")
        return self._resources.get(str(name))

    def list(self, parent: str, page_size: int, page_token: str) -> tuple[list[pb.Model], str]:
        """Return a page of models, newest first, and the token of the next page."""
        return self._resources.list(self._tasks, parent, page_size, page_token)

    def delete(self, name: ResourceName) -> None:
        """Delete a model, its weights and its exports.

        Its pipeline forgets it first, and its weights go last: whatever cuts this short, nothing
        ever points to a model that is not there, and a model that is there is whole.

        Raises:
            NotFound: There is none of that name.
        """
        model = self.get(name)
        pipelines.clear_model(self._bucket, model.pipeline, model.name)
        self._resources.delete(str(name))
        self._bucket.delete_prefix(f"{name}/")

    # Jobs.

    def evaluate(
        self, name: ResourceName, *, subset: str = "", dataset: str = "", request_id: str = ""
    ) -> job_pb2.Job:
        """Queue the measurement of a model.

        Args:
            name: A model, or a pipeline for its model.
            subset: Of the pipeline's split; empty means test, or all images of `dataset`.
            dataset: Another data set to measure on.
            request_id: A retry with the same one returns the same job.

        Raises:
            InvalidInput: The images are not of a kind that the model can be measured on.
            NotFound: The model, its pipeline or the data set does not exist.
            WrongState: The pipeline has no model, or the subset no images.
            Exhausted: The queue is full.
        """
        requests.check_served(name.task, self._tasks, field="name")
        if subset and subset not in SUBSETS:
            raise InvalidInput(
                Reason.FIELD_NOT_A_CHOICE,
                f"subset is {names.shorten(subset)!r}. Send one of {', '.join(SUBSETS)}, or "
                "nothing for test.",
                field="subset",
                value=names.shorten(subset),
                choices=",".join(SUBSETS),
            )
        if subset and dataset:
            raise InvalidInput(
                Reason.FIELD_NOT_ALLOWED,
                "subset and dataset are both set, but another data set is measured on whole. Send "
                "only one of them.",
                field="subset",
            )
        job_name = self._jobs.name_for(job_pb2.Job.KIND_EVALUATE, str(name), request_id)
        earlier = self._jobs.find(job_name) if request_id else None
        # A retry means the model of the first time, though the pipeline may have a newer one.
        model_name = earlier.evaluate_spec.model if earlier else str(self._resolve(name))
        spec = job_pb2.EvaluateSpec(model=model_name, subset=subset, dataset=dataset)
        if not dataset:
            spec.subset = subset or "test"
            spec.dataset = earlier.evaluate_spec.dataset if earlier else self._measured_on(spec)
        elif not earlier:
            self._check_dataset(spec)
        return self._jobs.create(job_name, spec, request_id=request_id)

    def export(
        self, name: ResourceName, *, export_format: str = "", request_id: str = ""
    ) -> job_pb2.Job:
        """Queue the writing of a model in another format.

        Args:
            name: A model, or a pipeline for its model.
            export_format: One of `EXPORT_FORMATS`; empty means the first.
            request_id: A retry with the same one returns the same job.

        Raises:
            InvalidInput: There is no such format.
            NotFound: The model does not exist.
            WrongState: The pipeline has no model.
            Exhausted: The queue is full.
        """
        requests.check_served(name.task, self._tasks, field="name")
        if export_format and export_format not in EXPORT_FORMATS:
            raise InvalidInput(
                Reason.FIELD_NOT_A_CHOICE,
                f"format is {names.shorten(export_format)!r}. Send one of "
                f"{', '.join(EXPORT_FORMATS)}, or nothing for {EXPORT_FORMATS[0]}.",
                field="format",
                value=names.shorten(export_format),
                choices=",".join(EXPORT_FORMATS),
            )
        job_name = self._jobs.name_for(job_pb2.Job.KIND_EXPORT, str(name), request_id)
        earlier = self._jobs.find(job_name) if request_id else None
        model_name = earlier.export_spec.model if earlier else str(self._resolve(name))
        spec = job_pb2.ExportSpec(model=model_name, format=export_format or EXPORT_FORMATS[0])
        return self._jobs.create(job_name, spec, request_id=request_id)

    def _resolve(self, name: ResourceName) -> ResourceName:
        """Return the model that is meant, which exists."""
        model = resolve_model(self._bucket, name)
        self.get(model)
        return model

    def _measured_on(self, spec: job_pb2.EvaluateSpec) -> str:
        """Return the data set whose split a model is measured on, once it is clear that it can be.

        Raises:
            NotFound: The split is gone.
            WrongState: It has no such images.
        """
        model = self._resources.get(spec.model)
        split = splitting.of_model(self._bucket, model)
        if not getattr(split, spec.subset):
            raise WrongState(
                Reason.SPLIT_INVALID,
                f"The split of {model.pipeline} has no {spec.subset} images. Evaluate on another "
                f"subset or data set, or make a pipeline with a larger {spec.subset}_fraction.",
                field="subset",
                value=spec.subset,
            )
        return model.dataset

    def _check_dataset(self, spec: job_pb2.EvaluateSpec) -> None:
        """Return if a model can be measured on another data set.

        Raises:
            InvalidInput: It is of another task, or has no class that the model knows.
            NotFound: It does not exist.
        """
        model = self._resources.get(spec.model)
        task = names.parse(model.name).task
        dataset = requests.find_dataset(self._datasets, spec.dataset, task, field="dataset")
        if not set(dataset.classes) & set(model.classes):
            raise InvalidInput(
                Reason.CLASSES_DIFFER,
                f"{dataset.name} has no class that {model.name} knows. Its classes are "
                f"{_listed(dataset.classes)}; the model's are {_listed(model.classes)}. Classes "
                "are matched by name: rename them, or train a model on this data set.",
                field="dataset",
                value=dataset.name,
            )

    # Tracking.

    def tracking_url(self, name: str) -> str:
        """Return where the tracking server shows a task, pipeline, model or job.

        Raises:
            InvalidInput: It is not the name of one.
            NotFound: There is none of that name, or nothing of it was tracked.
            WrongState: There is no tracking server.
        """
        parsed = None
        if name.count("/") == 1:
            task = names.parse_task(name, field="name")
        else:
            parsed = names.parse(name, "pipelines", "models", "jobs")
            task = parsed.task
        if self._pages is None:
            raise WrongState(
                Reason.TRACKING_OFF,
                "No tracking server is set up, so there is no page to show. The job's history and "
                "the model's evaluation hold what was measured.",
            )
        requests.check_served(task, self._tasks, field="name")
        url = self._page(self._pages, parsed) if parsed else self._pages.task(task)
        if url is None:
            raise NotFound(
                Reason.RESOURCE_NOT_FOUND,
                f"The tracking server was told nothing of {name}. It is told of trainings and "
                "evaluations that ran since it was set up, once they have begun.",
                field="name",
                value=name,
            )
        return url

    def _page(self, pages: Pages, name: ResourceName) -> str | None:
        if name.collection == "pipelines":
            resources.pipelines(self._bucket).get(str(name))
            return pages.pipeline(name)
        if name.collection == "models":
            return pages.job(self._resources.get(str(name)).job)
        return pages.job(self._jobs.get(name).name)


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(names.shorten(name, 40) for name in classes[:10])
    return f"{shown} and {len(classes) - 10} more" if len(classes) > 10 else shown
