"""The demo: from photos of hands to a model that reads them, with the commands that a user types.

`make demo` runs it. It starts everything on this machine, imports, trains, measures on images held
out, predicts ten more, saves the pictures and stops everything.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from client import Client
from deploy.local.stack import LocalStack

ROOT = Path(__file__).resolve().parents[2]
HERE = Path("examples/classification")
RUN = Path(".run/demo")
PICTURES = RUN / "pictures"
DATASET = "tasks/classification/datasets/sign-digits"
PIPELINE = "tasks/classification/pipelines/sign-digits"
PROMISED_ACCURACY = 0.90


def main() -> int:
    """Run the demo; return its exit status."""
    os.chdir(ROOT)
    shutil.rmtree(RUN, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    started = time.monotonic()
    say("Starting an S3 server, the classification service and the gateway …")
    with LocalStack(RUN) as stack:
        os.environ["NOCODE_ADDRESS"] = stack.address
        unseen = sorted((HERE / "unseen").glob("*.jpg"))
        run("import", HERE / "sign_digits.zip", "--id", "sign-digits")
        # Half the recipe's area: enough for these photos, and a CPU without bf16 is slow.
        size = ("--set", "image_size_px=64")
        run("train", DATASET, "--architecture", "resnet18", *size, "--id", "sign-digits")
        run("evaluate", PIPELINE, "--save", PICTURES)
        run("predict", PIPELINE, *unseen, "--top-k", 1, "--overlay", PICTURES)
        accuracy = held_out_accuracy(stack.address)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    say(f"Stopped everything. Pictures: {PICTURES}")
    say(f"Held-out accuracy: {accuracy:.4f}   Time: {minutes} min {seconds} s")
    if accuracy < PROMISED_ACCURACY:
        say(f"That is less than the {PROMISED_ACCURACY:.2f} that this demo promises.")
        return 1
    return 0


def run(*arguments: object) -> None:
    """Show a command as a user would type it, and run it; end the demo if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ nocode-vision {shlex.join(words)}", flush=True)  # noqa: T201
    command = Path(sys.executable).with_name("nocode-vision")
    subprocess.run([command, *words], check=True)


def held_out_accuracy(address: str) -> float:
    """Return the accuracy of the pipeline's model on its test split."""
    with Client(address) as client:
        model = client.model(client.pipeline(PIPELINE).model)
    return model.evaluation.classification.accuracy


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit(130)
