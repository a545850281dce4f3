"""Recipes and what may be changed of them: one table of the fields of `TrainingConfig`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import struct_pb2

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from nocode.vision.v1 import pipeline_pb2 as pb

if TYPE_CHECKING:
    from common.architectures import Architecture

INTEGER = pb.SettingSchema.TYPE_INTEGER
NUMBER = pb.SettingSchema.TYPE_NUMBER
CHOICE = pb.SettingSchema.TYPE_CHOICE

BELOW_1 = math.nextafter(1, 0)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a field of `TrainingConfig` takes.

    Attributes:
        help: One line for a person.
        type: What kind of value.
        minimum: Least value, for numbers.
        maximum: Greatest value, for numbers.
        choices: Values, for choices.
        of_input: The value is a side of the network's input: a multiple of the architecture's
            `input_multiple_px`, and at least its `input_minimum_px`.
    """

    help: str
    type: pb.SettingSchema.Type.ValueType
    minimum: float = 0.0
    maximum: float = 0.0
    choices: tuple[str, ...] = ()
    of_input: bool = False


SETTINGS: dict[str, Setting] = {
    "epoch_count": Setting(
        help="Passes over the training images. More takes longer and may learn more.",
        type=INTEGER,
        minimum=1,
        maximum=1000,
    ),
    "batch_size": Setting(
        help="Images from which one step learns. More is steadier and takes more memory.",
        type=INTEGER,
        minimum=1,
        maximum=4096,
    ),
    "image_size_px": Setting(
        help="Side of an image once resized. More shows finer detail and takes longer.",
        type=INTEGER,
        minimum=1,
        maximum=2048,
        of_input=True,
    ),
    "learning_rate": Setting(
        help="How far a step goes at most. Less is safer and slower.",
        type=NUMBER,
        minimum=0,
        maximum=10,
    ),
    "optimizer": Setting(
        help="How steps are taken: adamw is forgiving, sgd is the classic.",
        type=CHOICE,
        choices=("adamw", "sgd"),
    ),
    "weight_decay": Setting(
        help="Pull of the weights towards 0. More guards against learning by heart.",
        type=NUMBER,
        minimum=0,
        maximum=1,
    ),
    "augmentation": Setting(
        help="How strongly training images are varied. More helps when images are few.",
        type=CHOICE,
        choices=("none", "light", "standard", "strong"),
    ),
    "pretrained": Setting(
        help="Start from published weights: auto if they can be had, required or none.",
        type=CHOICE,
        choices=("auto", "required", "none"),
    ),
    "precision": Setting(
        help="Arithmetic: auto takes the fastest that the hardware does well.",
        type=CHOICE,
        choices=("auto", "fp32", "bf16", "fp16"),
    ),
    "seed": Setting(
        help="Decides everything random. The same seed gives the same model.",
        type=INTEGER,
        minimum=0,
        maximum=2**32 - 1,
    ),
    "early_stopping_patience": Setting(
        help="Epochs without getting better after which training ends early.",
        type=INTEGER,
        minimum=1,
        maximum=1000,
    ),
    "label_smoothing": Setting(
        help="Doubt cast on every label. Some guards against overconfidence and wrong labels.",
        type=NUMBER,
        minimum=0,
        maximum=0.5,
    ),
    "warmup_epoch_count": Setting(
        help="Epochs over which steps grow from nearly nothing to the learning rate.",
        type=NUMBER,
        minimum=0,
        maximum=100,
    ),
    "class_balance": Setting(
        help="Make rare classes count more: auto does so where the data is skewed.",
        type=CHOICE,
        choices=("auto", "balanced", "none"),
    ),
    "weight_average_decay": Setting(
        help="Keep a moving average of the weights: nearer 1 averages longer, 0 not at all.",
        type=NUMBER,
        minimum=0,
        maximum=BELOW_1,
    ),
}


def schema(entry: Architecture) -> list[pb.SettingSchema]:
    """Return what may be set for an architecture, in the order of `TrainingConfig`."""
    listed = []
    for field, setting in SETTINGS.items():
        if field in entry.without:
            continue
        default = getattr(entry.recipe, field)
        minimum, maximum = _bounds(setting, entry)
        listed.append(
            pb.SettingSchema(
                field=field,
                type=setting.type,
                default_value=struct_pb2.Value(string_value=default)
                if setting.type == CHOICE
                else struct_pb2.Value(number_value=default),
                minimum=minimum,
                maximum=maximum,
                choices=setting.choices,
                multiple_of=entry.input_multiple_px if setting.of_input else 0,
                help=setting.help,
            )
        )
    return listed


def validate(entry: Architecture, config: pb.TrainingConfig, *, prefix: str) -> None:
    """Check what a caller has set; what is left out is the recipe's and needs no check.

    Args:
        entry: What is to be trained.
        config: As sent.
        prefix: Where it is in the request, e.g. `pipeline.training_config.`.

    Raises:
        InvalidInput: A value is not what `schema` says.
    """
    sent = _sent(config)
    for field, setting in SETTINGS.items():
        if field not in sent:
            continue
        value = getattr(config, field)
        if field in entry.without:
            raise InvalidInput(
                Reason.OPTION_UNSUPPORTED,
                f"{prefix}{field} is {value}, but means nothing for {entry.name}. Leave it out.",
                field=prefix + field,
                value=value,
            )
        if setting.type == CHOICE:
            _check_choice(value, setting, prefix + field)
        else:
            minimum, maximum = _bounds(setting, entry)
            _check_range(value, minimum, maximum, prefix + field)
            if setting.of_input:
                _check_multiple(value, entry, prefix + field)


def resolve(entry: Architecture, config: pb.TrainingConfig) -> pb.TrainingConfig:
    """Return settings in which every field that means something is set.

    The caller's, else the recipe's.
    """
    sent = _sent(config)
    return pb.TrainingConfig(
        **{
            field: getattr(config if field in sent else entry.recipe, field)
            for field in SETTINGS
            if field not in entry.without
        }
    )


def _sent(config: pb.TrainingConfig) -> set[str]:
    """Return the fields that are neither left out nor, unless they are optional, at 0 or empty."""
    return {field.name for field, _ in config.ListFields()}


def _bounds(setting: Setting, entry: Architecture) -> tuple[float, float]:
    if not setting.of_input:
        return setting.minimum, setting.maximum
    step = entry.input_multiple_px
    return entry.input_minimum_px, setting.maximum // step * step


def _check_choice(value: str, setting: Setting, field: str) -> None:
    if value not in setting.choices:
        raise InvalidInput(
            Reason.FIELD_NOT_A_CHOICE,
            f"{field} is {shorten(value)!r}. Send one of {', '.join(setting.choices)}.",
            field=field,
            value=shorten(value),
            choices=",".join(setting.choices),
        )


def _check_range(value: float, minimum: float, maximum: float, field: str) -> None:
    if not minimum <= value <= maximum:  # NaN is not, either
        upper = "1)" if maximum == BELOW_1 else f"{maximum:.10g}]"
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"{field} is {value}. Send a value in [{minimum:.10g}, {upper}.",
            field=field,
            value=value,
            minimum=minimum,
            maximum=maximum,
        )


def _check_multiple(value: int, entry: Architecture, field: str) -> None:
    step = entry.input_multiple_px
    if value % step:
        below = value // step * step
        raise InvalidInput(
            Reason.IMAGE_SIZE_NOT_A_MULTIPLE,
            f"{field} is {value}, but {entry.name} needs a multiple of {step}. The nearest are "
            f"{below} and {below + step}.",
            field=field,
            value=value,
            multiple_of=step,
            nearest=f"{below},{below + step}",
        )
