"""Small archives of each format, for each task that it is of use for.

A module is called as its format. `make(task)` returns contents by paths, and `expected(task)` what
an import finds in them, counted by hand.
"""

from dataclasses import dataclass, field

import numpy as np

from tests.common.data.pictures import encode, picture


@dataclass(frozen=True)
class Counts:
    """What an import finds.

    Attributes:
        images: How many can be used.
        classes: Of each class that an image shows, how many images of classification, objects, or
            pixels of semantic segmentation.
        splits: How many images are in each split; empty if the data brings none.
        findings: What is noticed while labels are read; None if it is not to be compared.
    """

    images: int
    classes: dict[str, int]
    splits: dict[str, int] = field(default_factory=dict)
    findings: set[str] | None = None


def images(*paths: str, width: int = 100, height: int = 80) -> dict[str, bytes]:
    """Images that all show something else."""
    return {
        path: encode(
            picture(width, height, seed), "PNG" if path.lower().endswith("png") else "JPEG"
        )
        for seed, path in enumerate(paths)
    }


def mask(width: int, height: int, *values: int | tuple[int, int, int]) -> bytes:
    """A PNG in which each value, or colour, has a stripe of the same width."""
    stripes = np.repeat(np.array(values, np.uint8), width // len(values), axis=0)
    return encode(np.repeat(stripes[None], height, axis=0), "PNG")
