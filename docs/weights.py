"""`docs/weights.txt`, for mirrors: `python -m docs.weights` writes where published weights are."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torchvision

from services.classification.architectures import classifiers
from services.detection.architectures import detectors
from services.segmentation.instance.architectures import instance_segmenters
from services.segmentation.semantic.architectures import segmenters

if TYPE_CHECKING:
    from common.architectures import Published

PAGE = Path(__file__).with_name("weights.txt")


def page() -> str:
    """Return the addresses of all published weights, one a line."""
    entries = chain(classifiers, detectors, segmenters, instance_segmenters)
    found = {_url(published) for entry in entries for published in entry.published}
    return "".join(f"{url}\n" for url in sorted(found))


def _url(published: Published) -> str:
    if not published.torchvision:
        return published.url
    return str(torchvision.models.get_weight(published.torchvision).url)


if __name__ == "__main__":
    PAGE.write_text(page())
