"""Where the tracking server shows what it was told: ids in the bucket, and addresses of them.

A worker that has opened a run leaves its ids as `{job}/tracking.json`, and that of the task's
experiment as `tasks/{task}/tracking.json`. So whoever is asked for an address needs no library, and
no answer of the tracking server.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from common.storage.bucket import KeyMissing

if TYPE_CHECKING:
    from common.names import ResourceName
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket

PIPELINE_TAG = "nocode.pipeline"
"""The tag of a run that holds the name of its pipeline."""


class Pages:
    """The addresses of a tracking server, for a browser. Methods return None for what it lacks.

    Args:
        bucket: Where workers keep ids.
        url: The server's address, as browsers see it.
    """

    def __init__(self, bucket: Bucket, url: str) -> None:
        self._bucket = bucket
        self._url = f"{url.rstrip('/')}/#/experiments"

    def task(self, task: str) -> str | None:
        """Return the page of all that was tracked of a task."""
        ids = _read(self._bucket, f"tasks/{task}")
        return f"{self._url}/{ids['experiment_id']}/runs" if ids else None

    def pipeline(self, name: ResourceName) -> str | None:
        """Return the page of the trainings and evaluations of a pipeline."""
        page = self.task(name.task)
        wanted = quote(f"tags.`{PIPELINE_TAG}` = '{name}'", safe="")
        return f"{page}?searchFilter={wanted}" if page else None

    def job(self, name: str) -> str | None:
        """Return the page of a job's run."""
        ids = _read(self._bucket, name)
        return f"{self._url}/{ids['experiment_id']}/runs/{ids['run_id']}" if ids else None


def pages(bucket: Bucket, settings: ServiceSettings) -> Pages | None:
    """Return the pages of the tracking server that is set up; None if there is none."""
    url = settings.mlflow_ui_url or settings.mlflow_tracking_uri
    return Pages(bucket, url) if settings.mlflow_tracking_uri else None


def remember(bucket: Bucket, job: ResourceName, *, experiment_id: str, run_id: str) -> None:
    """Keep the ids of a job's run."""
    _write(bucket, job.parent, {"experiment_id": experiment_id})
    _write(bucket, str(job), {"experiment_id": experiment_id, "run_id": run_id})


def _key(name: str) -> str:
    return f"{name}/tracking.json"


def _read(bucket: Bucket, name: str) -> dict[str, str] | None:
    try:
        ids: dict[str, str] = json.loads(bucket.get(_key(name)))
    except KeyMissing:
        return None
    return ids


def _write(bucket: Bucket, name: str, ids: dict[str, str]) -> None:
    bucket.put(_key(name), json.dumps(ids).encode())
