"""What Prometheus is told about the GPUs of this machine, as NVIDIA's driver knows them.

All that this process can see are shown, whoever uses them: the workers of jobs are other processes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pynvml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import CollectorRegistry, Metric

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """A GPU at this moment.

    Attributes:
        index: Its number; `nvidia-smi` shows the same.
        used_bytes: Memory that is taken.
        total_bytes: All its memory.
        busy: Share of the last moments in which something ran on it, in [0, 1]; None if the driver
            does not say, as for a part of a GPU (MIG).
    """

    index: int
    used_bytes: int
    total_bytes: int
    busy: float | None


class GpuCollector(Collector):
    """Asks for the GPUs whenever it is scraped.

    Args:
        read: Returns the GPUs as they are now.
    """

    def __init__(self, read: Callable[[], Iterable[Gpu]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        used = _gauge("nocode_vision_gpu_memory_used_bytes", "Memory of the GPU that is taken.")
        total = _gauge("nocode_vision_gpu_memory_bytes", "All memory of the GPU.")
        busy = _gauge(
            "nocode_vision_gpu_utilization_ratio",
            "Share of the last moments in which something ran on the GPU.",
        )
        for gpu in self._read():
            label = [str(gpu.index)]
            used.add_metric(label, gpu.used_bytes)
            total.add_metric(label, gpu.total_bytes)
            if gpu.busy is not None:
                busy.add_metric(label, gpu.busy)
        yield from (used, total, busy)


def show(registry: CollectorRegistry) -> None:
    """Show the GPUs in a registry; without NVIDIA's driver there are none, and nothing is shown."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return
    registry.register(GpuCollector(read))


def read() -> Iterator[Gpu]:
    """Yield the GPUs as they are now; one that has fallen off the bus is left out."""
    try:
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        # The other figures of this process are still worth having.
        _log.warning("the GPUs cannot be read: %s", error)
        return
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            _log.warning("GPU %d cannot be read: %s", index, error)
            continue
        yield Gpu(index, int(memory.used), int(memory.total), _busy(handle))


def _busy(handle: object) -> float | None:
    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except pynvml.NVMLError:
        return None


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["gpu"])
