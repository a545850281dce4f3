"""The half of semantic segmentation that needs no torch."""

import random
import subprocess
import sys

import numpy as np
import pytest

from common.data import formats, images
from common.data.archives import Limits, unpack
from common.data.findings import Report
from common.data.images import ImageError, ImageInfo
from common.errors import InvalidInput
from common.masks.drafts import MaskDraft
from common.masks.label_maps import VOID
from services.segmentation.semantic.annotation import read
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.formats.masks import grey, pairs
from tests.common.data.packing import pack_zip
from tests.common.data.pictures import encode, picture, rotated_jpeg

TASK = SemanticTask()
INFO = ImageInfo("PNG", 3, 2, 1, "RGB", 8, has_alpha=False)
ANNOTATION = {"labels": [0, 4, 7], "pixels": [10, 20, 5], "void": 3, "sha256": "0"}
LIMITS = Limits(unpacked_bytes=1 << 30, members=1000)


class Drawn(MaskDraft):
    """A mask that is there already."""

    def __init__(self, labels):
        self.labels = labels

    def load(self, file, info, report):
        return self.labels


def completed(labels):
    report = Report()
    drawn = Drawn(None if labels is None else np.array(labels, np.int16))
    return TASK.complete(drawn, "1.png", INFO, report), {
        f.id: list(f.examples) for f in report.findings()
    }


