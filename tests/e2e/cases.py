"""What a module of these tests trains, and on what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A small task of its own.

    Attributes:
        task: E.g. `detection`.
        dataset_id: What the data set is called.
        archive: Makes the data set, a zip.
        architecture: What is trained on it.
        settings: Those with which that takes a minute at most, by field of `TrainingConfig`.
    """

    task: str
    dataset_id: str
    archive: Callable[[], bytes]
    architecture: str
    settings: dict[str, Any]
