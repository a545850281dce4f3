"""`nocode-vision` for models that segment, and their data."""

import numpy as np
import pytest
from PIL import Image

from nocode.vision.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    prediction_pb2,
    prediction_pb2_grpc,
)
from tests.client.command import Command
from tests.client.test_masks import as_png, as_rle

PIXELS = "tasks/semantic-segmentation/models/facades"
OBJECTS = "tasks/instance-segmentation/models/facades"
DATASET = "tasks/semantic-segmentation/datasets/facades"

LEFT = np.zeros((30, 40), np.uint8)
LEFT[:, :10] = 1
RUNS, PICTURES = (
    prediction_pb2.PredictOptions.MASK_FORMAT_RLE,
    prediction_pb2.PredictOptions.MASK_FORMAT_PNG,
)


class Facades(prediction_pb2_grpc.PredictionServiceServicer):
    """Sees a window on the left of every image, and keeps what was asked for."""

    def __init__(self):
        self.asked = []

    def Predict(self, request, context):
        self.asked.append(request.options)
        encode = as_png if request.options.mask_format == PICTURES else as_rle
        prediction = prediction_pb2.Prediction(image_width=40, image_height=30)
        if request.options.overlay:
            prediction.overlay_png = b"drawn"
        if request.name == OBJECTS:
            box = prediction_pb2.BoundingBox(xmax=10, ymax=30)
            prediction.instance_segmentation.objects.add(
                class_name="window", score=0.9, box=box, mask=encode(LEFT)
            )
        else:
            answer = prediction.semantic_segmentation
            answer.class_index_png = as_png(LEFT).png
            for name, inside in (("wall", 1 - LEFT), ("window", LEFT)):
                answer.regions.add(
                    class_name=name,
                    pixel_count=int(inside.sum()),
                    mean_score=0.75,
                    mask=encode(inside),
                )
        return prediction_pb2.PredictResponse(
            model=request.name, predictions=[prediction] * len(request.images)
        )


class Imports(dataset_pb2_grpc.DatasetServiceServicer, job_pb2_grpc.JobServiceServicer):
    """Has imported what is asked for, and keeps how it was asked."""

    def __init__(self):
        self.asked = []

    def ImportDataset(self, request, context):
        self.asked.append(request)
        return job_pb2.Job(name=f"{request.parent}/jobs/j")

    def WatchJob(self, request, context):
        yield job_pb2.Job(name=request.name, state=job_pb2.Job.STATE_SUCCEEDED, dataset=DATASET)

    def GetDataset(self, request, context):
        counts = [
            dataset_pb2.ClassCount(class_name="wall", image_count=2, pixel_count=900),
            dataset_pb2.ClassCount(class_name="window", image_count=1, pixel_count=100),
        ]
        return dataset_pb2.Dataset(name=request.name, class_counts=counts)


@pytest.fixture
def facades():
    return Facades()


@pytest.fixture
def command(serve, facades):
    return Command(serve(facades))


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{name}.jpg" for name in "ab"]
    for path in paths:
        path.write_bytes(b"image")
    return paths


def test_import_says_which_pixels_nobody_labeled(serve):
    """0 is a value, too, and another than none; classes are shown with their share."""
    imports = Imports()
    command = Command(serve(imports))
    words = ("import", "s3://bucket/facades.zip", "--task", "semantic-segmentation")

    command.run(*words, "--void-index", 0, "--no-wait")
    shown = command.run(*words).stdout

    first, second = imports.asked
    assert first.parent == "tasks/semantic-segmentation"
    assert first.HasField("void_index")
    assert first.void_index == 0
    assert not second.HasField("void_index")
    assert "│ wall   │      2 │ 90.0 % │" in shown
    assert "│ window │      1 │ 10.0 % │" in shown


@pytest.mark.parametrize("model", [PIXELS, OBJECTS])
def test_masks_are_sent_as_asked(command, facades, images, model):
    """Programs get them as runs or as pictures; the server decides if nothing is said."""
    command.run("predict", model, images[0])
    (runs,) = command.lines("predict", model, images[0], "--mask-format", "rle")
    (pictures,) = command.lines("predict", model, images[0], "--mask-format", "png")

    assert [options.mask_format for options in facades.asked] == [0, RUNS, PICTURES]
    kind, what = (
        ("semantic_segmentation", "regions")
        if model == PIXELS
        else ("instance_segmentation", "objects")
    )
    assert runs[kind][what][-1]["mask"]["rle"]["counts"] == as_rle(LEFT).rle.counts
    assert list(pictures[kind][what][-1]["mask"]) == ["png"]


def test_classes_of_pixels_are_shown_and_saved(command, images, tmp_path):
    """One line and one table an image; files are named on the other stream."""
    folders = ("--masks", tmp_path / "masks", "--overlay", tmp_path / "drawn")
    done = command.run("predict", PIXELS, *images, *folders)

    assert done.stdout.count("wall 75.0 %, window 25.0 %") == 2
    assert done.stdout.count("│ window │ 25.0 % │    300 │      0.750 │") == 2
    for name in "ab":
        with Image.open(tmp_path / "masks" / f"{name}.png") as picture:
            assert np.array_equal(np.asarray(picture), LEFT * 255)
        assert (tmp_path / "drawn" / f"{name}.png").read_bytes() == b"drawn"
        assert f"Saved {tmp_path / 'masks' / name}.png" in done.stderr


@pytest.mark.parametrize("form", ["rle", "png"])
def test_masks_of_objects_are_shown_and_saved(command, images, tmp_path, form):
    """However they were sent; programs get the paths in their stead."""
    options = ("--masks", tmp_path / "masks", "--mask-format", form)
    shown = command.run("predict", OBJECTS, images[0], *options).stdout
    (answer,) = command.lines("predict", OBJECTS, images[1], *options)

    assert "│ window │ 0.900 │  0.0 │  0.0 │ 10.0 │ 30.0 │     300 │" in shown
    assert answer["mask_files"] == [str(tmp_path / "masks" / "b" / "1.png")]
    assert "mask" not in answer["instance_segmentation"]["objects"][0]
    for name in "ab":
        with Image.open(tmp_path / "masks" / name / "1.png") as picture:
            assert np.array_equal(np.asarray(picture), LEFT * 255)
