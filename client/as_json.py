"""What the command prints for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message


def fields(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it; what is 0 or empty, such as a box's side, is there, too."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def print_document(message: Message) -> None:
    """Print a message that is all that there is."""
    print(json.dumps(fields(message), indent=2))  # noqa: T201


def print_line(values: Mapping[str, Any]) -> None:
    """Print one of many, in a line of its own."""
    print(json.dumps(values))  # noqa: T201
