"""The demo: from photos of hands to a model that reads them, with the commands that a user types.

`make demo` runs it. It starts everything on this machine, imports, trains, measures on images held
out, predicts ten more, saves the pictures and stops everything.
"""

from __future__ import annotations

from pathlib import Path

from examples import demo

HERE = Path("examples/classification")
RUN = Path(".run/demo")
PIPELINE = "tasks/classification/pipelines/sign-digits"
PROMISED_ACCURACY = 0.90


def main() -> int:
    """Run the demo; return its exit status."""
    with demo.system("classification", RUN) as held_out:
        dataset = "tasks/classification/datasets/sign-digits"
        pictures = RUN / "pictures"
        demo.run("import", HERE / "sign_digits.zip", "--id", "sign-digits")
        # Half the recipe's area: enough for these photos, and a CPU without bf16 is slow.
        size = ("--set", "image_size_px=64")
        demo.run("train", dataset, "--architecture", "resnet18", *size, "--id", "sign-digits")
        demo.run("evaluate", PIPELINE, "--save", pictures)
        unseen = sorted((HERE / "unseen").glob("*.jpg"))
        demo.run("predict", PIPELINE, *unseen, "--top-k", 1, "--overlay", pictures)
        accuracy = held_out(PIPELINE).classification.accuracy
    return demo.verdict("Held-out accuracy", accuracy, PROMISED_ACCURACY)


if __name__ == "__main__":
    demo.main(main)
