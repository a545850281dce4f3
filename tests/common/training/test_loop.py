"""The training loop: repeatable, resumable, and it keeps the best."""

import math

import pytest
import torch

from common.errors import Internal, StorageUnavailable
from common.reasons import Reason
from common.training.checkpoints import Checkpoints
from common.training.precision import Precision
from services.classification.learner import ClassificationLearner
from tests.common.training import made


class Scripted(ClassificationLearner):
    """Validates as a script says, epoch by epoch."""

    def __init__(self, accuracies, losses=None):
        self.script = list(zip(accuracies, losses or [1.0] * len(accuracies), strict=True))
        self.seen = []  # the weights of each epoch

    def forward(self, model, images_N3HW):
        self.seen.append(made.digest(model.state_dict()))
        return super().forward(model, images_N3HW)

    def validate(self, outputs, targets, class_count):
        accuracy, loss = self.script.pop(0)
        return {"val_accuracy": accuracy, "val_loss": loss}


class Stopped(Exception):
    """Stands for whatever ends a worker."""


class Stopping(made.Recorder):
    """Ends the training in the middle of an epoch."""

    def __init__(self, epoch, step):
        super().__init__()
        self.end = (epoch, step)

    def progress(self, **values):
        super().progress(**values)
        if (values.get("epoch"), values.get("step")) == self.end:
            raise Stopped


def test_the_same_seed_gives_the_same_weights():
    """To the last bit, whatever the state of torch's own generator."""
    digests = []
    for state in (1, 2):
        model = made.network()
        torch.manual_seed(state)
        digests.append(made.digest(made.trainer(made.training(), model).fit().weights))

    assert digests[0] == digests[1]


def test_another_seed_gives_other_weights():
    """Order, variation and dropout follow it, even from equal first weights."""
    digests = {made.digest(made.trainer(made.training(seed=s)).fit().weights) for s in (0, 1)}

    assert len(digests) == 2


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resumed_training_gives_the_same_weights(bucket, tmp_path, optimizer):
    """Stopped within the second of three epochs and within the third."""
    what = made.training(epoch_count=3, optimizer=optimizer)
    uninterrupted = made.Recorder()
    whole = made.trainer(what, reporter=uninterrupted).fit()
    checkpoints = Checkpoints(bucket, "job/checkpoint/", tmp_path, attempt=1)

    interrupted = [Stopping(epoch, 1) for epoch in (2, 3)]
    for stopping in interrupted:
        with pytest.raises(Stopped):
            made.trainer(what, reporter=stopping, checkpoints=checkpoints).fit()
    # Whatever it begins with: all comes from the checkpoint, what earlier epochs left as well.
    last = made.Recorder()
    resumed = made.trainer(what, made.network(seed=1), reporter=last, checkpoints=checkpoints).fit()

    assert made.digest(resumed.weights) == made.digest(whole.weights)
    assert resumed.best_epoch == whole.best_epoch
    assert resumed.metrics == whole.metrics
    for recorder in (uninterrupted, last):
        for metrics in recorder.history.values():
            del metrics["images_per_second"]
    assert last.history == uninterrupted.history
    assert last.ended_s[1] == interrupted[0].ended_s[1]
    assert last.ended_s[2] == interrupted[1].ended_s[2]


def test_a_checkpoint_that_cannot_be_written_is_left_out(bucket, tmp_path, monkeypatch):
    """The storage may be back by the next epoch; without the last one there is no result."""
    checkpoints = Checkpoints(bucket, "job/checkpoint/", tmp_path, attempt=1)
    save, saved, away = checkpoints.save, [], {1, 3}

    def save_if_there(progress, *tensors):
        if progress.epoch in away:
            raise StorageUnavailable(Reason.STORAGE_UNAVAILABLE, "The storage is away.")
        save(progress, *tensors)
        saved.append(progress.epoch)

    monkeypatch.setattr(checkpoints, "save", save_if_there)
    with pytest.raises(StorageUnavailable):
        made.trainer(made.training(epoch_count=3), checkpoints=checkpoints).fit()
    away.clear()
    made.trainer(made.training(epoch_count=3), checkpoints=checkpoints).fit()

    assert saved == [2, 3]


