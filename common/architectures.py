"""Architectures: what can be trained for a task, and how it is trained by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training that works on a few hundred images without being touched.

    The fields are those of `TrainingConfig`, and mean the same, but for one:

    Attributes:
        min_step_count: A training whose `epoch_count` is left to the recipe takes at least this
            many steps. On few images that is more epochs, which then last only seconds.
    """

    epoch_count: int
    batch_size: int
    image_size_px: int
    learning_rate: float
    optimizer: str = "adamw"
    weight_decay: float = 0.05
    augmentation: str = "standard"
    pretrained: str = "auto"
    precision: str = "auto"
    seed: int = 0
    early_stopping_patience: int = 10
    label_smoothing: float = 0.1
    warmup_epoch_count: float = 2.0
    class_balance: str = "auto"
    weight_average_decay: float = 0.98
    min_step_count: int = 350


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network.

    Attributes:
        name: As in the API, e.g. `resnet18`.
        display_name: For people, e.g. `ResNet-18`.
        paper: Address of the paper.
        parameter_count: Weights with `parameter_count_class_count` classes.
        input_multiple_px: The image's side must be a multiple of this.
        recipe: How it is trained unless told otherwise.
        build: From the number of classes to the network, with random weights.
        pretrained_weights: torchvision's name of the published weights, if any.
    """

    name: str
    display_name: str
    paper: str
    parameter_count: int
    input_multiple_px: int
    recipe: Recipe
    build: Callable[[int], nn.Module]
    parameter_count_class_count: int = 2
    pretrained_weights: str = ""


class Registry:
    """The architectures of a task, in the order in which we would try them."""

    def __init__(self) -> None:
        self._entries: dict[str, Architecture] = {}

    def register(
        self,
        name: str,
        *,
        display_name: str,
        paper: str,
        parameter_count: int,
        recipe: Recipe,
        input_multiple_px: int = 32,
        pretrained_weights: str = "",
    ) -> Callable[[Callable[[int], nn.Module]], Callable[[int], nn.Module]]:
        """Register the decorated builder, which takes a class count and returns a network."""

        def decorate(build: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
            if name in self._entries:
                raise ValueError(f"the architecture {name} is registered twice")
            self._entries[name] = Architecture(
                name=name,
                display_name=display_name,
                paper=paper,
                parameter_count=parameter_count,
                input_multiple_px=input_multiple_px,
                recipe=recipe,
                build=build,
                pretrained_weights=pretrained_weights,
            )
            return build

        return decorate

    def __iter__(self) -> Iterator[Architecture]:
        return iter(self._entries.values())

    def get(self, name: str, *, field: str = "architecture") -> Architecture:
        """Return the architecture called `name`.

        Raises:
            InvalidInput: There is none; the message lists those there are.
        """
        if name not in self._entries:
            raise InvalidInput(
                Reason.ARCHITECTURE_UNKNOWN if name else Reason.FIELD_REQUIRED,
                f"{field} is {shorten(name)!r}. Send one of {', '.join(self._entries)}.",
                field=field,
                value=shorten(name),
            )
        return self._entries[name]
