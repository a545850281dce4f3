"""What a job has made, and what it leaves when it ends without a result.

An import has made its data set, and a training its model, once the document of that resource is
written, which is the last thing they write. From then on the job has succeeded, whatever befalls
its worker; before, everything under the resource's name is rubbish of this job's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from common import names
from common.errors import NotFound
from common.storage import resources
from common.storage.bucket import KeyMissing
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from common.storage.bucket import Bucket

# Folders of a job that are of no use once it has ended, and of no use unless it succeeded.
_ALWAYS = ("checkpoint/",)
_WITHOUT_RESULT = ("evaluation/", "plots/")


def committed(bucket: Bucket, job: pb.Job) -> str:
    """Return the name of the data set or model that the job has made; empty if it has not."""
    try:
        if job.kind == pb.Job.KIND_IMPORT:
            dataset = resources.datasets(bucket).get(job.import_spec.dataset)
            return dataset.name if dataset.job == job.name else ""
        if job.kind == pb.Job.KIND_TRAIN:
            model = resources.models(bucket).get(job.train_spec.model)
            return model.name if model.job == job.name else ""
    except NotFound:
        pass
    return ""


def left_checkpoint(bucket: Bucket, job: str, attempt: int) -> bool:
    """Whether an attempt at a training got so far that the next one begins behind its beginning.

    `common.training.checkpoints` says what a checkpoint is.
    """
    try:
        latest = json.loads(bucket.get(f"{job}/checkpoint/latest.json"))
    except KeyMissing:
        return False
    return bool(latest.get("attempt") == attempt)


def discard(bucket: Bucket, job: pb.Job) -> None:
    """Delete everything that a job without a result has left, if it is the job's own.

    May be called again, also for a job that left nothing.
    """
    if job.kind == pb.Job.KIND_IMPORT:
        _discard_dataset(bucket, job)
    elif job.kind == pb.Job.KIND_TRAIN and not resources.models(bucket).exists(
        job.train_spec.model
    ):
        bucket.delete_prefix(f"{job.train_spec.model}/")
    elif job.kind == pb.Job.KIND_EXPORT:
        job_id = names.parse(job.name, "jobs").id
        exported = job.export_spec.model or job.export_spec.dataset
        bucket.delete_prefix(f"{exported}/exports/{job_id}/")
    for folder in (*_ALWAYS, *_WITHOUT_RESULT):
        bucket.delete_prefix(f"{job.name}/{folder}")


def tidy(bucket: Bucket, job: pb.Job) -> None:
    """Delete what a job that succeeded needs no more."""
    for folder in _ALWAYS:
        bucket.delete_prefix(f"{job.name}/{folder}")


def _discard_dataset(bucket: Bucket, job: pb.Job) -> None:
    """Delete a half data set; what keeps others from using its id goes last."""
    prefix = f"{job.import_spec.dataset}/"
    try:
        reserved_by = bucket.get(f"{prefix}reserved").decode()
    except KeyMissing:
        return
    if reserved_by == job.name and not resources.datasets(bucket).exists(job.import_spec.dataset):
        bucket.delete_prefix(f"{prefix}shards/")
        bucket.delete_prefix(prefix)
