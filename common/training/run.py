"""TRAIN jobs: from a pipeline to a model that was measured on images it never saw."""

from __future__ import annotations

import os

# Threads that wait must sleep: where cores are shared, spinning makes a step take up to 4 times as
# long. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from typing import TYPE_CHECKING, Any

import torch

from common.evaluation.inference import BATCH_SIZE
from common.evaluation.run import evaluate
from common.metrics import plots
from common.storage import resources
from common.tracking import describe
from common.tracking.follow import follow
from common.training import launch
from common.training.batches import Batches
from common.training.checkpoints import save_weights, sha256_of
from common.training.distributed import alone, machine_count
from common.training.learner import Calibration
from common.training.loop import Trainer
from common.training.setup import first_network, prepare, use_threads
from nocode.vision.v1 import model_pb2

if TYPE_CHECKING:
    from torch import nn

    from common.jobs.context import JobContext
    from common.tracking.follow import Followed
    from common.training.loop import Fitted
    from common.training.setup import Setup


def run_train(context: JobContext) -> str:
    """Do a TRAIN job, and return the name of the model.

    Raises:
        DomainError: It cannot be done; the message says what to do.
    """
    with follow(context) as followed:
        return _train(context, followed)


def _train(context: JobContext, followed: Followed) -> str:
    threads = torch.get_num_threads()
    device = training_device(context.settings.device)
    setup = prepare(context, device)
    _describe(context, setup, followed)
    device_count = _device_count(device)
    if device_count * machine_count() > 1:
        fitted = launch.fit_together(context, device_count)
    else:
        use_threads(context.settings.train_threads if device.type == "cpu" else 1)
        fitted = fit(context, setup, device)
    # As evaluations run: so that they give the same numbers, to the last digit.
    torch.set_num_threads(threads)
    return _publish(context, setup, fitted, device, followed)


def lend(context: JobContext) -> None:
    """Lend this machine's devices to a TRAIN job whose worker is on another machine."""
    device = training_device(context.settings.device)
    # So that images are decoded by one process here, too, not by each.
    prepare(context, device)
    launch.lend(context, _device_count(device))


def _device_count(device: torch.device) -> int:
    return torch.cuda.device_count() if device.type == "cuda" else 1


def fit(context: JobContext, setup: Setup, device: torch.device) -> Fitted:
    """Train in this process."""
    ranks = alone(device)
    checkpoints = launch.checkpoints(context)
    network = first_network(context, setup, ranks, resumes=checkpoints.exist())
    context.progress(phase="Training")
    return Trainer(setup.training, network, ranks, context, checkpoints).fit()


def training_device(setting: str) -> torch.device:
    """Return the device that `Settings.device` names, the first one if there are several."""
    if setting == "cpu" or (setting == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    # A worker sees only the GPUs that are meant for its job, so numbers start at 0.
    return torch.device("cuda", 0)


def _describe(context: JobContext, setup: Setup, followed: Followed) -> None:
    """Tell the tracking server what is trained."""
    training = setup.training
    counts = {"train": len(training.train), "val": len(training.val), "test": len(setup.test)}
    followed.describe(
        {
            **describe.fields(training.config),
            **{f"{subset}_image_count": str(count) for subset, count in counts.items()},
            "class_count": str(training.class_count),
            "architecture": setup.entry.name,
            "resize": training.preprocessing.resize,
        },
        describe.tags_of_training(context.job, setup.dataset.name, setup.entry.name),
    )
    followed.split(setup.pipeline.name)


def _publish(
    context: JobContext, setup: Setup, fitted: Fitted, device: torch.device, followed: Followed
) -> str:
    """Calibrate, measure and store the model; `model.json`, which makes it exist, goes last."""
    training = setup.training
    network = setup.entry.build(training.class_count)
    network.load_state_dict(fitted.weights)
    calibration = _calibrate(setup, network.to(device))
    name = context.job.train_spec.model
    path = context.work_dir / "model.safetensors"
    save_weights(fitted.weights, path)
    model = model_pb2.Model(
        name=name,
        display_name=setup.pipeline.display_name,
        pipeline=setup.pipeline.name,
        dataset=setup.dataset.name,
        job=context.job.name,
        architecture=setup.entry.name,
        classes=setup.dataset.classes,
        preprocessing=training.preprocessing,
        score_thresholds=calibration.score_thresholds,
        temperature=calibration.temperature,
        training_config=training.config,
        parameter_count=sum(p.numel() for p in network.parameters()),
        weights_sha256=sha256_of(path),
        weights_size_bytes=path.stat().st_size,
        best_epoch=fitted.best_epoch,
    )
    if setup.test:
        history = {entry.epoch: dict(entry.metrics) for entry in context.job.history}
        model.evaluation.CopyFrom(
            evaluate(
                context,
                network,
                model,
                setup.test,
                dataset=setup.dataset.name,
                subset="test",
                plots=[("Training curves", plots.training_curves(history))],
            )
        )
    context.progress(phase="Saving the model")
    context.bucket.put_file(f"{name}/model.safetensors", path)
    context.check_cancelled()
    context.check_claim()
    resources.models(context.bucket).create(name, model)
    if setup.test:
        followed.evaluated(model.evaluation)
    followed.model(model, path)
    return name


@torch.inference_mode()
def _calibrate(setup: Setup, network: nn.Module) -> Calibration:
    """Fit on the validation images, if any, what turns outputs into honest scores, in fp32."""
    training = setup.training
    if not len(training.val):
        return Calibration()
    network = network.to(memory_format=torch.channels_last).eval()
    ranks = alone(next(network.parameters()).device)
    batches = Batches(
        training.learner, training.config, training.preprocessing, training.architecture, ranks
    )
    outputs: list[Any] = []
    # Not those of training, which in fp32 need more memory and may have been computed in parts.
    for batch in batches.plain(training.val, BATCH_SIZE):
        answers = training.learner.forward(network, batches.ready(batch.images_N3HW))
        pairs = zip(answers, batch.targets, strict=True)
        outputs += [training.learner.digest(*pair, training.class_count) for pair in pairs]
    return training.learner.calibrate(outputs, training.val.targets, training.class_count)
