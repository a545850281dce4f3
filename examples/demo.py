"""What the demos share: the whole system on this machine, and commands as a user types them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from client import Client
from deploy.local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nocode.vision.v1 import evaluation_pb2

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def system(service: str, run_dir: Path) -> Iterator[Callable[[str], evaluation_pb2.Evaluation]]:
    """Start everything in the project's root, and stop it in the end; say how long that took.

    Args:
        service: The task service that the demo needs.
        run_dir: Where data and pictures are kept; what is there already is removed.

    Yields:
        A function from the name of a pipeline to how its model does on the held-out images.
    """
    os.chdir(ROOT)
    shutil.rmtree(run_dir, ignore_errors=True)
    (run_dir / "pictures").mkdir(parents=True)
    started = time.monotonic()
    say(f"Starting an S3 server, the {service} service and the gateway …")
    with LocalStack(run_dir, services=[service]) as stack:
        os.environ["NOCODE_ADDRESS"] = stack.address
        yield lambda pipeline: _held_out(stack.address, pipeline)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    say(f"Stopped everything. Pictures: {run_dir / 'pictures'}   Time: {minutes} min {seconds} s")


def run(*arguments: object) -> None:
    """Show a command as a user would type it, and run it; end the demo if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ nocode-vision {shlex.join(words)}", flush=True)  # noqa: T201
    command = Path(sys.executable).with_name("nocode-vision")
    subprocess.run([command, *words], check=True)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


def verdict(what: str, value: float, promised: float) -> int:
    """Say what was reached, and return the demo's exit status."""
    say(f"{what}: {value:.4f}")
    if value < promised:
        say(f"That is less than the {promised:.2f} that this demo promises.")
        return 1
    return 0


def main(demo: Callable[[], int]) -> None:
    """Run a demo; end the process with its exit status."""
    try:
        sys.exit(demo())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit(130)


def _held_out(address: str, pipeline: str) -> evaluation_pb2.Evaluation:
    with Client(address) as client:
        return client.model(client.pipeline(pipeline).model).evaluation
