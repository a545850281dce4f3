"""Makes a data set from an archive: the work of an import job.

The archive is fetched to disk and unpacked, its format chosen, every image decoded, and the usable
ones written to shards. The data set exists once its document, the last thing written, does. If it
is only to be validated, all this is done but nothing of it kept, except its pictures.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from common import names
from common.data import checks, duplicates, formats, sources
from common.data.archives import Limits, unpack
from common.data.examining import examine
from common.data.findings import Report
from common.data.hugging_face import hub
from common.data.images import ImageError
from common.data.manifest import SUBSETS, Entry, Place, write_line
from common.data.mapping import LabelMapping
from common.data.shards import NoWriter, ShardWriter
from common.data.sheets import Samples, class_balance
from common.errors import AlreadyExists, DomainError, InvalidInput
from common.reasons import Reason
from common.storage import resources
from common.storage.bucket import KeyMissing
from nocode.vision.v1 import dataset_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.formats import Reading, Record
    from common.data.tree import Tree
    from common.jobs.context import JobContext

# Progress is reported after this many images or files.
_REPORT_EVERY = 64
# As formats report it. A row without a label is not among these: if its image is listed nowhere
# else, it is itself. Masks are, since some formats read them themselves, to find the objects.
_LEFT_OUT_BEFORE = {
    "IMAGES_WITHOUT_LABEL",
    "IMAGES_UNLABELED",
    "IMAGES_WITHOUT_MASK",
    "IMAGES_WITHOUT_OBJECT_MASK",
    "MASKS_UNREADABLE",
    "MASKS_WITHOUT_IMAGE",
    "IMAGE_IDS_REPEATED",
    "IMAGES_NOT_LISTED",
    "LISTED_FILES_MISSING",
    "LABELS_WITHOUT_IMAGE",
    "IMAGES_WITHOUT_TAG",
    "IMAGES_OF_SEVERAL_TAGS",
}


@dataclass(frozen=True, slots=True)
class _Image:
    """A usable image, stored in a shard; its record has no annotation any more."""

    record: Record
    annotation: dict[str, Any]
    place: Place
    mask: Place | None
    sha256: bytes
    width: int
    height: int


def run_import(context: JobContext) -> str | dataset_pb2.Dataset:
    """Do an import job and return the name of the data set; if none is made, what it would be.

    Raises:
        DomainError: The archive cannot be fetched or is refused.
    """
    report = Report()
    try:
        with sources.disk_full_named(context.settings.work_dir):
            return _run(context, report)
    except DomainError:
        # What was noticed so far may well be why.
        for finding in report.findings():
            context.add_finding(finding)
        raise


def _run(context: JobContext, report: Report) -> str | dataset_pb2.Dataset:
    spec = context.job.import_spec
    if not spec.validate_only:
        _check_reservation(context)
    limits = Limits(
        unpacked_bytes=context.settings.max_unpacked_bytes,
        members=context.settings.max_archive_members,
    )
    with _fetch(context, limits, report) as tree:
        void_index = spec.void_index if spec.HasField("void_index") else None
        layout, reason = formats.choose_with_reason(
            context.task.formats_for(void_index), spec.format, tree
        )
        context.progress(phase="Reading labels")
        reading = layout.read(tree, report, max_records=limits.members)
        left_out = _left_out_before(report)
        mapping = None
        if spec.label_mapping:
            mapping = LabelMapping(spec.label_mapping, reading.classes, reading.unused)
            mapping.report(report)
            reading = replace(reading, classes=mapping.classes, unused=mapping.unused)
        _check_class_count(context, reading.classes)
        samples = Samples()
        images, fingerprints = _store_images(context, tree, reading, report, mapping, samples)
        if not images:
            raise _no_usable_image(len(reading.records), report)
        max_pixels = context.settings.max_image_pixels
        sheet = samples.sheet(tree, context.task, reading.classes, max_pixels=max_pixels)
    context.progress(phase="Looking for duplicates")
    groups = duplicates.group(fingerprints).tolist()
    context.progress(phase="Writing the data set")
    classes, annotations = _without_unused(context, reading, images, report)
    _check_class_count(context, classes)
    entries = [
        _entry(image, annotation, group)
        for image, annotation, group in zip(images, annotations, groups, strict=True)
    ]
    dataset = dataset_pb2.Dataset(
        name=spec.dataset,
        display_name=spec.display_name,
        format=layout.name,
        format_reason=reason,
        derivation=reading.derived,
        image_count=len(entries),
        classes=classes,
        size_bytes=sum(entry.size for entry in entries),
        skipped_count=len(reading.records) - len(images) + left_out,
        job=context.job.name,
    )
    shown = [context.task.classes_of(entry.annotation) for entry in entries]
    _count(dataset, entries, shown, context.task.counted)
    checks.check_classes(classes, shown, entries, report)
    checks.check_duplicates(entries, context.task.classes_of, report)
    checks.check_sizes(entries, report)
    context.task.check(classes, annotations, report)
    dataset.findings.extend(report.findings())
    if mapping:
        dataset.mapped_classes.extend(mapping.mapped(context.task.counted))
    dataset.content_digest = _write_manifest(context, classes, entries)
    _write_plots(context, dataset, sheet)
    dataset.create_time.GetCurrentTime()
    context.check_cancelled()
    if spec.validate_only:
        return dataset
    resources.datasets(context.bucket).create(dataset.name, dataset)
    sources.forget(context, spec.source)
    return dataset.name


def _fetch(context: JobContext, limits: Limits, report: Report) -> Tree:
    """Copy the files of the source to disk, as one."""
    source, blob = context.job.import_spec.source, context.work_dir / "unpacked"
    if source.HasField("hugging_face"):
        tree = hub.fetch(context, source.hugging_face, blob, limits, report)
        tree.told = {field.name: value for field, value in source.hugging_face.ListFields()}
        return tree

    def on_member(count: int) -> None:
        if count % _REPORT_EVERY == 1:
            context.progress(phase="Unpacking the archive", step=count)

    archive = sources.fetch(context, source)
    tree = unpack(archive, blob, limits, report, on_progress=on_member)
    archive.unlink()
    return tree


def _left_out_before(report: Report) -> int:
    """Return how many images and rows were left out without a look at the image."""
    return sum(finding.count for finding in report.findings() if finding.id in _LEFT_OUT_BEFORE)


def _check_reservation(context: JobContext) -> None:
    """Make sure that no other import writes to the same place."""
    dataset = context.job.import_spec.dataset
    try:
        reserved_by = context.bucket.get(f"{dataset}/reserved").decode()
    except KeyMissing:
        reserved_by = ""
    if reserved_by != context.job.name:
        raise AlreadyExists(
            Reason.RESOURCE_EXISTS,
            f"{dataset} belongs to {reserved_by or 'no job any more'}. Import again, with another "
            "dataset_id.",
            name=dataset,
        )
    context.bucket.delete_prefix(f"{dataset}/shards/")  # of an earlier attempt


def _check_class_count(context: JobContext, classes: Sequence[str]) -> None:
    least = context.task.least_class_count
    if len(classes) < least:
        shown = f" ({', '.join(names.shorten(name) for name in classes)})" if classes else ""
        lacking = "images of others" if classes else "labeled images"
        raise InvalidInput(
            Reason.TOO_FEW_CLASSES,
            f"The archive has usable images of {len(classes)} classes{shown}; "
            f"{context.task.name} needs at least {least}. Add {lacking}.",
            class_count=len(classes),
            minimum=least,
        )


def _store_images(
    context: JobContext,
    tree: Tree,
    reading: Reading,
    report: Report,
    mapping: LabelMapping | None,
    samples: Samples,
) -> tuple[list[_Image], bytearray]:
    """Decode every image, and write the usable ones to shards; also return their fingerprints.

    A file is decoded and written once, however often it is listed: a small table must not make a
    large data set. Annotations are taken out of the records once they are complete, as there may be
    millions of boxes.
    """
    max_pixels = context.settings.max_image_pixels
    records = reading.records
    images: list[_Image] = []
    fingerprints = bytearray()
    started = time.monotonic()
    context.progress(phase="Reading images", step_count=len(records))
    with (
        _writer(context) as writer,
        # Of their own, so that all of them can be read without the images.
        _writer(context, stem="masks-") as mask_writer,
    ):
        files = (file for file, _ in itertools.groupby(records, _file_of))
        examined = examine(tree, files, max_pixels=max_pixels)
        step = 0
        for (path, listed), found in zip(
            itertools.groupby(records, _file_of), examined, strict=True
        ):
            place = None
            for record in listed:
                records[step] = replace(record, annotation=None)
                step += 1
                if isinstance(found, ImageError):
                    report.add(found.finding_id, path, max_pixels=max_pixels)
                else:
                    checks.check_image(path, found.info, report)
                    annotation = context.task.complete(record.annotation, path, found.info, report)
                    if annotation is not None and mapping is not None:
                        annotation = mapping.apply(context.task, annotation, path, report)
                    if annotation is not None:
                        samples.offer(
                            found.sha256,
                            context.task.classes_of(annotation),
                            annotation,
                            file=path,
                            split=record.split,
                            info=found.info,
                        )
                        if place is None:
                            suffix = f".{found.info.format.lower()}"
                            with tree.open(path) as file:
                                place = writer.add(file, tree.size(path), suffix)
                        mask = annotation.pop("mask", None)
                        images.append(
                            _Image(
                                record=records[step - 1],
                                annotation=annotation,
                                place=place,
                                mask=mask and mask_writer.add(io.BytesIO(mask), len(mask), ".png"),
                                sha256=found.sha256,
                                width=found.info.width,
                                height=found.info.height,
                            )
                        )
                        fingerprints += found.fingerprint
                if step % _REPORT_EVERY == 0 or step == len(records):
                    per_second = step / max(time.monotonic() - started, 1e-3)
                    context.progress(step=step, images_per_second=per_second)
    return images, fingerprints


def _writer(context: JobContext, stem: str = "") -> ShardWriter | NoWriter:
    spec = context.job.import_spec
    if spec.validate_only:
        return NoWriter()
    return ShardWriter(context.bucket, f"{spec.dataset}/shards/", context.work_dir, stem=stem)


def _file_of(record: Record) -> str:
    return record.file


def _no_usable_image(record_count: int, report: Report) -> InvalidInput:
    why = "; ".join(
        f"{finding.id} {finding.count} times, e.g. {names.shorten(finding.examples[0])}"
        for finding in report.findings()
        if finding.examples
    )
    return InvalidInput(
        Reason.NO_USABLE_IMAGE,
        f"None of the {record_count} files taken for images can be used"
        + (f" ({why})." if why else ".")
        + " Pack images that open in an image program.",
        file_count=record_count,
    )


def _without_unused(
    context: JobContext, reading: Reading, images: Sequence[_Image], report: Report
) -> tuple[list[str], list[dict[str, Any]]]:
    """Drop the classes that no usable image shows, and number the others anew."""
    task = context.task
    used = {index for image in images for index in task.classes_of(image.annotation)}
    kept = [index for index in range(len(reading.classes)) if index in used]
    for index in sorted(set(range(len(reading.classes))) - used):
        # To have lost all images is worse than to have had none.
        finding_id = "CLASSES_UNUSED" if index in reading.unused else "CLASSES_WITHOUT_IMAGES"
        report.add(finding_id, reading.classes[index])
    if len(kept) == len(reading.classes):
        return reading.classes, [image.annotation for image in images]
    index_of = {old: new for new, old in enumerate(kept)}
    return (
        [reading.classes[index] for index in kept],
        [task.renumber(image.annotation, index_of) or {} for image in images],
    )


def _entry(image: _Image, annotation: dict[str, Any], group: int) -> Entry:
    return Entry(
        file=image.record.file,
        shard=image.place.shard,
        offset=image.place.offset,
        size=image.place.size,
        sha256=image.sha256.hex(),
        width=image.width,
        height=image.height,
        annotation=annotation,
        split=image.record.split,
        duplicate_group=group if group >= 0 else None,
        columns=image.record.columns,
        mask=image.mask,
    )


def _count(
    dataset: dataset_pb2.Dataset,
    entries: Sequence[Entry],
    shown: Sequence[Mapping[int, int]],
    counted: str,
) -> None:
    """Fill in how often each class and each given split occurs."""
    counts = [dataset.class_counts.add(class_name=name) for name in dataset.classes]
    for indices in shown:
        for index, count in indices.items():
            counts[index].image_count += 1
            setattr(counts[index], counted, getattr(counts[index], counted) + count)
    for subset in SUBSETS:
        count = sum(entry.split == subset for entry in entries)
        if count:
            dataset.given_splits.add(subset=subset, image_count=count)


def _write_manifest(context: JobContext, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    """Write the manifest and return the digest of what the data set contains."""
    path = context.work_dir / "manifest.jsonl"
    digest = hashlib.sha256(_canonical({"classes": list(classes)}))
    with path.open("wb") as file:
        for entry in entries:
            file.write(write_line(entry))
            digest.update(_canonical([entry.sha256, entry.annotation, entry.split]))
    if not context.job.import_spec.validate_only:
        context.bucket.put_file(f"{context.job.import_spec.dataset}/manifest.jsonl", path)
    return digest.hexdigest()


def _write_plots(context: JobContext, dataset: dataset_pb2.Dataset, sheet: bytes) -> None:
    """Keep the pictures with the data set, or with the job if there is to be no data set."""
    owner = context.job.name if context.job.import_spec.validate_only else dataset.name
    plots = {
        "Class balance": class_balance(dataset, context.task.counted),
        "Samples with their labels": sheet,
    }
    for title, png in plots.items():
        key = f"{owner}/plots/{title.lower().replace(' ', '-')}.png"
        context.bucket.put(key, png)
        dataset.plots.add(uri=context.bucket.uri(key), title=title)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