def test_a_finished_training_is_not_done_again(bucket, tmp_path):
    """A worker that died while it evaluated goes on with the evaluation."""
    checkpoints = Checkpoints(bucket, "job/checkpoint/", tmp_path, attempt=1)
    first = made.trainer(made.training(), checkpoints=checkpoints).fit()
    recorder = made.Recorder()

    again = made.trainer(made.training(), checkpoints=checkpoints, reporter=recorder).fit()

    assert made.digest(again.weights) == made.digest(first.weights)
    assert recorder.reports == []


def test_training_learns():
    """The made classes are easy to tell."""
    recorder = made.Recorder()
    what = made.training(
        epoch_count=8,
        learning_rate=1e-2,
        train=made.subset(64),
        val=made.subset(32, first=100),
    )

    fitted = made.trainer(what, reporter=recorder).fit()

    assert fitted.metrics["val_accuracy"] >= 0.95
    assert recorder.history[8]["loss"] < recorder.history[1]["loss"]


def test_progress_is_told_from_the_first_step_to_the_last():
    """Epoch, step, loss, learning rate and speed; then what validation found."""
    recorder = made.Recorder()

    made.trainer(made.training(), reporter=recorder).fit()

    steps = [r for r in recorder.reports if "step" in r]
    assert (steps[0]["epoch"], steps[0]["step"]) == (1, 1)
    assert (steps[-1]["epoch"], steps[-1]["step"]) == (2, 3)
    assert all(r["step_count"] == 3 and r["epoch_count"] == 2 for r in steps)
    assert all(r["images_per_second"] > 0 for r in steps)
    assert all(math.isfinite(r["metrics"]["loss"]) for r in steps)
    assert list(recorder.history) == [1, 2]
    assert set(recorder.history[2]) == {
        "loss",
        "learning_rate",
        "images_per_second",
        "val_accuracy",
        "val_loss",
    }


def test_the_loss_is_the_mean_over_the_images_of_the_epoch():
    """A step of 7 images and one of 6 weigh as many images as they have."""
    recorder = made.Recorder()
    # A learning rate of nearly nothing: the network stays as it is.
    what = made.training(
        train=made.subset(13),
        learning_rate=1e-12,
        epoch_count=1,
        augmentation="none",
        label_smoothing=0.0,
        weight_average_decay=0.0,
    )
    model = made.plain_network()
    made.trainer(what, model, reporter=recorder).fit()

    batch = made.trainer(what)._batches.plain(what.train, 13)
    images = torch.cat([b.images_N3HW for b in batch])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(images), torch.tensor(what.train.targets))
    assert recorder.history[1]["loss"] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("accuracies", "losses", "best"),
    [
        pytest.param([0.5, 0.9, 0.7], None, 2, id="highest metric"),
        pytest.param([0.5, 0.9, 0.9], None, 2, id="the first of equals"),
        pytest.param([0.5, 0.9, 0.9], [1.0, 0.5, 0.4], 3, id="of equals, the lower loss"),
        pytest.param([0.9, 0.5, 0.5], [0.9, 0.1, 0.1], 1, id="the loss alone decides nothing"),
    ],
)
def test_the_best_epoch_is_kept(accuracies, losses, best):
    """Its weights are those that the network had then."""
    learner = Scripted(accuracies, losses)

    fitted = made.trainer(made.training(epoch_count=3, learner=learner)).fit()

    assert fitted.best_epoch == best
    assert fitted.metrics["val_accuracy"] == accuracies[best - 1]
    assert len(set(learner.seen)) == 3
    assert made.digest(fitted.weights) == learner.seen[best - 1]


