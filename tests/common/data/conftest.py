"""Archives unpacked, and imported as a worker does it, on a real S3 server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from common.catalog.datasets import Datasets
from common.data.archives import Limits, unpack
from common.data.findings import Report
from common.data.importing import run_import
from common.data.reading import DatasetReader
from common.errors import InvalidInput
from common.jobs import cleanup
from common.jobs.context import JobContext
from common.jobs.store import Jobs
from common.settings import ServiceSettings
from nocode.vision.v1 import dataset_pb2 as pb
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from pathlib import Path

    from common.data.manifest import Entry
    from common.storage.bucket import Bucket

PARENT = "tasks/classification"


@dataclass
class Imported:
    """A data set as its reader sees it."""

    dataset: pb.Dataset
    reader: DatasetReader

    @property
    def entries(self) -> list[Entry]:
        return self.reader.entries()

    @property
    def labels(self) -> dict[str, str]:
        """The class of each file."""
        return {e.file: self.dataset.classes[e.annotation["label"]] for e in self.entries}

    @property
    def splits(self) -> dict[str, str | None]:
        return {entry.file: entry.split for entry in self.entries}

    @property
    def findings(self) -> dict[str, list[str]]:
        """The examples of each finding."""
        return {finding.id: list(finding.examples) for finding in self.dataset.findings}


class Importer:
    """Imports archives one after the other."""

    def __init__(self, bucket: Bucket, settings: ServiceSettings) -> None:
        self.bucket = bucket
        self.settings = settings
        self.jobs = Jobs(bucket, queue_size=10_000)
        self.task = ClassificationTask()

    @property
    def datasets(self) -> Datasets:
        return Datasets(self.bucket, self.settings, [self.task], self.jobs)

    def with_settings(self, **values) -> Importer:
        return Importer(self.bucket, self.settings.model_copy(update=values))

    def queue(self, archive: bytes, **request) -> JobContext:
        """Queue an import of an archive that lies in the bucket, and return its work."""
        self.bucket.put("archives/a", archive)
        request.setdefault("source", {"uri": self.bucket.uri("archives/a")})
        job = self.datasets.import_(
            pb.ImportDatasetRequest(parent=f"tasks/{self.task.name}", **request)
        )
        return JobContext(job, task=self.task, bucket=self.bucket, settings=self.settings)

    def __call__(self, archive: bytes, **request) -> Imported:
        """Import an archive; clean up as a worker does if it fails."""
        context = self.queue(archive, **request)
        try:
            name = run_import(context)
        except BaseException:
            cleanup.discard(self.bucket, context.job)
            raise
        finally:
            self.jobs.forget(context.job)
        return Imported(self.datasets.get(name), DatasetReader(self.bucket, name))

    def left_behind(self) -> list[str]:
        """Keys of everything but the archive and the jobs themselves."""
        return [
            stat.key
            for stat in self.bucket.list("")
            if not stat.key.startswith(("archives/", f"{PARENT}/jobs/", f"{PARENT}/index/jobs/"))
        ]


@pytest.fixture
def import_archive(bucket, storage_settings, tmp_path) -> Importer:
    settings = ServiceSettings(**storage_settings.model_dump(), work_dir=tmp_path)
    return Importer(bucket, settings)


@pytest.fixture
def unpacked(tmp_path: Path):
    """Unpack bytes to a dict of contents and the report's findings."""

    def unpacked(content: bytes, **limits):
        (tmp_path / "archive").write_bytes(content)
        report = Report()
        defaults = {"unpacked_bytes": 10_000_000, "members": 1000}
        tree = unpack(tmp_path / "archive", tmp_path / "blob", Limits(**defaults | limits), report)
        with tree:
            files = {path: tree.read(path) for path in tree.files}
            assert all(tree.open(path).read() == files[path] for path in files)
        return files, {finding.id: list(finding.examples) for finding in report.findings()}

    return unpacked


@pytest.fixture
def refusal(unpacked):
    """Return the error that refuses an archive."""

    def refusal(content: bytes, **limits) -> InvalidInput:
        with pytest.raises(InvalidInput) as caught:
            unpacked(content, **limits)
        return caught.value

    return refusal
