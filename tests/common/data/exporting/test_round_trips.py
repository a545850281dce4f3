"""What is exported and imported again is the same data set, to the digest."""

import io
import json
import random
import zipfile

import numpy as np
import pytest

from common.data.importing import run_import
from common.jobs import cleanup
from common.jobs.context import JobContext
from common.jobs.exports import run_export
from common.masks import rle
from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask
from tests.common.data import exports
from tests.common.data.packing import folders, pack_zip
from tests.common.data.pictures import encode, picture, rotated_jpeg

SIZES = ((100, 80), (33, 57), (64, 64), (301, 7))
NAMES = ["no", "1.10", "Straße: 'a' [b] #c", "äé", "x, y", "null", "class  with  spaces"]
# One is enough for each change; the rest is for masks and boxes that nobody has thought of.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


class Exporter:
    """Imports, exports, and imports what was exported."""

    def __init__(self, importer):
        self.importer = importer

    def export(self, dataset, format_):
        """Return the archive, the findings of its job, and what the job says of it."""
        job = self.importer.datasets.export(dataset.name, format_, "")
        self.context = JobContext(
            job, task=self.importer.task, bucket=self.importer.bucket,
            settings=self.importer.settings,
        )  # fmt: skip
        export = run_export(self.context)
        self.importer.jobs.forget(job)
        key = export.uri.removeprefix(self.importer.bucket.uri(""))
        found = {text for f in self.context.job.findings for text in f.examples}
        return self.importer.bucket.get(key), found, export

    def round_trip(self, files, format_, **request):
        """Return the data set, that of its export, and what was left out."""
        first = self.importer(pack_zip(files), **request)
        archive, found, _ = self.export(first.dataset, format_)
        return first, self.importer(archive), found


@pytest.fixture
def exporter(import_archive):
    def of(task):
        import_archive.task = task
        return Exporter(import_archive)

    return of


def coco(*, masks, splits=("train", "val", "test"), marks=True, seed=0):
    """COCO files of images in no order, with boxes and masks of every kind."""
    chance = random.Random(seed)
    rng = np.random.default_rng(seed)
    files = {}
    for split in splits:
        images, annotations = [], []
        for number in range(4):
            width, height = chance.choice(SIZES)
            name = f"{chance.randrange(10**6)} {split}.{chance.choice(['jpg', 'png'])}"
            pixels = picture(width, height, chance.randrange(10**6))
            files[f"data/{name}"] = encode(pixels, "PNG" if name.endswith("png") else "JPEG")
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            for _ in range(chance.choice([0, 1, 7])):
                x, y = chance.uniform(-2, width - 4), chance.uniform(-2, height - 4)
                one = {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": chance.randrange(len(NAMES)),
                    "bbox": [x, y, chance.uniform(1, width), chance.uniform(1, height)],
                    "area": chance.uniform(0.1, 3),
                    "iscrowd": int(marks and chance.random() < 0.2),
                    "difficult": int(marks and chance.random() < 0.2),
                    "truncated": int(marks and chance.random() < 0.2),
                }
                if masks:
                    one["segmentation"] = outline(chance, rng, width, height)
                    del one["area"]
                    if not marks:
                        del one["bbox"]
                if not (masks or marks):
                    del one["area"]
                annotations.append(one)
        content = {"images": images, "annotations": annotations} | {
            "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES)]
        }
        files[f"instances_{split}.json"] = json.dumps(content).encode()
    return files


