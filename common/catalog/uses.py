"""Which pipelines use a data set: an empty object `{dataset}/used_by/{pipeline}` for each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from common import names
from common.catalog import splitting
from common.storage import resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.names import ResourceName
    from common.storage.bucket import Bucket


def mark(bucket: Bucket, dataset: str, pipeline: ResourceName) -> None:
    """Note that a pipeline uses a data set."""
    bucket.put(_key(dataset, pipeline), b"")


def unmark(bucket: Bucket, dataset: str, pipeline: ResourceName) -> None:
    """Note that it does so no more."""
    bucket.delete(_key(dataset, pipeline))


def users(bucket: Bucket, dataset: ResourceName) -> Iterator[ResourceName]:
    """Yield the pipelines that use a data set, those about to be created included.

    The mark of a pipeline whose creation was cut short does not count.
    """
    pipelines = resources.pipelines(bucket)
    prefix = f"{dataset}/used_by/"
    for stat in bucket.list(prefix):
        pipeline = names.ResourceName(dataset.task, "pipelines", stat.key.removeprefix(prefix))
        is_new = (
            stat.last_modified is None
            or datetime.now(UTC) - stat.last_modified < splitting.ABANDONED
        )
        if is_new or pipelines.exists(str(pipeline)):
            yield pipeline


def _key(dataset: str, pipeline: ResourceName) -> str:
    return f"{dataset}/used_by/{pipeline.id}"
