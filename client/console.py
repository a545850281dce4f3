"""Where the command writes: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import os

from rich.console import Console

# Names come from users: in `dog [male]` and `:dog:` nothing is markup.
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = 200  # a file or a pipe folds nothing, and rich would say 80


def note(text: str) -> None:
    """Say something that is not the result."""
    err.print(text)


def failure(message: str, reason: str = "", log: str = "") -> None:
    """Say what went wrong."""
    if log:
        err.print(log, style="dim")
    err.print(f"Error: {message}" + (f" [{reason}]" if reason else ""), style="red")


def share(part: int, whole: int) -> str:
    """Write a part of something in percent; what is there is never 0."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"
