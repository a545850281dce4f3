"""Pages of lists: their size, and the tokens that lead from one to the next (AIP-158)."""

from __future__ import annotations

import base64
import json

from common.errors import InvalidInput
from common.reasons import Reason

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_PAGE_BYTES = 3 * 1024**2
"""A client takes messages of 4 MiB unless told; a single resource may be larger."""
# Ours are half as long. Bounds the depth of what is parsed.
_MAX_TOKEN_LENGTH = 512


def check_page_size(page_size: int) -> int:
    """Return how many resources a page has at most.

    Raises:
        InvalidInput: It is negative.
    """
    if page_size < 0:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"page_size is {page_size}. Send 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}.",
            field="page_size",
            value=page_size,
        )
    return min(page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def write_token(parent: str, after: str) -> str:
    """Make the token of the page of `parent` that starts behind the position `after`."""
    content = json.dumps([parent, after], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def read_token(page_token: str, parent: str) -> str:
    """Return the position behind which the page starts; empty for the first page.

    Raises:
        InvalidInput: It is no token, or one of another parent.
    """
    if not page_token:
        return ""
    try:
        if len(page_token) > _MAX_TOKEN_LENGTH:
            raise ValueError
        padded = page_token + "=" * (-len(page_token) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except ValueError:  # of the decoding or the parsing
        content = None
    match content:
        case [str(made_for), str(after)] if made_for == parent:
            return after
        case [str(made_for), str()]:
            problem = f"page_token was made for the parent {made_for}, but the parent is {parent}."
        case _:
            problem = "page_token is none that this method returned."
    raise InvalidInput(
        Reason.PAGE_TOKEN_INVALID,
        f"{problem} Send the next_page_token of the page before, with the same parent, or none to "
        "start from the first page.",
        field="page_token",
    )
