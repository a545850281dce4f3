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
PROMISED_AP50 = 0.60


def main() -> int:
    """Run the demo; return its exit status."""
    with demo.system("detection", RUN) as held_out:
        dataset = "tasks/detection/datasets/blood-cells"
        pictures = RUN / "pictures"
        demo.run("import", HERE / "blood_cells.zip", "--task", "detection", "--id", "blood-cells")
        # Smaller and shorter than the recipe, so that two cores need minutes.
        # The average of the weights must look back less far in a short training.
        settings = [
            part
            for setting in ("image_size_px=320", "epoch_count=120", "weight_average_decay=0.98")
            for part in ("--set", setting)
        ]
        demo.run("train", dataset, "--architecture", "yolox_nano", *settings, "--id", "blood-cells")
        demo.run("evaluate", PIPELINE, "--save", pictures)
        unseen = sorted((HERE / "unseen").glob("*.jpg"))
        demo.run("predict", PIPELINE, *unseen, "--overlay", pictures)
        ap50 = held_out(PIPELINE).detection.box.ap50
    return demo.verdict("Held-out AP50", ap50, PROMISED_AP50)


if __name__ == "__main__":
    demo.main(main)
