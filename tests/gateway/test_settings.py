"""What the gateway refuses to start with, as an operator sees it."""

import json
import os
import subprocess
import sys

import pytest

from common.settings import load
from gateway.app import Gateway
from gateway.settings import GatewaySettings, is_safe_url
from tests.certificates import Authority

BACKENDS = {"classification": "127.0.0.1:9"}


def test_it_refuses_to_be_open_to_other_machines():
    """It ends by itself, with one line that says what is missing."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("NOCODE_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env=env | {"NOCODE_BACKENDS": json.dumps(BACKENDS), "NOCODE_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stderr

    assert done.returncode == 1
    assert len(said.splitlines()) == 1
    for needed in (
        "0.0.0.0",
        "NOCODE_TLS_CERT_FILE",
        "NOCODE_TOKENS_FILE or NOCODE_OIDC_ISSUER",
        "NOCODE_ALLOW_OPEN=true",
    ):
        assert needed in said


@pytest.mark.parametrize("setting", ["tokens_file", "backend_ca_file"])
async def test_a_file_that_is_not_there_is_named(tmp_path, setting):
    settings = GatewaySettings(backends=BACKENDS, **{setting: tmp_path / "absent"})

    with pytest.raises(SystemExit, match="absent") as raised:
        Gateway(settings)

    assert "\n" not in raised.value.code


@pytest.mark.parametrize("missing", ["encryption", "who may call"])
def test_what_is_missing_is_named_alone(tmp_path, missing):
    tls = Authority(tmp_path).files("server").settings(mutual=False)
    given = {"tokens_file": "t"} if missing == "encryption" else tls
    settings = GatewaySettings(backends={"classification": "a:1"}, host="0.0.0.0", **given)

    (said,) = settings.missing_protection()

    assert missing in said


def test_with_tls_and_tokens_nothing_is_missing():
    settings = GatewaySettings(
        backends={"classification": "a:1"},
        host="0.0.0.0",
        tls_cert_file="c",
        tls_key_file="k",
        oidc_issuer="https://id.example.com",
        oidc_audience="a",
    )

    assert settings.missing_protection() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"OIDC_ISSUER": "http://id.example.com", "OIDC_AUDIENCE": "a"}, "NOCODE_OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://id.example.com"}, "NOCODE_OIDC_AUDIENCE"),
        ({"OIDC_AUDIENCE": "a"}, "NOCODE_OIDC_AUDIENCE"),
        ({"OIDC_JWKS_URL": "https://id.example.com"}, "NOCODE_OIDC_JWKS_URL"),
        ({"OIDC_JWKS_URL": "file:///etc/passwd"}, "NOCODE_OIDC_JWKS_URL"),
        ({"BACKEND_CERT_FILE": "c", "BACKEND_KEY_FILE": "k"}, "NOCODE_BACKEND_CERT_FILE"),
        ({"BACKEND_CA_FILE": "a", "BACKEND_KEY_FILE": "k"}, "NOCODE_BACKEND_KEY_FILE"),
        ({"RATE_LIMIT": "-1"}, "NOCODE_RATE_LIMIT"),
        ({"RATE_LIMIT": "nan"}, "NOCODE_RATE_LIMIT"),
        ({"RATE_BURST": "5"}, "NOCODE_RATE_BURST"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(monkeypatch, capsys, wrong, said):
    monkeypatch.setenv("NOCODE_BACKENDS", '{"classification": "a:1"}')
    for name, value in wrong.items():
        monkeypatch.setenv(f"NOCODE_{name}", value)

    with pytest.raises(SystemExit) as raised:
        load(GatewaySettings)

    assert raised.value.code == 2
    assert f"{said}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://id.example.com/realms/a", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost/a", True),
        ("http://[::1]:8080", True),
        ("http://id.example.com", False),
        ("http://localhost.example.com", False),
        ("https://", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_an_address_is_safe_if_nobody_else_can_answer_for_it(url, is_safe):
    assert is_safe_url(url) is is_safe