def test_training_ends_when_it_stops_getting_better():
    """Patience 2: epochs 3 and 4 are no better than epoch 2, so there is no epoch 5."""
    recorder = made.Recorder()
    learner = Scripted([0.5, 0.8, 0.8, 0.7, 0.9], [1.0, 0.5, 0.4, 0.3, 0.2])
    what = made.training(epoch_count=5, early_stopping_patience=2, learner=learner)

    fitted = made.trainer(what, reporter=recorder).fit()

    assert list(recorder.history) == [1, 2, 3, 4]
    # As good as epoch 2 and with less loss, but not better: patience ran on.
    assert fitted.best_epoch == 3


def test_without_validation_images_the_last_epoch_is_kept():
    """There is nothing to choose by."""
    recorder = made.Recorder()

    fitted = made.trainer(made.training(val=made.subset(0)), reporter=recorder).fit()

    assert fitted.best_epoch == 2
    assert set(recorder.history[2]) == {"loss", "learning_rate", "images_per_second"}


def test_a_loss_that_is_no_number_ends_the_training():
    """With the field to change, and what it was."""
    what = made.training(optimizer="sgd", learning_rate=10.0, weight_decay=0.0, epoch_count=40)
    with pytest.raises(Internal) as caught:
        made.trainer(what, made.plain_network()).fit()

    assert caught.value.reason == Reason.DIVERGED
    assert caught.value.field == "training_config.learning_rate"
    assert "lower training_config.learning_rate than 10" in caught.value.message


def test_patience_begins_once_something_is_learned():
    """A detector from random weights finds nothing for a while."""
    learner = Scripted([0.0, 0.0, 0.0, 0.3, 0.2, 0.1, 0.9])
    what = made.training(epoch_count=7, early_stopping_patience=2, learner=learner)
    recorder = made.Recorder()

    fitted = made.trainer(what, reporter=recorder).fit()

    assert fitted.best_epoch == 4
    assert max(recorder.history) == 6


def test_a_tie_may_be_broken_by_a_metric_of_which_more_is_better():
    """As average precision at one overlap, where that over all overlaps is equal."""
    learner = Scripted([0.5, 0.5, 0.5], [0.2, 0.4, 0.3])
    learner.tie_break = "val_ap50"
    learner.validate = lambda *_: dict(
        zip(("val_accuracy", "val_ap50"), learner.script.pop(0), strict=True)
    )

    fitted = made.trainer(made.training(learner=learner, epoch_count=3)).fit()

    assert fitted.best_epoch == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_no_number_ends_the_training(loss):
    """The network's answers are none either, though its loss in training was."""
    learner = Scripted([0.5, 0.5], [1.0, loss])
    with pytest.raises(Internal) as caught:
        made.trainer(made.training(learner=learner)).fit()

    assert caught.value.reason == Reason.DIVERGED
    assert caught.value.message.startswith(f"The metric val_loss became {loss} in epoch 2")


def test_rare_classes_can_count_more():
    """With weight 0 a class teaches nothing: its images might be missing."""
    class_weights_C = torch.tensor([1.0, 0.0])
    learner = ClassificationLearner()
    images, model = torch.rand(4, 3, 32, 32), made.plain_network()
    config = made.config(label_smoothing=0.0)

    both = learner.loss(model, images, [0, 1, 0, 1], config, class_weights_C)
    zeros = learner.loss(model, images[[0, 2]], [0, 0], config, None)

    assert both.item() == pytest.approx(zeros.item() / 2)


def test_bf16_trains_and_repeats_itself():
    """On any CPU, if slowly where the hardware has no instructions for it."""
    precision = Precision("bf16", "a test says so")
    fitted = [made.trainer(made.training(precision=precision)).fit() for _ in range(2)]

    assert made.digest(fitted[0].weights) == made.digest(fitted[1].weights)
    assert all(t.dtype != torch.bfloat16 for t in fitted[0].weights.values())
    assert made.digest(fitted[0].weights) != made.digest(
        made.trainer(made.training()).fit().weights
    )
