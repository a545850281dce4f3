"""Tokens of programs: a file says their names, hashes and roles, never the tokens themselves.

`python -m gateway.tokens NAME --role trainer:detection` makes a token: it is printed once on
standard error, and its entry for the file on standard output.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.reloading import Reloaded
from gateway.roles import Caller, Role, by_task, parse_role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Known to programs that look for secrets in code.
_PREFIX = "ncv_"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{_NAME}$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    roles: list[str] = Field(min_length=1)
    expires: datetime | None = None

    @field_validator("roles")
    @classmethod
    def _check_roles(cls, roles: list[str]) -> list[str]:
        for role in roles:
            parse_role(role)
        return roles

    @field_validator("expires", mode="before")
    @classmethod
    def _begin_of_day(cls, expires: object) -> object:
        if isinstance(expires, date) and not isinstance(expires, datetime):
            return datetime(expires.year, expires.month, expires.day, tzinfo=UTC)
        return expires

    @field_validator("expires")
    @classmethod
    def _in_utc(cls, expires: datetime | None) -> datetime | None:
        return expires.replace(tzinfo=UTC) if expires and expires.tzinfo is None else expires


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokens: list[_Entry]


class Tokens:
    """The tokens of a file, which is read again when it changes.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not as it should be.
    """

    def __init__(self, path: Path) -> None:
        self._entries = Reloaded(f"the tokens of {path}", [path], lambda: _read(path))

    def refresh(self) -> None:
        """Read the file again if it has changed; a wrong one is not used, and logged."""
        self._entries.refresh()

    def caller(self, token: str) -> Caller | None:
        """Return whose token it is; None if it is nobody's, or has expired.

        What is looked up is a hash. How long that takes tells something about the hash of what was
        sent, and a caller cannot choose that: it does not lead to a token.
        """
        found = self._entries.value.get(hashlib.sha256(token.encode()).digest())
        if found is None:
            return None
        caller, expires = found
        return None if expires and datetime.now(UTC) >= expires else caller


def _read(path: Path) -> dict[bytes, tuple[Caller, datetime | None]]:
    """Return whose each token is, by its hash."""
    try:
        entries = _File.model_validate(yaml.safe_load(path.read_bytes())).tokens
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # The text of the error holds lines of the file.
        raise ValueError(
            f"{path} is no YAML" + (f", line {mark.line + 1}" if mark else "")
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"{path}: {place or 'the file'}: {problem['msg']}") from None
    by_name = {entry.name: entry for entry in entries}
    by_hash = {
        bytes.fromhex(entry.sha256): (
            Caller(f"token:{entry.name}", by_task(map(parse_role, entry.roles))),
            entry.expires,
        )
        for entry in entries
    }
    if len(by_name) < len(entries) or len(by_hash) < len(entries):
        raise ValueError(f"{path}: two tokens have the same name or sha256; each needs its own")
    return by_hash


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a token."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.tokens",
        description="Makes a token. It is printed once, on standard error; its entry for the file "
        "of NOCODE_TOKENS_FILE goes to standard output.",
    )
    parser.add_argument("name", help="who will use it, e.g. ci")
    parser.add_argument(
        "--role",
        action="append",
        required=True,
        help=f"{', '.join(role.name.lower() for role in Role)}: for all tasks, or for one, as in "
        "trainer:detection; may be given again",
    )
    parser.add_argument("--expires", type=date.fromisoformat, help="first day when it is refused")
    options = parser.parse_args(arguments)
    if not re.fullmatch(_NAME, options.name):
        parser.error(f"{options.name!r} is no name: up to 63 letters, digits and any of . _ @ -")
    try:
        for role in options.role:
            parse_role(role)
    except ValueError as error:
        parser.error(f"--role: {error}")
    token = _PREFIX + secrets.token_urlsafe(32)
    entry = {
        "name": options.name,
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
        "roles": options.role,
        **({"expires": options.expires} if options.expires else {}),
    }
    print(f"The token, which is not shown again:\n{token}", file=sys.stderr)  # noqa: T201
    print("Its entry, below `tokens:` in the file of NOCODE_TOKENS_FILE:", file=sys.stderr)  # noqa: T201
    print(yaml.safe_dump([entry], sort_keys=False), end="")  # noqa: T201


if __name__ == "__main__":
    main()