def imported(tmp_path, files, void_index=None):
    """Everything that an import asks of formats and task; annotations by image."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(pack_zip(files))
    report = Report()
    with unpack(archive, tmp_path / "unpacked", LIMITS, report) as tree:
        layout = formats.choose(TASK.formats_for(void_index), "", tree)
        reading = layout.read(tree, report, max_records=1000)
        found = {}
        for record in reading.records:
            try:
                info = images.probe(tree.read(record.file), max_pixels=1_000_000)
            except ImageError:
                continue
            annotation = TASK.complete(record.annotation, record.file, info, report)
            if annotation is not None:
                found[record.file] = annotation
        TASK.check(reading.classes, list(found.values()), report)
    return reading.classes, found, {f.id: list(f.examples) for f in report.findings()}


def test_the_likeliest_formats_come_first():
    assert [entry.name for entry in TASK.formats][:4] == [
        "index_masks", "binary_masks", "colour_masks", "coco_semantic"
    ]  # fmt: skip


def test_formats_know_what_is_void():
    assert [entry.void_index for entry in TASK.formats_for(9)[:3]] == [9, 9, 9]


def test_pixels_are_counted():
    assert TASK.counted == "pixel_count"
    assert TASK.classes_of(ANNOTATION) == {0: 10, 4: 20, 7: 5}


def test_renumbering_drops_classes():
    renumbered = TASK.renumber(ANNOTATION, {0: 1, 7: 0})

    assert renumbered == ANNOTATION | {"labels": [1, None, 0]}
    assert TASK.classes_of(renumbered) == {1: 10, 0: 5}
    assert TASK.renumber(ANNOTATION, {9: 0}) is None


def test_a_mask_becomes_what_the_manifest_holds():
    labels = [[0, 5, 5], [VOID, 5, 0]]

    made, findings = completed(labels)

    assert made["labels"] == [0, 5]
    assert made["pixels"] == [2, 3]
    assert made["void"] == 1
    assert read(made).tolist() == labels
    assert findings == {}


def test_an_image_without_a_usable_mask_is_left_out():
    """What is wrong, the format has said."""
    assert completed(None) == (None, {})


def test_an_image_of_which_nothing_is_said_is_left_out():
    assert completed([[VOID] * 3] * 2) == (None, {"MASKS_ALL_VOID": ["1.png"]})


def test_an_image_of_too_many_classes_is_left_out():
    made, findings = completed(np.arange(256).reshape(16, 16))

    assert made is None
    assert "256 classes" in findings["MASKS_OF_TOO_MANY_CLASSES"][0]


def test_what_is_odd_as_a_whole_is_said():
    """Void counts as such, that of dropped classes, too."""
    report = Report()

    TASK.check(["a"], [ANNOTATION | {"labels": [None, None, 0]}], report)

    findings = {f.id: f for f in report.findings()}
    assert set(findings) == {"FEW_PIXELS", "MOSTLY_VOID"}
    assert "87 %" in findings["MOSTLY_VOID"].message  # 33 of 38


def test_an_archive(tmp_path):
    files = pairs(grey([0, 1, 1, 1], [2, 2, 1, 255]), grey([1] * 4, [0] * 4))
    files |= {"classes.txt": b"0 unlabeled\n1 road\n2 sky\n"}

    classes, found, findings = imported(tmp_path, files)

    assert classes == ["road", "sky"]
    assert TASK.classes_of(found["images/0.jpg"]) == {0: 4, 1: 2}
    assert TASK.classes_of(found["images/1.jpg"]) == {0: 4}
    assert found["images/0.jpg"]["void"] == 2
    assert set(findings) == {"FEW_PIXELS"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_an_image_that_is_turned(orientation, tmp_path):
    """As drawn on the stored image, where the sizes show it; the corner stays the corner."""
    stored = np.zeros((32, 48), np.uint8)
    stored[:16, :24] = 1
    pixels = np.where(stored[:, :, None], np.uint8(250), np.uint8(5)).repeat(3, axis=2)
    files = {
        "images/1.jpg": rotated_jpeg(pixels, orientation),
        "masks/1.png": encode(stored, "PNG"),
        "classes.txt": b"dark\nbright\n",
    }

    _, found, findings = imported(tmp_path, files)

    labels = read(found["images/1.jpg"])
    upright = images.decode(files["images/1.jpg"], max_pixels=10_000)
    assert labels.shape == upright.shape[:2]
    if orientation >= 5:
        assert ((upright[:, :, 0] > 128) == (labels == 1)).all()
        assert findings["MASKS_TURNED"] == ["masks/1.png"]
    elif orientation > 1:
        assert findings["MASKS_MAYBE_TURNED"] == ["masks/1.png"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about damaged metadata
def test_whatever_stands_in_masks_and_tables(tmp_path):
    """Damaged files lead to findings or to a refusal, and nothing else."""
    chance = random.Random(4)
    colours = encode(np.repeat(picture(8, 6) // 128 * 128, 2, 1), "PNG")
    tables = [
        b"0 sky\n1 sea\n2 sand\n", b"name,r,g,b\nsky,0,0,128\nsea,128,0,0\n",
        b'[{"name": "sky", "color": "#000080"}]', b"names: {0: sky, 1: sea}\n",
    ]  # fmt: skip
    names = ["classes.txt", "class_dict.csv", "classes.json", "data.yaml"]
    refused = 0
    for number in range(150):
        files = pairs(
            grey([0, 1, 2, 2], [2, 2, 1, 255]), grey([0, 0, 1, 1], [2] * 4), colours,
            encode(np.eye(4, dtype=np.uint16) * 300, "TIFF"), encode(picture(4, 2)),
        )  # fmt: skip
        which = chance.randrange(4)
        files[names[which]] = tables[which]
        for path in files:
            if not path.startswith("images") and chance.random() < 0.6:
                content = bytearray(files[path])
                for _ in range(chance.randint(1, 5)):
                    content[chance.randrange(len(content))] = chance.randrange(256)
                files[path] = bytes(content[: chance.randint(1, 2 * len(content))])
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            classes, found, _ = imported(folder, files)
        except InvalidInput:
            refused += 1
            continue
        for annotation in found.values():
            assert set(np.unique(read(annotation))) <= {VOID, *range(len(classes))}
    assert refused < 120


def test_it_needs_no_torch_until_it_learns():
    """An import runs in a process that does not pay for it."""
    code = (
        "import sys;"
        "from services.segmentation.semantic.task import SemanticTask; SemanticTask().formats;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
