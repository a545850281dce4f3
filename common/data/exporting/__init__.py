"""Writes a data set in a format that other programs read, one module a format: EXPORT jobs.

The zip goes to the bucket while it is made: memory holds a few images, and the disk the annotation
files. Images are called by their index and what they were called when they were imported, so that
the order of their names is that of the data set.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import time
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from common import names
from common.data.findings import Report
from common.data.manifest import Entry, read_lines
from common.data.reading import DatasetReader
from common.errors import InvalidInput, NotFound
from common.reasons import Reason
from common.settings import MIB
from common.storage import resources
from common.storage.bucket import KeyMissing
from nocode.vision.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from common.jobs.context import JobContext
    from nocode.vision.v1 import dataset_pb2

# Progress is reported after this many images.
_REPORT_EVERY = 64
_KEPT_NAME_LENGTH = 60
# As the formats that are imported begin; see `common.data.images`.
_SUFFIX_OF = (
    (b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"),
    (b"RIFF", ".webp"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"),
)  # fmt: skip
# The smallest time that a zip can hold; equal data sets give equal archives.
_TIME = (1980, 1, 1, 0, 0, 0)


class Part(NamedTuple):
    """A file of the archive to be.

    Attributes:
        path: In the archive.
        content: Pieces, of which a `Path` is a file on disk that holds it.
        packed: Whether to compress it; images are compressed already.
    """

    path: str
    content: Sequence[bytes | Path]
    packed: bool = False


class Row(NamedTuple):
    """An image of the data set.

    Attributes:
        name: Without folder, of a file of its own; their order is that of the images.
        number: What the name begins with.
        entry: Its line in the manifest.
        content: The bytes of the image.
        annotation: As `Task.complete` made it, with the mask if there is one.
    """

    name: str
    number: str
    entry: Entry
    content: bytes
    annotation: Mapping[str, Any]


@dataclass
class Source:
    """What is exported.

    Attributes:
        dataset: The resource.
        rows: The images, in index order; to be read once.
        work_dir: For files on disk.
        left_out: How much of what the format has no place for, by what it is for a person.
    """

    dataset: dataset_pb2.Dataset
    rows: Iterable[Row]
    work_dir: Path
    left_out: Counter[str] = field(default_factory=Counter)


class DatasetExporter(ABC):
    """Writes data sets of a task in a format."""

    name: ClassVar[str]
    """As in `ExportDatasetRequest.format`: that of the format which reads it again."""

    @abstractmethod
    def parts(self, source: Source) -> Iterator[Part]:
        """Yield the files of the archive; count what has no place in them."""


def by_name(exporters: Sequence[DatasetExporter], name: str) -> DatasetExporter:
    """Return the exporter called `name`, or the first if it is empty.

    Raises:
        InvalidInput: There is none of that name.
    """
    for exporter in exporters:
        if name in {exporter.name, ""}:
            return exporter
    choices = [exporter.name for exporter in exporters]
    raise InvalidInput(
        Reason.FIELD_NOT_A_CHOICE,
        f"format is {names.shorten(name)!r}. Send one of {', '.join(choices)}, or nothing for "
        f"{choices[0]}.",
        field="format",
        value=names.shorten(name),
        choices=",".join(choices),
    )


def run(context: JobContext) -> job_pb2.Export:
    """Do an EXPORT job of a data set.

    Raises:
        NotFound: The data set has been deleted.
        Internal: Its images are damaged.
    """
    spec = context.job.export_spec
    context.progress(phase="Fetching the data set")
    dataset = resources.datasets(context.bucket).get(spec.dataset)
    manifest = context.work_dir / "manifest.jsonl"
    try:
        context.bucket.get_file(f"{spec.dataset}/manifest.jsonl", manifest)
    except KeyMissing:
        raise NotFound(
            Reason.RESOURCE_NOT_FOUND,
            f"The data set {spec.dataset} does not exist any more.",
            name=spec.dataset,
        ) from None
    exporter = by_name(context.task.exporters, spec.format)
    source = Source(dataset, _rows(context, dataset, manifest), context.work_dir)
    dataset_id = names.parse(spec.dataset, "datasets").id
    # In a folder of the job's own, so that exports of one data set do not replace each other.
    key = f"{spec.dataset}/exports/{context.name.id}/{dataset_id}-{exporter.name}.zip"
    digest = hashlib.sha256()
    size = context.bucket.put_stream(key, _hashed(_zipped(exporter.parts(source)), digest))
    _report(context, source, exporter.name)
    return job_pb2.Export(
        dataset=spec.dataset,
        format=exporter.name,
        uri=context.bucket.uri(key),
        sha256=digest.hexdigest(),
        size_bytes=size,
    )


def _rows(context: JobContext, dataset: dataset_pb2.Dataset, manifest: Path) -> Iterator[Row]:
    """Yield the images of a data set, a few of which are in memory."""
    reader = DatasetReader(context.bucket, dataset.name)
    width = len(str(max(dataset.image_count - 1, 0)))
    started = time.monotonic()
    context.progress(phase="Exporting", step=0, step_count=dataset.image_count)
    with manifest.open("rb") as lines:
        # What is read ahead for one of the three, the others have in memory meanwhile.
        entries, of_images, of_masks = itertools.tee(read_lines(lines), 3)
        contents = reader.read_many(of_images)
        masks = reader.read_many(entry.mask for entry in of_masks if entry.mask is not None)
        for index, entry in enumerate(entries):
            content = next(contents)
            annotation = entry.annotation
            if entry.mask is not None:
                annotation = {**annotation, "mask": next(masks)}
            number = f"{index:0{width}}"
            name = _name(number, entry.file, content)
            yield Row(name, number, entry, content, annotation)
            if index % _REPORT_EVERY == 0:
                per_second = (index + 1) / max(time.monotonic() - started, 1e-3)
                context.progress(step=index + 1, images_per_second=per_second)


def _name(number: str, file: str, content: bytes) -> str:
    """Return what an image is called: its number, and of its own name what every system allows."""
    own = re.sub(r"[^A-Za-z0-9-]+", "-", PurePosixPath(file).stem).strip("-")[:_KEPT_NAME_LENGTH]
    suffix = next((suffix for start, suffix in _SUFFIX_OF if content.startswith(start)), ".img")
    return f"{number}-{own}{suffix}" if own else number + suffix


def splits_of(source: Source) -> bool:
    """Whether splits can be written so that they are read again: train, and another.

    Others are counted as left out.
    """
    counts = {one.subset: one.image_count for one in source.dataset.given_splits}
    if counts and ("train" not in counts or len(counts) < 2):
        what = f"images in {' and '.join(counts)}, which an import takes for no split"
        source.left_out[what] += sum(counts.values())
        return False
    return bool(counts)


def count_columns(source: Source, entry: Entry) -> None:
    """Count the further columns of an image as left out."""
    for column, value in entry.columns.items():
        if value:
            source.left_out[f"values of the column {names.shorten(column, 40)}"] += 1


def _report(context: JobContext, source: Source, format_name: str) -> None:
    report = Report()
    for what, count in sorted((+source.left_out).items()):
        report.add("NOT_EXPORTED", f"{count:,} {what}", count=count, format=format_name)
    for finding in report.findings():
        context.add_finding(finding)


def _hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _zipped(parts: Iterable[Part]) -> Iterator[bytes]:
    """Yield a zip piece by piece."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for part in parts:
            info = zipfile.ZipInfo(part.path, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED if part.packed else zipfile.ZIP_STORED
            info.file_size = sum(
                one.stat().st_size if isinstance(one, Path) else len(one) for one in part.content
            )
            with archive.open(info, "w") as file:
                for piece in _pieces(part.content):
                    file.write(piece)
                    yield from sink.take()
    yield from sink.take(everything=True)


def _pieces(content: Sequence[bytes | Path]) -> Iterator[bytes]:
    for one in content:
        with io.BytesIO(one) if isinstance(one, bytes) else one.open("rb") as file:
            while piece := file.read(MIB):
                yield piece


class _Sink:
    """What a zip is written to, and taken from in large pieces."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes, /) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self, *, everything: bool = False) -> Iterator[bytes]:
        if everything or len(self._written) >= MIB:
            taken = bytes(self._written)
            self._written.clear()
            yield taken
