"""What the tests of real processes share."""

import pytest

from client import Client


@pytest.fixture(scope="module")
def client(stack):
    """A client of the gateway."""
    with Client(stack.address) as connected:
        yield connected
