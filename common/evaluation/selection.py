"""Which images a model is measured on, and whether it has seen them before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from common.catalog import splitting
from common.data.findings import Report
from common.data.reading import DatasetReader
from common.errors import InvalidInput, NotFound
from common.names import shorten
from common.reasons import Reason
from common.storage import resources

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from common.data.manifest import Entry
    from common.jobs.context import JobContext
    from nocode.vision.v1 import model_pb2, pipeline_pb2

_PARTLY_LEFT_OUT = {
    "object_count": "OBJECTS_OF_UNKNOWN_CLASSES",
    "pixel_count": "PIXELS_OF_UNKNOWN_CLASSES",
}


def choose(
    context: JobContext, model: model_pb2.Model, dataset: str, subset: str
) -> dict[int, Entry]:
    """Return the images to measure on, by index, with annotations in the model's classes.

    Findings on the job tell of images left out, and of those that the model has seen before, or
    may have.

    Args:
        context: The job.
        model: What is to be measured.
        dataset: Where the images are.
        subset: `train`, `val` or `test` of the split that the model was trained with; empty for
            all images.

    Raises:
        InvalidInput: There is no such image, or none of a class that the model knows.
        NotFound: The data set, or the split, has been deleted.
    """
    entries = DatasetReader(context.bucket, dataset).entries()
    try:
        split = splitting.of_model(context.bucket, model)
    except NotFound:
        if subset:
            raise
        split = None
    chosen = getattr(split, subset) if subset else range(len(entries))
    if not chosen:
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"The split of {model.pipeline} has no {subset} images. Evaluate on another subset or "
            f"data set, or make a pipeline with a larger {subset}_fraction.",
            field="subset",
            value=subset,
        )
    report = Report()
    found = _in_classes_of(model, context, dataset, {i: entries[i] for i in chosen}, report)
    _report_seen(context, model, split, found.values(), report)
    for finding in report.findings():
        context.add_finding(finding)
    return found


def _in_classes_of(
    model: model_pb2.Model,
    context: JobContext,
    dataset: str,
    entries: dict[int, Entry],
    report: Report,
) -> dict[int, Entry]:
    """Match the data set's classes with the model's by name; leave out what has no match.

    An image of which nothing remains is left out. One that loses some of its objects or pixels
    stays: the model can still be measured on the others.
    """
    theirs = list(resources.datasets(context.bucket).get(dataset).classes)
    if theirs == list(model.classes):
        return entries
    ours = {name: index for index, name in enumerate(model.classes)}
    index_of = {index: ours[name] for index, name in enumerate(theirs) if name in ours}
    found: dict[int, Entry] = {}
    images: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for index, entry in entries.items():
        counts = context.task.classes_of(entry.annotation)
        unknown = {theirs[label]: counts[label] for label in sorted(set(counts) - set(index_of))}
        annotation = context.task.renumber(entry.annotation, index_of)
        if annotation is None:
            images.update([*unknown][:1])
        else:
            parts.update(unknown)
            found[index] = replace(entry, annotation=annotation)
    if not found or not index_of:
        raise InvalidInput(
            Reason.CLASSES_DIFFER,
            f"{dataset} has no image of a class that {model.name} knows. Its classes are "
            f"{_listed(theirs)}; the model's are {_listed(model.classes)}. Classes are matched "
            "by name: rename them, or train a model on this data set.",
            field="dataset",
            value=dataset,
        )
    report.add("IMAGES_OF_UNKNOWN_CLASSES", sorted(images), count=images.total())
    report.add(_PARTLY_LEFT_OUT[context.task.counted], sorted(parts), count=parts.total())
    return found


def _report_seen(
    context: JobContext,
    model: model_pb2.Model,
    split: pipeline_pb2.Splits | None,
    entries: Collection[Entry],
    report: Report,
) -> None:
    """Say so if the model was trained or chosen on some of the very images it is measured on.

    Without a split it may have been any image of its data set, without that any image at all.
    """
    try:
        known = DatasetReader(context.bucket, model.dataset).entries()
    except NotFound:
        files = [entry.file for entry in entries]
        report.add("IMAGES_MAYBE_TRAINED_ON", files, deleted=model.dataset)
        return
    if split is None:
        digests = {entry.sha256 for entry in known}
        seen = [entry.file for entry in entries if entry.sha256 in digests]
        report.add("IMAGES_MAYBE_TRAINED_ON", seen, deleted=model.pipeline)
        return
    for finding_id, indices in (
        ("IMAGES_TRAINED_ON", split.train),
        ("IMAGES_VALIDATED_ON", split.val),
    ):
        digests = {known[index].sha256 for index in indices}
        seen = [entry.file for entry in entries if entry.sha256 in digests]
        report.add(finding_id, seen)


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(shorten(name, 40) for name in classes[:10])
    return f"{shown} and {len(classes) - 10} more" if len(classes) > 10 else shown
