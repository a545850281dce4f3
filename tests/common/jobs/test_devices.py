"""How many jobs run at once, and where."""

import pytest

from common.jobs.devices import slots
from common.settings import ServiceSettings


@pytest.fixture
def settings():
    def make(**changes):
        return ServiceSettings(
            s3_endpoint="http://127.0.0.1:1",
            s3_access_key="a",
            s3_secret_key="b",
            s3_bucket="c",
            **changes,
        )

    return make


@pytest.fixture
def device_files(tmp_path, monkeypatch):
    """A machine with the driver's files of some GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(count):
        for name in ["nvidiactl", "nvidia-uvm", *(f"nvidia{i}" for i in range(count))]:
            (tmp_path / name).touch()
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("gpu_count", "changes", "expected"),
    [
        pytest.param(0, {}, [()], id="one job on a CPU"),
        pytest.param(0, {"job_slots": 3}, [(), (), ()], id="several on a CPU if told so"),
        pytest.param(2, {}, [("0",), ("1",)], id="one for each GPU"),
        pytest.param(4, {"job_slots": 1}, [("0", "1", "2", "3")], id="one job with all GPUs"),
        pytest.param(4, {"job_slots": 2}, [("0", "2"), ("1", "3")], id="two GPUs for each job"),
        pytest.param(1, {"job_slots": 2}, [("0",), ("0",)], id="two jobs share one GPU"),
        pytest.param(4, {"device": "cpu"}, [()], id="GPUs are not to be used"),
        pytest.param(4, {"device": "cuda:2"}, [("2",)], id="one GPU is to be used"),
    ],
)
def test_slots(settings, device_files, gpu_count, changes, expected):
    found = slots(settings(**changes), device_files(gpu_count))

    assert [slot.devices for slot in found] == expected


def test_what_cuda_may_see_is_all_there_is(settings, device_files, monkeypatch):
    """Names of GPUs, which need not be numbers, are passed on as they are."""
    directory = device_files(8)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a1b, 3")
    some = slots(settings(), directory)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    none = slots(settings(), directory)

    assert [slot.devices for slot in some] == [("GPU-8a1b",), ("3",)]
    assert [slot.devices for slot in none] == [()]
