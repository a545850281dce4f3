"""Each architecture learns a small real problem with its recipe, from random weights."""

import io
import zipfile

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from common.storage import resources
from common.training.run import run_train
from services.classification.architectures import classifiers
from tests.common.training.world import make_world

# Handwritten digits of 8×8 pixels that ship with scikit-learn.
CLASSES = range(5)
IMAGES_A_CLASS = 70


def archive():
    """A zip of PNG files in a folder for each class."""
    digits = load_digits()
    content = io.BytesIO()
    counts = dict.fromkeys(CLASSES, 0)
    with zipfile.ZipFile(content, "w") as file:
        for pixels, label in zip(digits.images, digits.target, strict=True):
            if counts.get(label, IMAGES_A_CLASS) < IMAGES_A_CLASS:
                counts[label] += 1
                png = io.BytesIO()
                Image.fromarray((pixels * 15).astype("uint8")).save(png, "PNG")
                file.writestr(f"{label}/{counts[label]:03}.png", png.getvalue())
    return content.getvalue()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("entry", list(classifiers), ids=lambda entry: entry.name)
def test_it_learns_from_a_few_hundred_images(bucket, storage_settings, tmp_path, entry):
    """With small images, to save time, and nothing else set."""
    world = make_world(storage_settings, tmp_path)
    pipeline = world.pipeline(
        world.imported(archive()), architecture=entry.name, base={}, image_size_px=32
    )
    context = world.training(pipeline)

    run_train(context)

    model = resources.models(world.bucket).get(context.job.train_spec.model)
    assert model.evaluation.classification.accuracy >= 0.9
