"""Measures a model on images whose truth is known: EVALUATE jobs, and the end of every training."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import torch

from common.data import images
from common.data.reading import DatasetReader
from common.evaluation.inference import answers
from common.evaluation.selection import choose
from common.serving.models import load_model
from common.tracking import describe
from common.tracking.follow import follow
from common.training.learner import ImageSource, Sample
from nocode.vision.v1 import evaluation_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from torch import nn

    from common.data.manifest import Entry
    from common.jobs.context import JobContext
    from common.tracking.follow import Followed
    from nocode.vision.v1 import model_pb2


def run_evaluate(context: JobContext) -> evaluation_pb2.Evaluation:
    """Do an EVALUATE job.

    Raises:
        InvalidInput: There is nothing to measure on.
        NotFound: The model, its split or the data set has been deleted.
        Internal: The images or the model are damaged.
    """
    with follow(context) as followed:
        return _evaluate(context, followed)


def _evaluate(context: JobContext, followed: Followed) -> evaluation_pb2.Evaluation:
    spec = context.job.evaluate_spec
    context.progress(phase="Loading the model")
    registry = context.task.learner().registry
    network, model = load_model(context.bucket, spec.model, registry)
    context.progress(phase="Choosing images")
    entries = choose(context, model, spec.dataset, spec.subset)
    followed.describe(
        {
            **describe.fields(model.training_config),
            "subset": spec.subset,
            "image_count": str(len(entries)),
        },
        describe.tags_of_evaluation(context.job, model),
    )
    if spec.subset:
        followed.split(model.pipeline)
    evaluation = evaluate(
        context, network, model, entries, dataset=spec.dataset, subset=spec.subset
    )
    followed.evaluated(evaluation)
    followed.model(model)
    return evaluation


def evaluate(
    context: JobContext,
    network: nn.Module,
    model: model_pb2.Model,
    entries: Mapping[int, Entry],
    *,
    dataset: str,
    subset: str,
    plots: Sequence[tuple[str, bytes]] = (),
) -> evaluation_pb2.Evaluation:
    """Measure a model, and keep plots and predictions with the job.

    The same model and images give the same numbers, to the last digit.

    Args:
        context: The job; its `evaluation/` is written.
        network: The model's weights are loaded. Is put in evaluation mode, in float32, on the
            device of the settings.
        model: Its name, classes, preprocessing and what was calibrated are used.
        entries: At least one image to measure on, by index; annotations count in the model's
            classes.
        dataset: Name of the data set that has the images.
        subset: Which part of it they are, for `Evaluation.subset`.
        plots: Titles and PNGs of further plots, to be kept with those of the measurement.
    """
    learner = context.task.learner()
    reader = DatasetReader(context.bucket, dataset)
    entries = dict(sorted(entries.items()))
    network = prepare(network, context.settings.device)
    context.progress(phase="Evaluating", step=0, step_count=len(entries))
    samples = [
        Sample(
            index=index,
            file=entries[index].file,
            annotation=annotation,
            output=learner.condense(output, model, entries[index].width, entries[index].height),
            width=entries[index].width,
            height=entries[index].height,
        )
        for (index, output), annotation in zip(
            answers(context, learner, network, model.preprocessing, reader, entries),
            reader.annotations(entries.values()),
            strict=True,
        )
    ]
    context.progress(phase="Measuring")
    source = _DatasetImages(reader, entries, context.settings.max_image_pixels)
    measured = learner.measure(samples, model, source)
    context.check_cancelled()
    evaluation = measured.metrics
    evaluation.model = model.name
    evaluation.dataset = dataset
    evaluation.subset = subset
    evaluation.image_count = len(samples)
    evaluation.job = context.job.name
    for title, png in (*measured.plots, *plots):
        key = context.key(f"evaluation/{_file_name(title)}.png")
        context.bucket.put(key, png)
        evaluation.plots.add(uri=context.bucket.uri(key), title=title)
    key = context.key("evaluation/predictions.jsonl")
    context.bucket.put_stream(key, _lines(measured.rows))
    evaluation.predictions_uri = context.bucket.uri(key)
    evaluation.create_time.GetCurrentTime()
    return evaluation


def prepare(network: nn.Module, device: str) -> nn.Module:
    """Put a network where and how it is always evaluated, so that answers do not differ."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return network.to(device, torch.float32).to(memory_format=torch.channels_last).eval()


class _DatasetImages(ImageSource):
    def __init__(
        self, reader: DatasetReader, entries: Mapping[int, Entry], max_pixels: int
    ) -> None:
        self._reader = reader
        self._entries = entries
        self._max_pixels = max_pixels

    def load(self, index: int) -> np.ndarray[Any, Any]:
        data = self._reader.read(self._entries[index])
        return images.decode(data, max_pixels=self._max_pixels)


def _file_name(title: str) -> str:
    """`Precision, recall and F1 by class` to `precision-recall-and-f1-by-class`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"
