"""The training loop, the same for all tasks.

With the same seed, data, settings and machine it gives the same weights, to the last bit, also
when it was killed and went on from its last checkpoint: everything random is seeded anew for each
epoch and each image, and an epoch begins from nothing but what a checkpoint holds.

Shape letters: N images, C classes, H height, W width, 3 colours.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from common.errors import Internal, StorageUnavailable
from common.reasons import Reason
from common.training import state
from common.training.batches import Batches, check_shares
from common.training.checkpoints import Progress
from common.training.distributed import unsynchronized
from common.training.optimizers import WeightAverage, learning_rate, make_optimizer
from common.training.parts import Parts, normalizable
from common.training.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from common.training.batches import Batch, Subset
    from common.training.checkpoints import Checkpoints
    from common.training.distributed import Ranks
    from common.training.learner import Learner
    from common.training.precision import Precision
    from nocode.vision.v1.model_pb2 import Preprocessing
    from nocode.vision.v1.pipeline_pb2 import TrainingConfig

_REPORT_S = 0.5
# The next checkpoint is written once this many times as long has passed as the last one took, so
# that they cost a sixth of the time at the most.
_CHECKPOINT_SPACING = 5.0


_log = logging.getLogger(__name__)


class Reporter(Protocol):
    """Who is told how the training goes; a `JobContext` is one."""

    def progress(
        self,
        *,
        epoch: int | None = None,
        epoch_count: int | None = None,
        step: int | None = None,
        step_count: int | None = None,
        images_per_second: float | None = None,
        trained_image_count: int | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Take note of how far it is; may raise, to stop the training."""

    def add_history(self, epoch: int, metrics: Mapping[str, float], ended_s: float) -> None:
        """Note what an epoch left and when (Unix time), for all noted of it and later ones."""


@dataclass(frozen=True)
class Training:
    """What is trained, on what, and how.

    Attributes:
        learner: The task.
        architecture: Name of the network's.
        config: Settings, all filled in.
        preprocessing: How images become the network's input.
        class_count: Number of classes.
        class_weights_C: Weight of each class in the loss; None if all weigh the same.
        train: Images to train on.
        val: Images to choose the best epoch on. If there are none, it is the last.
        precision: Arithmetic.
    """

    learner: Learner
    architecture: str
    config: TrainingConfig
    preprocessing: Preprocessing
    class_count: int
    class_weights_C: Tensor | None
    train: Subset
    val: Subset
    precision: Precision


@dataclass(frozen=True)
class Fitted:
    """What a training leaves.

    Attributes:
        weights: State dict of the best epoch, on the CPU.
        best_epoch: From 1.
        metrics: Validation metrics of that epoch.
    """

    weights: dict[str, Tensor]
    best_epoch: int
    metrics: dict[str, float]


