"""Python client of No-Code Vision, and the `nocode-vision` command."""

from client.api import Client
from client.channel import Security
from client.errors import CallFailed, JobFailed

__all__ = ["CallFailed", "Client", "JobFailed", "Security"]
