"""What is shown of GPUs."""

import pynvml
import pytest
from prometheus_client import CollectorRegistry

from common import gpu_metrics
from common.gpu_metrics import Gpu, GpuCollector


def test_each_gpu_is_shown_as_it_is_when_asked():
    """Not as it was before."""
    now = [Gpu(0, 10, 100, 0.5), Gpu(1, 20, 200, 1.0)]
    registry = CollectorRegistry()
    registry.register(GpuCollector(lambda: now))
    now[0] = Gpu(0, 90, 100, 0.25)

    def shown(figure, gpu):
        return registry.get_sample_value(f"nocode_vision_gpu_{figure}", {"gpu": gpu})

    assert [shown("memory_used_bytes", gpu) for gpu in "01"] == [90, 20]
    assert [shown("memory_bytes", gpu) for gpu in "01"] == [100, 200]
    assert [shown("utilization_ratio", gpu) for gpu in "01"] == [0.25, 1.0]


def test_a_use_that_the_driver_does_not_tell_is_not_shown_as_idle():
    """The parts of a GPU that is divided (MIG) have none."""
    registry = CollectorRegistry()
    registry.register(GpuCollector(lambda: [Gpu(0, 10, 100, None)]))

    labels = {"gpu": "0"}
    assert registry.get_sample_value("nocode_vision_gpu_memory_used_bytes", labels) == 10
    assert registry.get_sample_value("nocode_vision_gpu_utilization_ratio", labels) is None


def has_driver():
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def test_a_registry_shows_gpus_only_where_there_are_some():
    """A machine without NVIDIA's driver serves all the same, on its CPU."""
    registry = CollectorRegistry()

    gpu_metrics.show(registry)

    shown = [sample for metric in registry.collect() for sample in metric.samples]
    assert bool(shown) == has_driver()


@pytest.mark.gpu
def test_memory_that_is_taken_on_a_gpu_is_seen():
    """A real one, through the driver."""
    import torch

    before = next(gpu_metrics.read())
    taken = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    after = next(gpu_metrics.read())

    assert after.used_bytes - before.used_bytes >= taken.numel()
    assert after.total_bytes == torch.cuda.mem_get_info()[1]
    assert after.busy is None or 0 <= after.busy <= 1
