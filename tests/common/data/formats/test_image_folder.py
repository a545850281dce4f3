"""Folders as people lay them out."""

import pytest

from common.data.findings import Report
from common.data.formats.image_folder import ImageFolder
from common.errors import InvalidInput

FOLDER = ImageFolder()


@pytest.mark.parametrize("root", ["", "data/", "a/b c/d.e/"])
@pytest.mark.parametrize("names", [("cats", "dogs"), ("1.5 mm", "ÜBER größe"), ("0", "日本")])
def test_classes_at_any_depth(root, names, tree_of, read):
    """With spaces, dots and any letters in their names."""
    files = [f"{root}{name}/x{number}.JPG" for name in names for number in range(2)]
    tree = tree_of(*files, f"{root}README.txt", "LICENSE", f"{root}labels/notes.txt")

    labels, splits, findings = read(FOLDER, tree)

    assert labels == {file: file.split("/")[-2] for file in files}
    assert set(splits.values()) == {None}
    assert findings == {}
    assert FOLDER.detect(tree) == f"its images lie in folders such as {names[0]}, {names[1]}"


@pytest.mark.parametrize(
    ("names", "subsets"),
    [
        (("train", "test"), ("train", "test")),
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "Validation", "Testing"), ("train", "val", "test")),
        (("TRAIN", "valid"), ("train", "val")),
        (("train", "dev"), ("train", "val")),
    ],
)
@pytest.mark.parametrize("root", ["", "data/"])
def test_splits(root, names, subsets, tree_of, read):
    """The split that the data brings is kept, whatever its folders are called exactly."""
    of = dict(zip(names, subsets, strict=True))
    files = [f"{root}{name}/{kind}/{name}.png" for name in names for kind in ("cats", "dogs")]

    labels, splits, findings = read(FOLDER, tree_of(*files))

    assert labels == {file: file.split("/")[-2] for file in files}
    assert splits == {file: of[file.split("/")[-3]] for file in files}
    assert findings == {}


def test_splits_inside_the_classes(tree_of, read):
    labels, splits, _ = read(FOLDER, tree_of("c/train/1.png", "d/train/2.png", "d/test/3.png"))

    assert labels == {"c/train/1.png": "c", "d/train/2.png": "d", "d/test/3.png": "d"}
    assert splits == {"c/train/1.png": "train", "d/train/2.png": "train", "d/test/3.png": "test"}


def test_a_single_split_folder_says_nothing(tree_of, read):
    labels, splits, _ = read(FOLDER, tree_of("train/cats/1.png", "train/dogs/2.png"))

    assert set(labels.values()) == {"cats", "dogs"}
    assert set(splits.values()) == {None}


def test_a_class_may_be_called_train(tree_of, read):
    """Next to other vehicles."""
    labels, splits, _ = read(FOLDER, tree_of("bus/1.png", "train/2.png", "test/3.png"))

    assert set(labels.values()) == {"bus", "train", "test"}
    assert set(splits.values()) == {None}


def test_classes_are_in_the_order_of_their_characters(tree_of, read):
    """As in torchvision; so `10` comes before `2`."""
    reading = FOLDER.read(tree_of("2/a.png", "10/a.png", "b/a.png", "B/a.png"), Report())

    assert reading.classes == ["10", "2", "B", "b"]


def test_deeper_images_belong_to_their_class(tree_of, read):
    labels, _, _ = read(FOLDER, tree_of("cats/2020/may/1.png", "cats/2.png", "dogs/x/3.png"))

    assert labels == {"cats/2020/may/1.png": "cats", "cats/2.png": "cats", "dogs/x/3.png": "dogs"}


def test_every_file_of_a_class_folder_is_taken(tree_of, read):
    """Content decides, so that images without a suffix are used and others found."""
    labels, _, _ = read(FOLDER, tree_of("cats/1.png", "cats/0002", "cats/n.txt", "dogs/3.png"))

    assert {"cats/0002", "cats/n.txt"} < set(labels)


@pytest.mark.parametrize(
    ("files", "loose"),
    [
        (["cats/1.png", "dogs/2.png", "x.png"], ["x.png"]),
        (["d/cats/1.png", "d/dogs/2.png", "d/x.png", "y.png"], ["d/x.png", "y.png"]),
        (["train/c/1.png", "train/d/2.png", "test/3.png"], ["test/3.png"]),
        (["train/c/1.png", "test/d/2.png", "extra/e/3.png"], ["extra/e/3.png"]),
    ],
)
def test_images_outside_the_class_folders_are_found(files, loose, tree_of, read):
    """Such as the unlabeled test images of a competition."""
    labels, _, findings = read(FOLDER, tree_of(*files))

    assert findings == {"IMAGES_WITHOUT_LABEL": loose}
    assert set(labels) == set(files) - set(loose)


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["1.png", "2.png"],
        ["cats/notes.txt", "dogs/notes.txt"],
        ["train/1.png", "test/2.png"],
    ],
)
def test_no_class_folders(files, tree_of, read):
    """Neither detected nor read if it is asked for by name."""
    tree = tree_of(*files)

    assert FOLDER.detect(tree) is None
    with pytest.raises(InvalidInput, match="There is no class folder with images"):
        read(FOLDER, tree)


def test_one_folder_beside_a_table_is_no_class(tree_of):
    """The table knows better; without one it is a data set of one class, refused as such."""
    assert FOLDER.detect(tree_of("images/1.png", "labels.csv")) is None
    assert FOLDER.detect(tree_of("images/1.png")) is not None
