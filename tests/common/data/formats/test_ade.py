"""ADE20K: what its masks say of pixels, and its list of images as scenes."""

import pytest

from common.data.findings import Report
from common.data.formats import choose
from common.data.formats.ade import Ade
from common.data.formats.ade_scenes import AdeScenes
from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.image_folder import ImageFolder
from common.data.formats.index_masks import IndexMasks
from common.data.formats.instance_index import InstanceIndex
from common.data.formats.pictures import Tagged
from common.errors import InvalidInput
from tests.common.data.formats.masks import grey, jpeg, labels_of

FORMATS = (IndexMasks(), BinaryMasks(), Ade())
SCENES = Tagged(AdeScenes())
TABLE = (
    b"Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall\n"
    b"2\t0.1072\t6046\t612\tbuilding, edifice\n3 \t0.0878\t8265\t796\tsky \n"
)
MASK = grey([0, 1, 2, 3], [1, 1, 1, 1])
NUMBERS = {"training": ("train", 2), "validation": ("val", 1)}


def challenge(top: str = "ADEChallengeData2016/", mask: bytes = MASK) -> dict[str, bytes]:
    """Three images with their masks."""
    files = {}
    for folder, (part, count) in NUMBERS.items():
        for number in range(1, count + 1):
            name = f"{folder}/ADE_{part}_{number:08}"
            files |= {f"{top}images/{name}.jpg": jpeg(), f"{top}annotations/{name}.png": mask}
    return files


def test_values_are_the_classes_of_the_table(tree_of):
    """0 is void, though nothing names it; names are whole."""
    tree = tree_of(**challenge(), **{"ADEChallengeData2016/objectInfo150.txt": TABLE})

    found, classes, findings = labels_of(Ade(), tree)

    assert found["ADEChallengeData2016/images/training/ADE_train_00000001.jpg"] == [
        [None, "wall", "building, edifice", "sky"],
        ["wall"] * 4,
    ]
    assert classes == ["wall", "building, edifice", "sky"]
    assert findings == {}
    reading = Ade().read(tree, Report(), max_records=9)
    assert [record.split for record in reading.records] == ["train", "train", "val"]


def test_without_the_table_classes_are_called_by_their_values(tree_of):
    """0 is void all the same, as the names of the files say what they are."""
    found, classes, findings = labels_of(Ade(), tree_of(**challenge("")))

    assert classes == ["class 1", "class 2", "class 3"]
    assert found["images/validation/ADE_val_00000001.jpg"][0][0] is None
    assert findings == {"MASK_CLASSES_GUESSED": classes}


def test_another_value_may_be_void(tree_of):
    """Then 0 is a value without a class."""
    tree = tree_of(**challenge(""), **{"objectInfo150.txt": TABLE})

    found, classes, findings = labels_of(Ade(1), tree)

    assert found["images/validation/ADE_val_00000001.jpg"][1] == [None] * 4
    assert classes == ["building, edifice", "sky"]
    assert set(findings) == {"VALUES_OUTSIDE_CLASSES"}


@pytest.mark.parametrize("mask", [MASK, grey([0, 1, 1, 0], [0, 0, 0, 0])], ids=["many", "two"])
def test_only_this_format_takes_such_masks(tree_of, mask):
    """Also if they have two values; for objects, they are none."""
    tree = tree_of(**challenge(mask=mask))

    assert choose(FORMATS, "", tree).name == "ade"
    assert InstanceIndex().detect(tree) is None


def test_a_data_set_of_ones_own_is_laid_out_so(tree_of):
    """With a table of its own; without one, its masks are like any others."""
    files = {"images/training/a.jpg": jpeg(), "annotations/training/a.png": MASK}
    named = {"objectInfo3.txt": TABLE}

    assert choose(FORMATS, "", tree_of(**files)).name == "index_masks"
    assert choose(FORMATS, "", tree_of(**files, **named)).name == "ade"
    assert labels_of(Ade(), tree_of(**files, **named))[1] == ["wall", "building, edifice", "sky"]


def read_scenes(tree):
    report = Report()
    reading = SCENES.read(tree, report, max_records=100)
    scenes = {r.file: (reading.classes[r.annotation["label"]], r.split) for r in reading.records}
    return scenes, {finding.id: list(finding.examples) for finding in report.findings()}


def test_scenes_are_classes_of_images(tree_of):
    """A mask has the name of its image, but is none."""
    lines = b"ADE_train_00000001 abbey\nADE_train_00000002 bar\r\n\nADE_val_00000001 abbey\n"
    tree = tree_of(**challenge(""), **{"sceneCategories.txt": lines})

    scenes, findings = read_scenes(tree)

    assert scenes == {
        "images/training/ADE_train_00000001.jpg": ("abbey", "train"),
        "images/training/ADE_train_00000002.jpg": ("bar", "train"),
        "images/validation/ADE_val_00000001.jpg": ("abbey", "val"),
    }
    assert findings == {}
    assert SCENES.detect(tree) == (
        "sceneCategories.txt names the scenes of images, with tags of images"
    )


def test_lines_that_cannot_be_used_are_named(tree_of):
    """And so are images of which no line says the scene."""
    lines = b"ADE_train_00000001.jpg abbey\nADE_train_00000002\nADE_train_9 bar\n\xff\xfe bar\n"
    tree = tree_of(**challenge(""), **{"x/SceneCategories.TXT": lines})

    scenes, findings = read_scenes(tree)

    assert list(scenes) == ["images/training/ADE_train_00000001.jpg"]
    assert findings["ROWS_WITHOUT_LABEL"] == ["x/SceneCategories.TXT, line 2: ADE_train_00000002"]
    assert len(findings["LISTED_FILES_MISSING"]) == 2
    assert findings["IMAGES_NOT_LISTED"] == [
        "images/training/ADE_train_00000002.jpg",
        "images/validation/ADE_val_00000001.jpg",
    ]


def test_no_list_of_scenes(tree_of):
    """The format says what it needs."""
    tree = tree_of(**challenge(""))

    assert SCENES.detect(tree) is None
    with pytest.raises(InvalidInput, match=r"needs .*sceneCategories\.txt"):
        read_scenes(tree)


def test_images_and_annotations_are_no_classes(tree_of):
    """Though both are in folders for the splits."""
    assert ImageFolder().detect(tree_of(**challenge(""))) is None
