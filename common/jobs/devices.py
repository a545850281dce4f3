"""How many jobs run at once, and on which devices. Counts GPUs without importing torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.settings import ServiceSettings

_GPU_FILE = re.compile(r"nvidia\d+")


@dataclass(frozen=True)
class Slot:
    """Room for one job.

    Attributes:
        devices: The GPUs that the job may use, as `CUDA_VISIBLE_DEVICES` names them; none on a CPU.
    """

    devices: tuple[str, ...] = ()


def slots(settings: ServiceSettings, devices_dir: Path = Path("/dev")) -> list[Slot]:
    """Return room for as many jobs as the settings say: by default one for each device.

    With fewer slots than GPUs a job gets several of them, with more slots several jobs share one.
    """
    gpus = visible_gpus(settings.device, devices_dir)
    count = settings.job_slots or max(len(gpus), 1)
    if not gpus:
        return [Slot()] * count
    return [Slot(tuple(gpus[i::count]) or (gpus[i % len(gpus)],)) for i in range(count)]


def visible_gpus(device: str, devices_dir: Path = Path("/dev")) -> list[str]:
    """Return the GPUs that `Settings.device` allows, as `CUDA_VISIBLE_DEVICES` names them."""
    if device == "cpu":
        return []
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        listed = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
        gpus = [gpu.strip() for gpu in listed if gpu.strip() not in {"", "-1"}]
    else:
        files = [file for file in devices_dir.glob("nvidia*") if _GPU_FILE.fullmatch(file.name)]
        gpus = [str(index) for index in range(len(files))]
    if device.startswith("cuda:"):
        index = int(device.removeprefix("cuda:"))
        return gpus[index : index + 1]
    return gpus
