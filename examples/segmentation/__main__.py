"""The demo of segmentation: from photos of facades to a model that knows what each pixel shows.

`make demo-segmentation` runs it. It starts everything on this machine, imports photos with masks,
trains, measures on images held out, segments three more, saves the pictures and stops everything.
"""

from __future__ import annotations

from pathlib import Path

from examples import demo

HERE = Path("examples/segmentation")
RUN = Path(".run/demo-segmentation")
TASK = "semantic-segmentation"
PIPELINE = f"tasks/{TASK}/pipelines/facades"
PROMISED_MEAN_IOU = 0.20


def main() -> int:
    """Run the demo; return its exit status."""
    with demo.system("segmentation", RUN) as held_out:
        dataset = f"tasks/{TASK}/datasets/facades"
        pictures = RUN / "pictures"
        demo.run("import", HERE / "facades_masks.zip", "--task", TASK, "--id", "facades")
        # Smaller and shorter than the recipe, so that two cores need minutes.
        settings = ("--set", "image_size_px=160", "--set", "epoch_count=60")
        demo.run("train", dataset, "--architecture", "unet_resnet34", *settings, "--id", "facades")
        demo.run("evaluate", PIPELINE, "--save", pictures)
        unseen = sorted((HERE / "unseen").glob("*.jpg"))
        demo.run("predict", PIPELINE, *unseen, "--overlay", pictures)
        mean_iou = held_out(PIPELINE).semantic_segmentation.mean_iou
    return demo.verdict("Held-out mean IoU", mean_iou, PROMISED_MEAN_IOU)


if __name__ == "__main__":
    demo.main(main)
