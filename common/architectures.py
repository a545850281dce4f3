"""Architectures: what can be trained for a task, and how it is trained by default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from torch import Tensor, nn


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
class Published:
    """Weights that somebody has published, as a place to start from.

    Attributes:
        torchvision: torchvision's name of them, if they are its own.
        url: Else, where they are.
        sha256: Else, what their file must have; without it, they are not fetched, and taken from
            the bucket only if the operator has put their hash there.
        key: Where in the file the weights are; empty if the file holds nothing else.
        convert: From the file's names to the network's; None if they are the same.
        partial: They are for a part of the network; the rest starts from random weights.
    """

    torchvision: str = ""
    url: str = ""
    sha256: str = ""
    key: str = ""
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    partial: bool = False

    @property
    def name(self) -> str:
        """What to call them, e.g. `ResNet18_Weights.IMAGENET1K_V1` or `yolox_nano.pth`."""
        return self.torchvision or PurePosixPath(self.url).name


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network.

    Attributes:
        name: As in the API, e.g. `resnet18`.
        display_name: For people, e.g. `ResNet-18`.
        paper: Address of the paper.
        parameter_count: Weights with `parameter_count_class_count` classes.
        input_multiple_px: The image's side must be a multiple of this.
        input_minimum_px: And at least this.
        recipe: How it is trained unless told otherwise.
        build: From the number of classes to the network, with random weights.
        without: Fields of `TrainingConfig` that mean nothing for it.
        published: Weights to start from, the best first.
        mean: Subtracted from red, green and blue in [0, 1]; as the published weights want it.
        std: What they are divided by afterwards.
    """

    name: str
    display_name: str
    paper: str
    parameter_count: int
    input_multiple_px: int
    input_minimum_px: int
    recipe: Recipe
    build: Callable[[int], nn.Module]
    without: frozenset[str] = frozenset()
    parameter_count_class_count: int = 2
    published: tuple[Published, ...] = ()
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def pretrained_weights(self) -> str:
        """Name of the best published weights; empty if there are none."""
        return self.published[0].name if self.published else ""


class Registry:
    """The architectures of a task, in the order in which we would try them.

    Args:
        without: Fields of `TrainingConfig` that mean nothing for the task: they are not offered,
            and refused if they are set.
    """

    def __init__(self, *, without: Collection[str] = ()) -> None:
        self.without = frozenset(without)
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
        input_minimum_px: int = 0,
        pretrained_weights: str | Published = "",
        fallbacks: Sequence[Published] = (),
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> Callable[[Callable[[int], nn.Module]], Callable[[int], nn.Module]]:
        """Register the decorated builder, which takes a class count and returns a network.

        For the arguments see `Architecture`; `pretrained_weights` are the best published ones, by
        torchvision's name if that says it all, and `fallbacks` the others.
        """
        if isinstance(pretrained_weights, str):
            named = Published(torchvision=pretrained_weights)
            published = (named, *fallbacks) if pretrained_weights else tuple(fallbacks)
        else:
            published = (pretrained_weights, *fallbacks)

        def decorate(build: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
            if name in self._entries:
                raise ValueError(f"the architecture {name} is registered twice")
            self._entries[name] = Architecture(
                name=name,
                display_name=display_name,
                paper=paper,
                parameter_count=parameter_count,
                input_multiple_px=input_multiple_px,
                input_minimum_px=input_minimum_px or input_multiple_px,
                recipe=recipe,
                build=build,
                without=self.without,
                published=published,
                mean=mean,
                std=std,
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
