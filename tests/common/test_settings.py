"""Settings are checked at start, and named by their variables."""

import pytest

from common import settings


@pytest.fixture
def storage(monkeypatch):
    """The four variables of the storage."""
    for name, value in {
        "ENDPOINT": "http://127.0.0.1:9000",
        "ACCESS_KEY": "key",
        "SECRET_KEY": "hidden-secret",
        "BUCKET": "b",
    }.items():
        monkeypatch.setenv(f"NOCODE_S3_{name}", value)
    return monkeypatch


def test_four_variables_are_enough(storage):
    """Everything else has a default."""
    assert settings.load(settings.ServiceSettings).s3_bucket == "b"


def test_secrets_are_not_shown(storage):
    """Whoever logs the settings does not log the keys."""
    assert "hidden-secret" not in repr(settings.load(settings.StorageSettings))


def test_what_is_missing_is_named_by_its_variable(storage, capsys):
    """And the exit status is 2."""
    storage.delenv("NOCODE_S3_BUCKET")

    with pytest.raises(SystemExit) as stop:
        settings.load(settings.ServiceSettings)

    assert stop.value.code == 2
    assert "NOCODE_S3_BUCKET" in capsys.readouterr().err


def test_what_is_wrong_is_named_by_its_variable(storage, capsys):
    """With what it should be."""
    storage.setenv("NOCODE_PORT", "http")

    with pytest.raises(SystemExit):
        settings.load(settings.ServiceSettings)

    assert "NOCODE_PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PREDICT_PRECISION", "fp-32"), ("DEVICE", "gpu"), ("DEVICE", "cuda:"), ("LOG_LEVEL", "loud")],
)
def test_a_word_that_means_nothing_is_refused(storage, capsys, variable, value):
    storage.setenv(f"NOCODE_{variable}", value)

    with pytest.raises(SystemExit):
        settings.load(settings.ServiceSettings)

    assert f"NOCODE_{variable}" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_that_there_may_be(storage, device):
    storage.setenv("NOCODE_DEVICE", device)

    assert settings.load(settings.ServiceSettings).device == device
