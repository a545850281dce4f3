"""Folders as people lay them out."""

import pytest

from common.data import formats
from common.data.findings import Report
from common.data.formats.image_folder import ImageFolder
from common.errors import InvalidInput
from tests.common.data.packing import jpeg
from tests.common.data.pictures import encode, picture

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
    assert findings == {"FOLDERS_IGNORED": [f"{root}labels"]}
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
    tree = tree_of("2/a.png", "10/a.png", "b/a.png", "B/a.png")

    reading = FOLDER.read(tree, Report(), max_records=0)

    assert reading.classes == ["10", "2", "B", "b"]


@pytest.mark.parametrize("root", ["", "x/"])
def test_folders_beside_the_one_that_holds_splits_do_not_matter(root, tree_of, read):
    """A figure in the documentation makes no class of the data, and loses no split."""
    parts = ("train/cats", "train/dogs", "test/cats", "test/dogs")
    files = [f"{root}data/{part}/1.png" for part in parts]
    docs = f"{root}docs/figure.png"

    labels, splits, findings = read(FOLDER, tree_of(*files, docs, f"{root}docs/notes/a.txt"))

    assert labels == {file: file.split("/")[-2] for file in files}
    assert splits == {file: file.split("/")[-3] for file in files}
    assert findings == {"IMAGES_WITHOUT_LABEL": [docs]}


@pytest.mark.parametrize(
    ("files", "classes"),
    [
        (["a/train/x/1.png", "a/test/x/2.png", "b/train/x/3.png", "b/val/x/4.png"], {"a", "b"}),
        (["bus/1.png", "rail/train/ice/2.png", "rail/tram/3.png"], {"bus", "rail"}),
        (["a/train/x/1.png", "a/test/2.png", "b/train/3.png"], {"a", "b"}),
    ],
    ids=["two of them", "a kind of vehicle", "splits inside the classes"],
)
def test_folders_that_may_be_classes_are(files, classes, tree_of, read):
    """What is in a class folder is not taken for the whole without a doubt."""
    labels, _, findings = read(FOLDER, tree_of(*files))

    assert set(labels) == set(files)
    assert set(labels.values()) == classes
    assert findings == {}


def test_deeper_images_belong_to_their_class(tree_of, read):
    labels, _, _ = read(FOLDER, tree_of("cats/2020/may/1.png", "cats/2.png", "dogs/x/3.png"))

    assert labels == {"cats/2020/may/1.png": "cats", "cats/2.png": "cats", "dogs/x/3.png": "dogs"}


def test_every_file_of_a_class_folder_is_taken(tree_of, read):
    """Content decides, so that images without a suffix are used and others found."""
    labels, _, _ = read(FOLDER, tree_of("cats/1.png", "cats/0002", "cats/n.txt", "dogs/3.png"))

    assert {"cats/0002", "cats/n.txt"} < set(labels)


def test_a_class_of_images_without_a_suffix_is_a_class(tree_of, read):
    """They begin as images do."""
    files = {"cats/0001": jpeg(1), "dogs/0001": encode(picture(), "BMP"), "top": jpeg(2)}

    labels, _, findings = read(FOLDER, tree_of("cows/1.png", "labels/README", **files))

    assert labels == {"cats/0001": "cats", "dogs/0001": "dogs", "cows/1.png": "cows"}
    assert findings == {"IMAGES_WITHOUT_LABEL": ["top"], "FOLDERS_IGNORED": ["labels"]}


def test_a_text_that_begins_like_an_image_is_none(tree_of, read):
    """`BM` are the first letters of a BMP, and of other things."""
    texts = {"docs/bm.txt": b"BM is short for benchmark.", "docs/b.txt": b"BM"}

    labels, _, findings = read(FOLDER, tree_of("cats/1.png", "dogs/2.png", **texts))

    assert set(labels.values()) == {"cats", "dogs"}
    assert findings == {"FOLDERS_IGNORED": ["docs"]}


@pytest.mark.parametrize(
    ("files", "ignored"),
    [
        (["cats/1.png", "dogs/x.mov", "cows/deep/er/x.mov", "a.txt"], ["cows", "dogs"]),
        (["train/c/1.png", "test/c/2.png", "test/d/x.mov", "docs/x.txt"], ["test/d"]),
        (["c/train/1.png", "e/test/2.png", "d/x.mov"], ["d"]),
    ],
)
def test_folders_beside_the_classes_without_an_image_are_found(files, ignored, tree_of, read):
    """They may have been meant as classes."""
    assert read(FOLDER, tree_of(*files))[2] == {"FOLDERS_IGNORED": ignored}


def test_most_classes(tree_of, read, monkeypatch):
    monkeypatch.setattr(formats, "MAX_CLASSES", 2)
    assert len(read(FOLDER, tree_of("a/1.png", "b/1.png"))[0]) == 2

    with pytest.raises(InvalidInput, match=r"more than 2 classes.* up to the folder c"):
        read(FOLDER, tree_of("a/1.png", "b/1.png", "c/1.png"))


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
