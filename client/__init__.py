"""Python client of No-Code Vision, and the `nocode-vision` command."""

from client.api import Client
from client.errors import CallFailed, JobFailed

__all__ = ["CallFailed", "Client", "JobFailed"]
