"""Which format takes archives with a metadata file; those of parquet are among all samples."""

import json

import pytest

from common.data import formats
from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.formats.samples import mask
from tests.common.data.hugging_face import tables
from tests.common.data.packing import jpeg

OBJECTS = {"bbox": [[1, 2, 3, 4]], "category": ["a"]}
POLYGONS = {"segmentation": [[[1, 2, 30, 4, 20, 30]]], "category": ["a"]}


def archive(folder: str, **columns) -> dict[str, bytes]:
    rows = [{"file_name": f"{folder}{n}.jpg"} | columns for n in range(3)]
    pictures = {f"{folder}{n}.jpg": jpeg(n) for n in range(3)}
    return {"metadata.jsonl": tables.lines(*rows)} | pictures


@pytest.mark.parametrize("folder", ["", "images/", "train/"])
@pytest.mark.parametrize(
    ("task", "columns"),
    [
        pytest.param(ClassificationTask(), {"label": "cat"}, id="label"),
        pytest.param(DetectionTask(), {"objects": OBJECTS}, id="boxes"),
        pytest.param(InstanceTask(), {"objects": POLYGONS}, id="polygons"),
        pytest.param(SemanticTask(), {"objects": POLYGONS}, id="filled polygons"),
        pytest.param(SemanticTask(), {"mask_file_name": "x.png"}, id="masks"),
    ],
)
def test_jsonl(task, columns, folder, tree_of):
    """It is the hub's, wherever the images lie."""
    files = archive(folder, **columns) | {"x.png": mask(64, 48, 0, 1)}

    assert formats.choose(task.formats, "", tree_of(files)).name == "hugging_face"


@pytest.mark.parametrize(
    ("task", "header", "row", "name"),
    [
        (ClassificationTask(), "file_name,label", "0.jpg,cat", "csv"),
        (DetectionTask(), "file_name,class,bbox", '0.jpg,cat,"[1, 2, 3, 4]"', "csv_boxes"),
        (
            InstanceTask(),
            "file_name,objects",
            '0.jpg,"{}"'.format(json.dumps(POLYGONS).replace('"', '""')),
            "hugging_face",
        ),
    ],
)
def test_csv(task, header, row, name, tree_of):
    """A table that another format reads is read by it, whatever it is called."""
    files = {"metadata.csv": f"{header}\n{row}\n".encode(), "0.jpg": jpeg(0)}

    assert formats.choose(task.formats, "", tree_of(files)).name == name


def test_class_folders_with_captions(tree_of):
    """A table that says nothing of classes does not hide the folders."""
    files = archive("cats/", text="a cat") | {f"dogs/{n}.jpg": jpeg(n + 5) for n in range(3)}

    entry = formats.choose(ClassificationTask().formats, "", tree_of(files))

    assert entry.name == "image_folder"