class Trainer:
    """Trains a network.

    Args:
        training: What, and how.
        model: The network with its first weights.
        ranks: The processes that train together.
        reporter: Is told how it goes.
        checkpoints: Where to keep checkpoints, and to go on from.
    """

    def __init__(
        self,
        training: Training,
        model: nn.Module,
        ranks: Ranks,
        reporter: Reporter,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._training = training
        self._learner = training.learner
        self._config = training.config
        self._ranks = ranks
        self._reporter = reporter
        self._checkpoints = checkpoints
        self._steps = -(-len(training.train) // self._config.batch_size)
        check_shares(len(training.train) // self._steps, self._config, ranks.count)
        device = ranks.device
        model = ranks.synchronized(model).to(device)
        self._model = model.to(memory_format=torch.channels_last)
        self._parallel = ranks.parallel(self._model)
        weights_C = training.class_weights_C
        self._class_weights_C = None if weights_C is None else weights_C.to(device)
        self._optimizer = make_optimizer(self._model, self._config)
        self._scaler = training.precision.scaler(device)
        decay = self._config.weight_average_decay
        self._average = WeightAverage(self._model, decay) if decay else None
        self._batches = Batches(
            self._learner, self._config, training.preprocessing, training.architecture, ranks
        )
        self._parts = Parts()
        self._progress = Progress()
        self._best: dict[str, Tensor] = {}
        self._saved_at, self._save_took_s = -math.inf, 0.0

    def fit(self) -> Fitted:
        """Train to the end, from the last checkpoint if there is one.

        Raises:
            Internal: The loss is not a finite number any more.
            Exhausted: Not even one image fits in memory.
        """
        self._resume()
        # Batches have two sizes at most, so it pays to try out the fastest way for each.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            self._find_parts()
            while not self._progress.finished:
                self._epoch(self._progress.epoch + 1)
        return Fitted(self._best, self._progress.best_epoch, self._progress.best_metrics)

    def _epoch(self, epoch: int) -> None:
        metrics = self._train(epoch)
        validation = self._validate(epoch)
        left: dict[str, Any] = {
            "epoch": epoch,
            "metrics": metrics | validation,
            "ended_s": time.time(),
        }
        self._progress.history.append(left)
        if self._ranks.first:
            self._reporter.progress(metrics=validation)
            self._reporter.add_history(**left)
        self._judge(epoch, validation)
        self._save()

    # Training.

    def _train(self, epoch: int) -> dict[str, float]:
        """Take the steps of an epoch; return its loss, learning rate and images a second."""
        torch.manual_seed(derive(self._config.seed, "network", epoch, self._ranks.rank))
        self._model.train()
        loss_sum, image_count = torch.zeros((), device=self._ranks.device), 0
        metrics: dict[str, float] = {}
        started, reported = time.monotonic(), -math.inf
        for step, batch in enumerate(self._batches.train(self._training.train, epoch), 1):
            number = (epoch - 1) * self._steps + step - 1
            rate = self._set_learning_rate(number)
            loss_sum += self._step(batch) * batch.total
            if self._average:
                self._average.update(self._model, number)
            image_count += batch.total
            now = time.monotonic()
            if now - reported < _REPORT_S and step < self._steps:
                continue
            reported = now
            metrics = {
                "loss": self._mean_loss(loss_sum, image_count, epoch, step),
                "learning_rate": rate,
                "images_per_second": image_count / (now - started),
            }
            if self._ranks.first:
                self._reporter.progress(
                    epoch=epoch,
                    epoch_count=self._config.epoch_count,
                    step=step,
                    step_count=self._steps,
                    images_per_second=metrics["images_per_second"],
                    trained_image_count=(epoch - 1) * len(self._training.train) + image_count,
                    metrics={key: metrics[key] for key in ("loss", "learning_rate")},
                )
        return metrics

    def _set_learning_rate(self, number: int) -> float:
        rate = learning_rate(
            number,
            step_count=self._steps * self._config.epoch_count,
            warmup_step_count=round(self._steps * self._config.warmup_epoch_count),
            peak=self._config.learning_rate,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _step(self, batch: Batch) -> Tensor:
        """Take one step; return this process's share of the batch's mean loss."""
        loss = self._gradients(batch, self._parallel)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        return loss

    def _gradients(self, batch: Batch, network: nn.Module) -> Tensor:
        """Compute the gradients of a batch, in as many parts as memory needs."""

        def part(where: slice, last: bool) -> Tensor:
            images_N3HW = self._batches.ready(batch.images_N3HW[where])
            targets = batch.targets[where]
            share = len(targets) / batch.total
            with unsynchronized(network, last), normalizable(self._model, len(targets)):
                with self._training.precision.autocast(self._ranks.device):
                    loss = self._learner.loss(
                        network, images_N3HW, targets, self._config, self._class_weights_C
                    )
                # Gradients are averaged over processes, so each part counts as many times.
                self._backward(loss * (share * self._ranks.count))
            return loss.detach() * share

        return self._parts.run(len(batch.targets), part, self._optimizer.zero_grad)

    def _backward(self, loss: Tensor) -> None:
        scaled: Tensor = self._scaler.scale(loss)
        torch.autograd.backward(scaled)

    def _find_parts(self) -> None:
        """Let processes that train together agree on how batches are split, before they train.

        Later it would be too late: one that runs out of memory would leave the others waiting. A
        step is tried, and forgotten. Meanwhile, and later if batches are split, normalizations see
        what is in one process only: how many parts there are to exchange statistics of may differ.
        """
        if self._ranks.count == 1:
            return
        self._ranks.synchronize(self._model, on=False)
        buffers = [buffer.clone() for buffer in self._model.buffers()]
        self._model.train()
        self._gradients(self._batches.largest(self._training.train), self._model)
        self._optimizer.zero_grad()
        for buffer, before in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self._parts = Parts(self._ranks.largest(self._parts.count), grows=False)
        if self._parts.count == 1:
            self._ranks.synchronize(self._model, on=True)

    def _mean_loss(self, loss_sum: Tensor, image_count: int, epoch: int, step: int) -> float:
        """Return the mean loss of the epoch so far; at its end, over all processes.

        Raises:
            Internal: It is not a finite number.
        """
        if step == self._steps:
            mean = self._ranks.total(loss_sum).item() / image_count
        else:
            mean = loss_sum.item() * self._ranks.count / image_count
        if not math.isfinite(mean):
            raise self._diverged(f"The loss became {mean}", epoch, step)
        return mean

    def _diverged(self, what: str, epoch: int, step: int) -> Internal:
        return Internal(
            Reason.DIVERGED,
            f"{what} in epoch {epoch}, by step {step} of {self._steps}. Train again with a lower "
            f"training_config.learning_rate than {self._config.learning_rate:g}.",
            field="training_config.learning_rate",
            epoch=epoch,
            step=step,
        )

    # Validation.

    def _validate(self, epoch: int) -> dict[str, float]:
        """Measure the network that would be kept on the validation images.

        Raises:
            Internal: What it says of them is no finite number.
        """
        val = self._training.val
        if not len(val):
            return {}
        model = self._kept()
        self._ranks.broadcast(model.buffers())
        model.eval()
        outputs: list[Any] = []
        class_count = self._training.class_count
        size = max(1, self._config.batch_size // (self._parts.count * self._ranks.count))
        with torch.inference_mode(), self._training.precision.autocast(self._ranks.device):
            for batch in self._batches.plain(val, size):
                answers = self._learner.forward(model, self._batches.ready(batch.images_N3HW))
                pairs = zip(answers, batch.targets, strict=True)
                outputs += [self._learner.digest(*pair, class_count) for pair in pairs]
        outputs = self._ranks.gather(outputs)
        metrics = self._learner.validate(outputs, val.targets, class_count)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise self._diverged(f"The metric {name} became {value}", epoch, self._steps)
        return metrics

    def _judge(self, epoch: int, validation: dict[str, float]) -> None:
        """Keep the weights if they are the best so far, and decide whether to go on."""
        progress, best = self._progress, self._progress.best_metrics
        metric = self._learner.best_metric
        gain = validation[metric] - best[metric] if best and validation else math.inf
        if gain > 0 or validation[metric] == 0:  # it may not have learned anything yet
            progress.improved_epoch = epoch
        if gain > 0 or (gain == 0 and self._is_better_otherwise(validation, best)):
            progress.best_epoch, progress.best_metrics = epoch, validation
            # Copies: training goes on with the originals.
            self._best = {
                name: tensor.detach().to("cpu", copy=True).contiguous()
                for name, tensor in self._kept().state_dict().items()
            }
        stale = epoch - progress.improved_epoch >= self._config.early_stopping_patience
        progress.epoch = epoch
        progress.finished = stale or epoch >= self._config.epoch_count

    def _is_better_otherwise(self, metrics: dict[str, float], best: dict[str, float]) -> bool:
        name = self._learner.tie_break
        gain = metrics[name] - best[name]
        return gain < 0 if name.endswith("loss") else gain > 0

    def _kept(self) -> nn.Module:
        """Return the network that would be the model if training ended now."""
        return self._average.model if self._average else self._model

    # Checkpoints.

    def _save(self) -> None:
        if self._checkpoints is None or not self._ranks.first:
            return
        started = time.monotonic()
        due = started - self._saved_at >= _CHECKPOINT_SPACING * self._save_took_s
        if not due and not self._progress.finished:
            return
        self._progress.batch_parts = self._parts.count
        self._progress.scaler = self._scaler.state_dict()
        tensors = state.capture(self._model, self._average, self._optimizer)
        try:
            self._checkpoints.save(self._progress, tensors, self._best)
        except StorageUnavailable as error:
            if self._progress.finished:
                raise
            _log.warning("epoch %d leaves no checkpoint: %s", self._progress.epoch, error)
            return
        self._saved_at = time.monotonic()
        self._save_took_s = self._saved_at - started

    def _resume(self) -> None:
        found = self._checkpoints.load() if self._checkpoints else None
        if found is None:
            return
        self._progress, tensors, self._best = found
        state.restore(tensors, self._model, self._average, self._optimizer)
        self._parts = Parts(self._progress.batch_parts)
        self._scaler.load_state_dict(self._progress.scaler)
        if self._ranks.first:
            for left in self._progress.history:
                self._reporter.add_history(**left)
