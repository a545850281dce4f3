"""Networks for other programs, as far as they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.objects.two_stages import not_exportable

if TYPE_CHECKING:
    from torch import nn

    from nocode.vision.v1 import model_pb2


def exportable(network: nn.Module, model: model_pb2.Model) -> tuple[nn.Module, tuple[str, ...]]:
    """Refuse: all architectures have two stages.

    Raises:
        Unsupported: Always.
    """
    del network
    raise not_exportable(model)
