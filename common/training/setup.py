"""From a TRAIN job to everything that its training needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from common.catalog import splitting
from common.data.findings import Report
from common.data.loading import ImageCache, StreamedImages, core_count
from common.data.reading import DatasetReader
from common.errors import DomainError, InvalidInput
from common.reasons import Reason
from common.storage import resources
from common.training import precision, pretrained, recipes
from common.training.batches import Subset
from common.training.loop import Training
from common.training.seeds import derive
from nocode.vision.v1 import model_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from common.architectures import Architecture
    from common.data.manifest import Entry
    from common.jobs.context import JobContext
    from common.training.distributed import Ranks
    from common.training.learner import Learner
    from nocode.vision.v1 import dataset_pb2, pipeline_pb2

# `class_balance: auto` weighs classes if the largest has this many times the images of the
# smallest.
_SKEWED = 3.0


@dataclass(frozen=True)
class Setup:
    """What a TRAIN job is about.

    Attributes:
        pipeline: The pipeline.
        dataset: Its data set.
        entry: Its architecture.
        test: The images that training never sees, by index.
        training: What is trained, on what, and how.
    """

    pipeline: pipeline_pb2.Pipeline
    dataset: dataset_pb2.Dataset
    entry: Architecture
    test: dict[int, Entry]
    training: Training


def prepare(context: JobContext, device: torch.device) -> Setup:
    """Read what the job is about, and decode its images unless that was done before.

    Raises:
        NotFound: The pipeline or its data set has been deleted.
        InvalidInput: The split has nothing to train on, or the device cannot do what is asked.
    """
    learner = context.task.learner()
    pipeline = resources.pipelines(context.bucket).get(context.job.train_spec.pipeline)
    dataset = resources.datasets(context.bucket).get(pipeline.dataset)
    entry = learner.registry.get(pipeline.architecture)
    config = recipes.resolve(entry, pipeline.training_config)
    chosen = precision.choose(config.precision, device)
    config.precision = chosen.name
    _note(context, "PRECISION_CHOSEN", precision=chosen.name, why=chosen.why)
    splits = splitting.read(context.bucket, pipeline.name)
    if not splits.train:
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"The split of {pipeline.name} has no training images. Create a pipeline with a "
            "larger train_fraction.",
            field="pipeline.split_config.train_fraction",
        )
    if not pipeline.training_config.epoch_count:
        _lengthen(context, config, pipeline.training_config, entry, len(splits.train))
    reader = DatasetReader(context.bucket, dataset.name)
    entries = reader.entries()
    preprocessing = model_pb2.Preprocessing(
        image_size_px=config.image_size_px,
        resize=learner.resize,
        mean=entry.mean,
        std=entry.std,
    )
    train, val = _subsets(context, learner, reader, preprocessing, [splits.train, splits.val])
    report = Report()
    learner.check_targets(train.targets, config.image_size_px, report)
    for finding in report.findings():
        context.add_finding(finding)
    return Setup(
        pipeline=pipeline,
        dataset=dataset,
        entry=entry,
        test={index: entries[index] for index in splits.test},
        training=Training(
            learner=learner,
            architecture=entry.name,
            config=config,
            preprocessing=preprocessing,
            class_count=len(dataset.classes),
            class_weights_C=class_weights(
                config.class_balance, _class_counts(context, entries, splits.train, dataset)
            ),
            train=train,
            val=val,
            precision=chosen,
        ),
    )


def first_network(
    context: JobContext, setup: Setup, ranks: Ranks, *, resumes: bool = False
) -> nn.Module:
    """Build the network with the weights that training starts from.

    One that `resumes` gets random weights: those of its checkpoint will replace them. So do all
    processes but the first, which are sent the first one's.

    Raises:
        WrongState: Published weights are required and cannot be had.
    """
    config = setup.training.config
    torch.manual_seed(derive(config.seed, "weights"))
    network = setup.entry.build(setup.training.class_count)
    if config.pretrained == "none" or resumes or not ranks.first:
        return network
    context.drop_finding("TRAINED_FROM_SCRATCH")
    context.progress(phase="Loading published weights")
    try:
        pretrained.load(
            network, setup.entry, context.bucket, context.settings, context.work_dir / "weights"
        )
    except DomainError as error:
        if config.pretrained == "required" or error.reason != Reason.PRETRAINED_UNAVAILABLE:
            raise
        _note(context, "TRAINED_FROM_SCRATCH", why=error.message)
    return network


def class_weights(balance: str, counts: Sequence[int]) -> Tensor | None:
    """Return the weight of each class, inverse to its count, so that an image's is 1 on average.

    A class without an image has weight 0; it never occurs.

    Args:
        balance: `none` or empty, `balanced`, or `auto` for balanced if the data is skewed.
        counts: Training images (or objects) of each class.
    """
    present = [count for count in counts if count]
    if not present or balance in {"", "none"}:
        return None
    skewed = max(present) >= _SKEWED * min(present)
    if balance == "auto" and not skewed:
        return None
    mean = sum(counts) / len(present)
    return torch.tensor([mean / count if count else 0.0 for count in counts])


def _lengthen(
    context: JobContext,
    config: pipeline_pb2.TrainingConfig,
    sent: pipeline_pb2.TrainingConfig,
    entry: Architecture,
    image_count: int,
) -> None:
    """Take more epochs than the recipe says where the images are so few that it has few steps."""
    steps = -(-image_count // config.batch_size)
    epoch_count = -(-entry.recipe.min_step_count // steps)
    if epoch_count <= config.epoch_count:
        return
    if not sent.early_stopping_patience:
        config.early_stopping_patience = round(
            config.early_stopping_patience * epoch_count / config.epoch_count
        )
    _note(
        context,
        "MORE_EPOCHS",
        epoch_count=epoch_count,
        recipe_epoch_count=config.epoch_count,
        image_count=image_count,
        step_count=steps,
    )
    config.epoch_count = epoch_count


def _class_counts(
    context: JobContext,
    entries: Sequence[Entry],
    indices: Sequence[int],
    dataset: dataset_pb2.Dataset,
) -> list[int]:
    counts: Counter[int] = Counter()
    for index in indices:
        counts.update(context.task.classes_of(entries[index].annotation))
    return [counts[label] for label in range(len(dataset.classes))]


def _subsets(
    context: JobContext,
    learner: Learner,
    reader: DatasetReader,
    preprocessing: model_pb2.Preprocessing,
    parts: Sequence[Sequence[int]],
) -> list[Subset]:
    """Make the images of some parts of the data set ready."""
    settings = context.settings
    cache = ImageCache(settings.work_dir / "images", settings.image_cache_bytes)
    entries = reader.entries()
    total, before = sum(len(part) for part in parts), 0
    context.drop_finding("IMAGES_NOT_CACHED")
    context.progress(phase="Reading images", step=0, step_count=total)
    subsets = []
    for part in parts:
        chosen = [entries[index] for index in part]

        def on_image(done: int, before: int = before) -> None:
            context.progress(step=before + done)

        images = cache.open(
            reader,
            chosen,
            preprocessing,
            max_pixels=settings.max_image_pixels,
            scratch=context.work_dir / "images",
            on_image=on_image,
        )
        if isinstance(images, StreamedImages):
            _note(context, "IMAGES_NOT_CACHED", count=len(chosen))
        before += len(part)
        targets = [
            learner.target(annotation, e.width, e.height, preprocessing.image_size_px)
            for e, annotation in zip(chosen, reader.annotations(chosen), strict=True)
        ]
        subsets.append(Subset(images, list(part), targets))
    return subsets


def _note(context: JobContext, finding_id: str, *, count: int = 1, **values: object) -> None:
    """Tell the job's owner something."""
    report = Report()
    report.add(finding_id, [], count=count, **values)
    for finding in report.findings():
        context.add_finding(finding)


def use_threads(count: int) -> None:
    """Let a torch operation use this many threads; 0 means all cores."""
    torch.set_num_threads(count or core_count())
