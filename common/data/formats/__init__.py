"""Data set formats, one module each."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar


class Format(ABC):
    """A way in which people lay out labeled images."""

    name: ClassVar[str]
    """As in `ImportDatasetRequest.format`, e.g. `image_folder`."""