def outline(chance, rng, width, height):
    """Runs of any pixels, or polygons that cross themselves and the image's borders."""
    if chance.random() < 0.5:
        mask = rle.encode(rng.random((height, width)) < chance.choice([0.01, 0.1, 0.99]))
        return {"size": [height, width], "counts": rle.text_of(mask)}
    return [
        [
            chance.uniform(-3, side + 3)
            for _ in range(chance.randint(3, 9))
            for side in (width, height)
        ]
        for _ in range(chance.randint(1, 3))
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", [DetectionTask(), InstanceTask()], ids=lambda task: task.name)
def test_coco(task, seed, exporter):
    """Boxes, masks, marks, areas, classes and splits."""
    files = coco(masks=task.masks, seed=seed)

    first, again, found = exporter(task).round_trip(files, "coco")

    assert not found
    assert again.dataset.format == "coco"
    assert list(again.dataset.classes) == list(first.dataset.classes)
    assert [e.annotation for e in again.entries] == [e.annotation for e in first.entries]
    assert again.dataset.content_digest == first.dataset.content_digest


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", [DetectionTask(), InstanceTask()], ids=lambda task: task.name)
def test_yolo(task, seed, exporter):
    """Boxes, masks, classes and splits; marks have no place in it."""
    files = coco(masks=task.masks, marks=False, seed=seed)

    first, again, found = exporter(task).round_trip(files, "yolo")

    assert not found
    assert again.dataset.format == "yolo"
    assert list(again.dataset.classes) == list(first.dataset.classes)
    assert [e.annotation for e in again.entries] == [e.annotation for e in first.entries]
    assert again.dataset.content_digest == first.dataset.content_digest


@pytest.mark.parametrize("format_", ["coco", "yolo"])
@pytest.mark.parametrize(
    "files",
    [exports.roboflow_coco(), exports.roboflow_yolo(), exports.roboflow_voc(), exports.from_a_mac(),
     exports.copies_in_train_and_test(), exports.coco_val2017()],
    ids=["roboflow coco", "roboflow yolo", "roboflow voc", "mac", "copies", "val2017"],
)  # fmt: skip
def test_exports_of_others(files, format_, exporter):
    """What came in as one format goes out as another."""
    first, again, found = exporter(DetectionTask()).round_trip(files, format_)

    assert not found
    assert again.dataset.content_digest == first.dataset.content_digest


@pytest.mark.parametrize("format_", ["coco", "yolo"])
def test_images_that_are_turned(format_, exporter):
    """Boxes are those of the upright image, and its size is."""
    files = {"data.yaml": b"names: [a]\n"}
    for orientation in range(1, 9):
        files[f"{orientation}.jpg"] = rotated_jpeg(picture(100, 80, orientation), orientation)
        files[f"{orientation}.txt"] = b"0 0.3 0.4 0.2 0.1\n"

    first, again, _ = exporter(DetectionTask()).round_trip(files, format_)

    assert again.dataset.content_digest == first.dataset.content_digest


def test_what_yolo_has_no_place_for_is_named(exporter):
    """With how often it is so; what stands for many objects is left out, not taken for one."""
    first, again, found = exporter(DetectionTask()).round_trip(coco(masks=False), "yolo")

    objects = [one for e in first.entries for one in e.annotation["objects"]]
    crowds = sum(one.get("crowd", False) for one in objects)
    assert crowds > 0
    assert f"{crowds} objects that stand for many (crowd)" in found
    plain = [one for one in objects if not one.get("crowd")]
    for mark in ("difficult", "truncated"):
        assert f"{sum(one.get(mark, False) for one in plain)} objects whose mark says {mark}" in (
            found
        )
    assert sum(len(e.annotation["objects"]) for e in again.entries) == len(plain)


def test_areas_of_tiny_boxes(exporter):
    """Those that rounding makes nothing, or as large as the box, are the box's."""
    boxes = [(177.0441, 0, 3.8189, 0.0633), (5, 5, 0.4916, 0.4916), (9, 9, 7, 7), (2, 2, 3, 1)]
    areas = [None, 0.24165, 0.00001, 1e-7 + 2.9999]
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": box} | ({"area": area} if area else {})
        for n, (box, area) in enumerate(zip(boxes, areas, strict=True))
    ]
    document = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": annotations}
    document["categories"] = [{"id": 1, "name": "a"}]
    files = {
        "1.png": encode(picture(301, 48), "PNG"),
        "a.json": json.dumps(document).encode(),
    }

    first, again, found = exporter(DetectionTask()).round_trip(files, "coco")

    assert not found
    (entry,) = first.entries
    assert [one.get("area") for one in entry.annotation["objects"]] == [None, None, None, 2.9999]
    assert again.dataset.content_digest == first.dataset.content_digest


def test_boxes_that_are_not_around_masks_are_named(exporter):
    _, _, found = exporter(InstanceTask()).round_trip(coco(masks=True), "yolo")

    assert any(text.endswith("boxes that are not those around their masks") for text in found)


def test_columns_and_lonely_splits_are_named(exporter):
    """They are of the table that was imported, and no COCO file has them."""
    table = "file,class,xmin,ymin,xmax,ymax,split,farm\n"
    table += "".join(f"{n}.jpg,cow,1,2,30,40,train,north\n" for n in range(3))
    files = exports.images("0.jpg", "1.jpg", "2.jpg") | {"boxes.csv": table.encode()}

    first, _, found = exporter(DetectionTask()).round_trip(files, "coco")

    assert [s.subset for s in first.dataset.given_splits] in ([], ["train"])
    assert "3 values of the column farm" in found
    if first.dataset.given_splits:
        assert "3 images in train, which an import takes for no split" in found


