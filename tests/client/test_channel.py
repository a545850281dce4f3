"""How servers are reached."""

import os
import subprocess
import sys

import pytest

from client.channel import is_loopback
from nocode.vision.v1 import prediction_pb2, prediction_pb2_grpc

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
