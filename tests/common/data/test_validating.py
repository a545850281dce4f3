"""An import that only validates, and the pictures that every import makes."""

import io

import numpy as np
import pytest
from PIL import Image

from common import names
from common.data.images import ImageInfo
from common.data.importing import run_import
from common.data.sheets import MAX_BARS, MAX_SAMPLES, Samples, class_balance
from common.errors import AlreadyExists
from common.jobs import artifacts, cleanup
from common.masks import rle
from nocode.vision.v1 import dataset_pb2 as pb
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic import annotation as notes
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.packing import folders, pack_zip
from tests.common.data.test_mapping import boxes

INFO = ImageInfo("JPEG", 4, 4, 1, "RGB", 8, has_alpha=False)
FILES = folders(cats=4, dogs=3)


def test_it_is_what_the_import_would_make(import_archive):
    """But for what names it; nothing is left but its pictures, with the job."""
    context = import_archive.queue(pack_zip(FILES), dataset_id="pets", validate_only=True)

    validated = run_import(context)

    left = import_archive.left_behind()
    keys = [stat.key for stat in import_archive.bucket.list(f"{context.job.name}/")]
    import_archive.jobs.forget(context.job)
    made = import_archive(pack_zip(FILES), dataset_id="pets").dataset
    assert all("/index/active/" in key for key in left), left
    assert sorted(keys) == [
        f"{context.job.name}/{file}"
        for file in ("job.json", "plots/class-balance.png", "plots/samples-with-their-labels.png")
    ]
    for own in ("job", "create_time", "plots"):
        validated.ClearField(own)
        made.ClearField(own)
    assert validated == made
    assert made.format_reason == "its images lie in folders such as cats, dogs"


def test_its_pictures_can_be_fetched_and_go_if_it_fails(import_archive):
    """As those of an evaluation are."""
    context = import_archive.queue(pack_zip(FILES), validate_only=True)
    validated = run_import(context)
    context.job.validated.Pack(validated)
    import_archive.jobs.change(context.job.name, lambda job: job.CopyFrom(context.job))

    for plot in validated.plots:
        png = b"".join(artifacts.read(import_archive.jobs, context.name, plot.uri))
        assert Image.open(io.BytesIO(png)).format == "PNG"

    cleanup.discard(import_archive.bucket, context.job)
    assert not list(import_archive.bucket.list(f"{context.job.name}/plots/"))


def test_the_id_must_be_free_but_is_not_taken(import_archive):
    import_archive(pack_zip(FILES), dataset_id="pets")

    with pytest.raises(AlreadyExists):
        import_archive.queue(pack_zip(FILES), dataset_id="pets", validate_only=True)
    for _ in range(2):
        import_archive.queue(pack_zip(FILES), dataset_id="others", validate_only=True)


def test_pictures_of_a_data_set(import_archive):
    """Fetched by its job; deleted with it."""
    dataset = import_archive(pack_zip(FILES)).dataset

    def succeed(job):
        job.dataset = dataset.name

    import_archive.jobs.change(dataset.job, succeed)

    assert [plot.title for plot in dataset.plots] == ["Class balance", "Samples with their labels"]
    for plot in dataset.plots:
        png = b"".join(artifacts.read(import_archive.jobs, names.parse(dataset.job), plot.uri))
        assert png.startswith(b"\x89PNG")

    import_archive.datasets.delete(dataset.name)
    assert not list(import_archive.bucket.list(f"{dataset.name}/"))


# Which images are chosen.


def offered(labels, limit=MAX_SAMPLES):
    samples = Samples(limit)
    for number, label in enumerate(labels):
        digest = np.random.default_rng(number).bytes(32)
        classes = {} if label is None else {label: 1}
        samples.offer(digest, classes, {}, file=str(number), split=None, info=INFO)
    return {label: len(group) for label, group in samples._chosen.items() if group}


def test_rare_classes_have_their_share():
    """However late they come."""
    assert offered([0] * 500 + [1] * 3 + [None] * 2) == {0: 19, 1: 3, -1: 2}
    assert offered([0] * 500 + [1] * 500) == {0: 12, 1: 12}
    assert offered([0] * 5) == {0: 5}


def test_more_classes_than_places():
    """No class has a second image before others have a first; memory stays bounded."""
    chosen = offered(list(range(100)) * 2, limit=10)

    assert sum(chosen.values()) == 10
    assert set(chosen.values()) == {1}


def test_the_order_of_images_does_not_matter_within_a_class():
    """Neighbours in a film look alike: it is chance that chooses."""
    first, second = Samples(3), Samples(3)
    digests = [np.random.default_rng(number).bytes(32) for number in range(20)]
    for samples, order in ((first, digests), (second, digests[::-1])):
        for digest in order:
            samples.offer(digest, {0: 1}, {}, file=digest.hex(), split=None, info=INFO)

    chosen = [{one.file for *_, one in samples._chosen[0]} for samples in (first, second)]
    assert chosen[0] == chosen[1]


# What is drawn.


def test_labels_are_drawn(import_archive):
    """Boxes in the colour of their class; the sheet has a tile for each image."""
    import_archive.task = DetectionTask()
    texts = ["0 0.5 0.5 0.5 0.5\n", "1 0.5 0.5 0.5 0.5\n", ""]
    with_boxes = sheet(import_archive, pack_zip(boxes(*texts)))
    without = sheet(import_archive, pack_zip(boxes(texts[0], "", "")))

    assert with_boxes.shape == without.shape
    assert (with_boxes != without).any()


def sheet(import_archive, archive):
    plot = import_archive(archive).dataset.plots[1]
    key = plot.uri.removeprefix(import_archive.bucket.uri(""))
    return np.asarray(Image.open(io.BytesIO(import_archive.bucket.get(key))).convert("RGB"))


@pytest.mark.parametrize("task", [InstanceTask(), SemanticTask()], ids=lambda task: task.name)
def test_masks_are_drawn_where_they_are(task):
    """On a picture smaller than the image, to a pixel."""
    if task.name == "semantic-segmentation":
        labels_HW = np.full((40, 80), -1, np.int16)
        labels_HW[:, :40] = 3
        annotation = notes.write(labels_HW)
    else:
        inside = np.zeros((40, 80), np.uint8)
        inside[:, :40] = 1
        text = rle.text_of(rle.encode(inside))
        annotation = {"objects": [{"label": 3, "box": [0, 0, 40, 40], "mask": text}]}
    grey = np.full((20, 40, 3), 128, np.uint8)

    drawn = task.draw(grey, (80, 40), annotation, ["a", "b", "c", "d"])

    changed = (drawn != grey).any(axis=2)
    assert changed[:, :20].all()
    assert not changed[:, 20:].any()
    assert (grey == 128).all()


def test_class_balance_has_a_bar_for_each_class_that_fits():
    def height(count):
        dataset = pb.Dataset(classes=[str(n) for n in range(count)], image_count=5)
        for number in range(count):
            dataset.class_counts.add(class_name=f"c\n{number}", object_count=number, image_count=1)
        return Image.open(io.BytesIO(class_balance(dataset, "object_count"))).height

    assert height(3) - height(2) == height(2) - height(1) > 0
    assert height(MAX_BARS) == height(1000)
