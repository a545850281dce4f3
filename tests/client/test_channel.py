"""How servers are reached."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from client import Client, Security
from client.channel import is_loopback
from nocode.vision.v1 import job_pb2, job_pb2_grpc, prediction_pb2, prediction_pb2_grpc

CALL = """
import sys
from client import CallFailed, Client

with Client(sys.argv[1]) as client:
    try:
        print(client.predict("m", []).model)
    except CallFailed as error:
        print(error.message)
"""


class Echo(prediction_pb2_grpc.PredictionServiceServicer):
    """Answers with the name that it was asked for."""

    def Predict(self, request, context):
        return prediction_pb2.PredictResponse(model=f"This is {request.name}.")


def call(address, **env):
    """Call an address from a process with these variables and no exceptions from the proxy."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [sys.executable, "-c", CALL, address],
        env=kept | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_is_asked_for_this_machine(serve, host):
    """It would look for the server on its own."""
    port = serve(Echo()).rpartition(":")[2]

    assert call(f"{host}:{port}", http_proxy="http://127.0.0.1:9") == "This is m.\n"


def test_a_proxy_is_asked_for_other_machines():
    """There may be no other way to them."""
    said = call("vision.example.com:443", http_proxy="http://127.0.0.1:9")

    assert "127.0.0.1:9" in said


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50050", True),
        ("127.8.0.1:50050", True),
        ("localhost:50050", True),
        ("[::1]:50050", True),
        ("dns:///localhost:50050", True),
        ("10.0.0.1:50050", False),
        ("[2001:db8::1]:50050", False),
        ("localhost.example.com:50050", False),
        ("vision.example.com:443", False),
    ],
)
def test_addresses_of_this_machine_are_known(address, expected):
    """By name and by number."""
    assert is_loopback(address) is expected


class Mirror(job_pb2_grpc.JobServiceServicer):
    """Notes the metadata `authorization` of each call."""

    def __init__(self):
        self.seen = []

    def _see(self, context):
        self.seen.append(dict(context.invocation_metadata()).get("authorization"))

    def GetJob(self, request, context):
        self._see(context)
        return job_pb2.Job()

    def WatchJob(self, request, context):
        self._see(context)
        yield job_pb2.Job(state=job_pb2.Job.STATE_SUCCEEDED)

    def DownloadArtifact(self, request, context):
        self._see(context)
        yield job_pb2.DownloadArtifactResponse(chunk=b"x")


def test_every_call_carries_the_token(serve, tmp_path):
    """In all call shapes."""
    mirror = Mirror()
    with Client(serve(mirror), Security(token="t")) as client:
        client.job("j")
        list(client.watch("j"))
        client.download("j", "u", tmp_path / "file")

    assert mirror.seen == ["Bearer t"] * 3


def test_without_a_token_none_is_sent(serve):
    mirror = Mirror()
    with Client(serve(mirror)) as client:
        client.job("j")

    assert mirror.seen == [None]


@pytest.mark.parametrize(
    ("security", "said"),
    [
        (Security(token="secret"), "unencrypted"),
        (Security(cert=Path("c"), key=Path("k")), "only with TLS"),
        (Security(tls=True, cert=Path("c")), "A certificate and its key"),
    ],
)
def test_what_does_not_protect_is_refused(security, said):
    """A token must not be read on its way."""
    with pytest.raises(ValueError, match=said) as raised:
        Client("vision.example.com:443", security)

    assert "secret" not in str(raised.value)


def test_a_token_is_not_shown():
    """Not even where the settings are, as in a log."""
    assert "secret" not in repr(Security(token="secret"))


@pytest.mark.parametrize("token", ["secret\n", "sécret", "sec\0ret"])
def test_what_no_token_can_be_is_refused_without_being_told(token):
    """At the first call, gRPC would say no more than that some metadata is invalid."""
    with pytest.raises(ValueError, match="token") as raised:
        Client("127.0.0.1:1", Security(token=token))

    assert token not in str(raised.value)


def test_files_that_are_none_are_named(tmp_path):
    file = tmp_path / "ca.crt"
    with pytest.raises(FileNotFoundError, match=r"ca\.crt"):
        Client("127.0.0.1:1", Security(ca=file))
    file.write_text("nonsense")

    with pytest.raises(ValueError, match=r"ca\.crt is not"):
        Client("127.0.0.1:1", Security(ca=file))