def test_folders(exporter):
    """In folders for the splits, with names that every system allows."""
    files = {f"train/{name}": content for name, content in folders(cats=3, dogs=2).items()}
    files |= {f"test/{n}/9.jpg": encode(picture(seed=90 + len(n))) for n in ("cats", "dogs")}

    first, again, found = exporter(ClassificationTask()).round_trip(files, "")

    assert not found
    assert again.dataset.content_digest == first.dataset.content_digest


def test_names_that_can_be_no_folders(exporter):
    names = ["a/b", "a\\b", ".hidden", "con:"]
    table = "file,label\n" + "".join(f"{n}.jpg,{name}\n" for n, name in enumerate(names))
    files = exports.images(*(f"{n}.jpg" for n in range(4))) | {"t.csv": table.encode()}

    _, again, found = exporter(ClassificationTask()).round_trip(files, "image_folder")

    assert found == {"4 names of classes that can be no folders"}
    assert sorted(again.dataset.classes) == ["_hidden", "a_b", "a_b_2", "con_"]


@pytest.mark.parametrize("class_count", [3, 300])
def test_masks_of_numbers(class_count, exporter):
    """Of 16 bits if there are more classes than 8 can count, with what is void."""
    names = "".join(f"{n} class{n}\n" for n in range(class_count))
    files = {"classes.txt": names.encode() + b"65535 void\n"}
    for number in range(6):
        values = np.full((48, 64), 65_535, np.uint16)
        values[:, :60] = np.arange(number * 50, number * 50 + 60) % class_count
        files[f"images/{number}.jpg"] = encode(picture(64, 48, number))
        files[f"masks/{number}.png"] = encode(values, "PNG")
    files["train.txt"], files["val.txt"] = b"0\n1\n2\n3\n", b"4\n5\n"

    first, again, found = exporter(SemanticTask()).round_trip(files, "")

    assert not found
    assert again.dataset.format == "index_masks"
    assert list(again.dataset.classes) == list(first.dataset.classes)
    assert again.dataset.content_digest == first.dataset.content_digest


# The job.


def test_archive_and_result(exporter):
    """Any program opens it; equal data sets give equal archives."""
    own = exporter(DetectionTask())
    first = own.importer(pack_zip(exports.roboflow_coco()))

    archive, _, export = own.export(first.dataset, "coco")
    same, _, _ = own.export(first.dataset, "coco")

    assert (export.dataset, export.format, export.model) == (first.dataset.name, "coco", "")
    assert export.size_bytes == len(archive)
    assert same == archive
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        contents = {opened.read(name) for name in names}
    assert sum(name.startswith("images/") for name in names) == first.dataset.image_count
    assert all(first.reader.read(entry) in contents for entry in first.entries)


def test_an_export_that_fails_leaves_nothing(exporter):
    """Nor does one of a data set that is deleted."""
    own = exporter(DetectionTask())
    first = own.importer(pack_zip(exports.roboflow_coco()))
    own.export(first.dataset, "coco")
    folder = f"{first.dataset.name}/exports/"
    assert len(list(own.importer.bucket.list(folder))) == 1

    cleanup.discard(own.importer.bucket, own.context.job)
    assert not list(own.importer.bucket.list(folder))

    own.export(first.dataset, "yolo")
    own.importer.datasets.delete(first.dataset.name)
    assert not list(own.importer.bucket.list(f"{first.dataset.name}/"))


def test_large_files_are_written_in_parts(exporter, monkeypatch):
    """Each with all categories, and read as one."""
    monkeypatch.setattr("common.data.exporting.coco._MAX_FILE_BYTES", 1)
    own = exporter(DetectionTask())

    first, again, _ = own.round_trip(coco(masks=False), "coco")
    archive, _, _ = own.export(first.dataset, "coco")

    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert "annotations/instances_train_2.json" in opened.namelist()
    assert again.dataset.content_digest == first.dataset.content_digest


def test_an_import_is_no_part_of_it(exporter):
    """An export reads what is stored, also when the upload is long gone."""
    own = exporter(DetectionTask())
    context = own.importer.queue(pack_zip(exports.roboflow_coco()))
    name = run_import(context)
    own.importer.jobs.forget(context.job)
    own.importer.bucket.delete("archives/a")

    assert own.export(own.importer.datasets.get(name), "coco")[0]
