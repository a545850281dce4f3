"""The demo of detection: from photos of blood to a model that finds its cells.

`make demo-detection` runs it. It starts everything on this machine, imports, trains, measures on
images held out, finds the cells in four more, saves the pictures and stops everything.
"""

from __future__ import annotations

from pathlib import Path

from examples import demo

HERE = Path("examples/detection")
RUN = Path(".run/demo-detection")
PIPELINE = "tasks/detection/pipelines/blood-cells"
PROMISED_AP50 = 0.50


def main() -> int:
    """Run the demo; return its exit status."""
    with demo.system("detection", RUN) as held_out:
        dataset = "tasks/detection/datasets/blood-cells"
        pictures = RUN / "pictures"
        demo.run("import", HERE / "blood_cells.zip", "--task", "detection", "--id", "blood-cells")
        # Smaller and shorter than the recipe, so that two cores need minutes.
        settings = ("--set", "image_size_px=256", "--set", "epoch_count=60")
        demo.run("train", dataset, "--architecture", "yolox_nano", *settings, "--id", "blood-cells")
        demo.run("evaluate", PIPELINE, "--save", pictures)
        unseen = sorted((HERE / "unseen").glob("*.jpg"))
        demo.run("predict", PIPELINE, *unseen, "--overlay", pictures)
        ap50 = held_out(PIPELINE).detection.box.ap50
    return demo.verdict("Held-out AP50", ap50, PROMISED_AP50)


if __name__ == "__main__":
    demo.main(main)
