"""What is made of the hub's layouts for classification, detection and instance segmentation."""

import pyarrow as pa
import pytest

from common.data.findings import Report
from common.data.formats.pictures import Boxed, Outlined, Tagged
from common.data.hugging_face.reader import HuggingFace
from common.errors import InvalidInput
from common.masks import rle
from tests.common.data.hugging_face import tables
from tests.common.data.packing import jpeg


@pytest.fixture
def read(tree_of):
    """Read files: what is said of each, its split, and the findings' examples."""

    def read(kind, files, **told):
        report = Report()
        tree = tree_of(files, **told)
        reading = kind(HuggingFace()).read(tree, report, max_records=1000)
        said = {}
        for record in reading.records:
            if isinstance(record.annotation, dict):
                said[record.file] = reading.classes[record.annotation["label"]]
            else:
                said[record.file] = [
                    (reading.classes[one.label], *(round(side, 3) for side in one.box))
                    for one in record.annotation.objects
                ]
        splits = {record.file: record.split for record in reading.records}
        assert all(file in tree for file in said)
        return said, splits, {one.id: list(one.examples) for one in report.findings()}

    return read


# Classification.


def test_parquet(read, tree_of):
    """Numbers are named as the features say; the split is that of the file's name."""
    features = {"image": {"_type": "Image"}, "label": tables.class_label("dog", "cat")}
    files = {
        f"data/{split}-00000-of-00001.parquet": tables.parquet(
            {"image": tables.images(2, start), "label": [1, 0]}, features=features
        )
        for split, start in (("train", 0), ("test", 2))
    }

    said, splits, findings = read(Tagged, files)

    assert said == {
        "data/test-00000-of-00001.parquet/0000001/image/2.jpg": "cat",
        "data/test-00000-of-00001.parquet/0000002/image/3.jpg": "dog",
        "data/train-00000-of-00001.parquet/0000001/image/0.jpg": "cat",
        "data/train-00000-of-00001.parquet/0000002/image/1.jpg": "dog",
    }
    assert list(splits.values()) == ["test", "test", "train", "train"]
    assert findings == {}
    tree = tree_of(files)
    Tagged(HuggingFace()).read(tree, Report(), max_records=10)
    for number, path in enumerate(sorted(said)):
        assert tree.read(path) == jpeg([2, 3, 0, 1][number])


def test_order_of_classes(tree_of):
    """It is that of the features, so that a number means the same as on the hub."""
    content = tables.parquet(
        {"image": tables.images(2), "label": [0, 1]},
        features={"label": tables.class_label("zebra", "ant")},
    )

    reading = Tagged(HuggingFace()).read(tree_of({"a.parquet": content}), Report(), max_records=9)

    assert reading.classes == ["zebra", "ant"]
    assert [record.annotation["label"] for record in reading.records] == [0, 1]


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        pytest.param(["b", "a"], (), ["b", "a"], id="texts"),
        pytest.param([7, 10], (), ["7", "10"], id="numbers without names"),
        pytest.param([1.0, 0.0], ("x", "y"), ["y", "x"], id="floats, as pandas makes of gaps"),
        pytest.param(["1", "x"], ("x", "y"), ["y", "x"], id="numbers as texts"),
        pytest.param([[1], [0]], ("x", "y"), ["y", "x"], id="lists of one"),
        pytest.param([True, False], (), ["True", "False"], id="yes and no"),
    ],
)
def test_kinds_of_labels(labels, names, expected, read):
    """However a class is written."""
    features = {"label": tables.class_label(*names)} if names else None
    if isinstance(labels[0], list):
        features = {"label": {"_type": "List", "feature": features["label"]}}
    content = tables.parquet({"image": tables.images(2), "label": labels}, features=features)

    said, _, _ = read(Tagged, {"x.parquet": content})

    assert list(said.values()) == expected


@pytest.mark.parametrize("missing", [-1, None])
def test_unlabeled_rows(missing, read):
    """The hub writes -1 where a test set keeps its labels to itself."""
    content = tables.parquet(
        {"image": tables.images(3), "label": [0, missing, 1]},
        features={"label": tables.class_label("a", "b")},
    )

    said, _, findings = read(Tagged, {"x.parquet": content})

    assert len(said) == 2
    assert findings == {"IMAGES_WITHOUT_TAG": ["x.parquet/0000002/image/1.jpg"]}


def test_number_outside_of_classes(read):
    """It is not given a class of its own."""
    content = tables.parquet(
        {"image": tables.images(3), "label": [0, 5, 1]},
        features={"label": tables.class_label("a", "b")},
    )

    said, _, findings = read(Tagged, {"x.parquet": content})

    assert list(said.values()) == ["a", "b"]
    assert findings["LABELS_OUTSIDE_CLASSES"] == ["x.parquet, row 2: 5"]


def test_names_in_card(read):
    """README.md names classes and says which files are which split of a configuration."""
    content = tables.parquet({"image": tables.images(2), "label": [0, 1]})
    head = """---
configs:
- config_name: small
  default: true
  data_files:
  - split: train
    path: small/a-*
  - split: validation
    path: small/b-*
- config_name: large
  data_files: large/*
dataset_info:
- config_name: small
  features:
  - name: label
    dtype:
      class_label:
        names:
          '1': 'yes'
          '0': 'no'
---
# Pets
"""
    other = tables.parquet({"image": tables.images(2, 9), "label": [0, 1]})
    files = {
        "README.md": head.encode(),
        "small/a-0.parquet": content,
        "small/b-0.parquet": tables.parquet({"image": tables.images(2, 4), "label": [1, 1]}),
        "large/c.parquet": other,
    }

    said, splits, findings = read(Tagged, files)

    assert list(said.values()) == ["no", "yes", "yes", "yes"]
    assert list(splits.values()) == ["train", "train", "val", "val"]
    assert findings["TABLES_IGNORED"] == ["large/c.parquet"]
    said, _, _ = read(Tagged, files, config="large")
    assert [path.partition("/")[0] for path in said] == ["large", "large"]
    with pytest.raises(InvalidInput, match=r"config is 'tiny', but the data set has small, large"):
        read(Tagged, files, config="tiny")


def test_columns_are_told(read):
    """Of several, the request says which; without it, what else there is, is named."""
    content = tables.parquet(
        {
            "photo": tables.images(2),
            "thumb": tables.images(2, 5),
            "fine_label": [0, 1],
            "coarse_label": [1, 0],
        },
        features={
            "fine_label": tables.class_label("oak", "ant"),
            "coarse_label": tables.class_label("animal", "plant"),
        },
    )

    said, _, findings = read(Tagged, {"x.parquet": content})
    assert said == {
        "x.parquet/0000001/photo/0.jpg": "oak",
        "x.parquet/0000002/photo/1.jpg": "ant",
    }
    assert findings["COLUMNS_CHOSEN"] == ["x.parquet: fine_label, not coarse_label"]
    said, _, findings = read(
        Tagged, {"x.parquet": content}, image_column="thumb", label_column="coarse_label"
    )
    assert said == {
        "x.parquet/0000001/thumb/5.jpg": "plant",
        "x.parquet/0000002/thumb/6.jpg": "animal",
    }
    assert "COLUMNS_CHOSEN" not in findings
    with pytest.raises(InvalidInput, match=r"label_column is 'x', .* fine_label, coarse_label"):
        read(Tagged, {"x.parquet": content}, label_column="x")


def test_splits_are_told(read):
    """A split with a name of its own."""
    files = {
        f"data/{split}-00000-of-00001.parquet": tables.parquet(
            {"image": tables.images(2, start), "label": ["a", "b"]}
        )
        for split, start in (("fold1", 0), ("fold2", 2))
    }

    _, splits, _ = read(Tagged, files)
    assert set(splits.values()) == {None}
    _, splits, _ = read(Tagged, files, train_split="fold2", val_split="fold1")
    assert list(splits.values()) == ["val", "val", "train", "train"]


def test_columns_for_groups(tree_of):
    """Short values are kept; what is long is named."""
    content = tables.parquet(
        {
            "image": tables.images(2),
            "label": ["a", "b"],
            "patient": [4, 5],
            "text": ["x", "y" * 1000],
        }
    )
    report = Report()

    tree = tree_of({"x.parquet": content})
    reading = Tagged(HuggingFace()).read(tree, report, max_records=9)

    assert [record.columns for record in reading.records] == [
        {"patient": "4", "text": "x"},
        {"patient": "5"},
    ]
    assert [one.id for one in report.findings()] == ["COLUMNS_NOT_KEPT"]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param([jpeg(0), jpeg(1)], id="bytes alone"),
        pytest.param(pa.array([jpeg(0), jpeg(1)], pa.large_binary()), id="large bytes"),
        pytest.param([{"bytes": jpeg(0)}, {"bytes": jpeg(1)}], id="no paths"),
        pytest.param([tables.image(jpeg(n), f"C:\\a\\{n}.jpg") for n in (0, 1)], id="Windows"),
    ],
)
def test_kinds_of_images(column, tree_of):
    """However the bytes are stored."""
    tree = tree_of({"x.parquet": tables.parquet({"image": column, "label": ["a", "b"]})})

    reading = Tagged(HuggingFace()).read(tree, Report(), max_records=9)

    assert [tree.read(record.file) for record in reading.records] == [jpeg(0), jpeg(1)]
    assert all("\\" not in record.file for record in reading.records)


@pytest.mark.parametrize(
    "column", [["1.jpg", "x/2.jpg"], [tables.image(None, "1.jpg"), tables.image(None, "x/2.jpg")]]
)
def test_images_beside_parquet(column, read):
    """Rows may only name files."""
    types = {"image": tables.IMAGE} if isinstance(column[0], dict) else {"image": pa.string()}
    content = tables.parquet({"image": column, "label": ["a", "b"]}, types)

    said, _, findings = read(
        Tagged, {"d/x.parquet": content, "d/1.jpg": jpeg(0), "d/x/2.jpg": jpeg(1), "d/3.jpg": b""}
    )

    assert said == {"d/1.jpg": "a", "d/x/2.jpg": "b"}
    assert findings == {"IMAGES_NOT_LISTED": ["d/3.jpg"]}


def test_damaged_files(read):
    """What can be read is; the rest is named."""
    good = tables.parquet({"image": tables.images(2), "label": ["a", "b"]})
    files = {"a.parquet": good, "b.parquet": good[:-20], "c.parquet": b"PAR1", "d.parquet": b""}

    said, _, findings = read(Tagged, files)

    assert len(said) == 2
    broken = findings["ANNOTATION_FILES_UNREADABLE"]
    assert [one.partition(":")[0] for one in broken] == ["b.parquet", "c.parquet", "d.parquet"]
    with pytest.raises(InvalidInput, match=r"b\.parquet: it is no parquet file, or not whole"):
        read(Tagged, {"b.parquet": good[:-20]})


# Images with a metadata file.


def test_metadata(read):
    """One for each split, beside its images."""
    files = {
        "train/metadata.jsonl": tables.lines(
            {"file_name": "1.jpg", "label": "cat", "age": 3},
            {"file_name": "in/2.jpg", "label": "dog"},
            {"file_name": "lost.jpg", "label": "dog"},
        ),
        "train/1.jpg": jpeg(1),
        "train/in/2.jpg": jpeg(2),
        "test/metadata.csv": b"file_name,label\n3.jpg,dog\n",
        "test/3.jpg": jpeg(3),
        "test/4.jpg": jpeg(4),
    }

    said, splits, findings = read(Tagged, files)

    assert said == {"test/3.jpg": "dog", "train/1.jpg": "cat", "train/in/2.jpg": "dog"}
    assert splits == {"test/3.jpg": "test", "train/1.jpg": "train", "train/in/2.jpg": "train"}
    assert findings == {
        "IMAGES_NOT_LISTED": ["test/4.jpg"],
        "LISTED_FILES_MISSING": ["train/metadata.jsonl, row 3: lost.jpg"],
    }


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(b'{"file_name": "2.jpg", ', "line 2 is no JSON", id="cut"),
        pytest.param(b"[" * 100_000, "line 2 is no JSON", id="deep"),
        pytest.param(b"3", "line 2 is no object", id="a number"),
    ],
)
def test_damaged_lines(end, reason, read):
    """Lines before the damage count."""
    good = tables.lines({"file_name": "1.jpg", "label": "a"})

    said, _, findings = read(Tagged, {"metadata.jsonl": good + end, "1.jpg": jpeg(1)})

    assert said == {"1.jpg": "a"}
    assert reason in findings["ANNOTATION_FILES_UNREADABLE"][0]
    with pytest.raises(InvalidInput, match=r"metadata\.jsonl: line 1"):
        read(Tagged, {"metadata.jsonl": end, "1.jpg": jpeg(1)})


def test_columns_that_come_late(read):
    """A row may leave out what it has nothing of."""
    rows = [{"file_name": f"{n}.jpg"} for n in range(200)]
    rows[150] |= {"objects": {"bbox": [CORNERS[0]], "category": ["x"]}}
    files = {"metadata.jsonl": tables.lines(*rows)} | {f"{n}.jpg": b"" for n in range(200)}

    said, _, findings = read(Boxed, files, box_format="xyxy")

    assert said == {"150.jpg": [("x", *CORNERS[0])]}
    assert len(findings["IMAGES_UNLABELED"]) == 20


def test_upper_case(tree_of):
    """On Windows, suffixes may be so."""
    content = tables.parquet({"image": tables.images(2), "label": ["a", "b"]})
    tree = tree_of({"X.PARQUET": content})

    reading = Tagged(HuggingFace()).read(tree, Report(), max_records=9)

    assert [tree.read(record.file) for record in reading.records] == [jpeg(0), jpeg(1)]


# Detection.


def objects(*boxes, categories=None) -> dict:
    return {
        "bbox": [list(map(float, box)) for box in boxes],
        "category": [0] * len(boxes) if categories is None else categories,
    }


# Corners and size of objects in images of 64 × 48 pixels.
CORNERS = [(4, 5, 24, 35), (30, 10, 60, 30), (40, 2, 63, 47), (0, 40, 10, 48), (50, 30, 60, 44)]


def as_written(kind: str, box) -> tuple:
    xmin, ymin, xmax, ymax = box
    width, height = xmax - xmin, ymax - ymin
    if kind.endswith("_fraction"):
        written = as_written(kind.removesuffix("_fraction"), box)
        return tuple(side / (64, 48)[place % 2] for place, side in enumerate(written))
    return {
        "xyxy": box,
        "xywh": (xmin, ymin, width, height),
        "cxcywh": (xmin + width / 2, ymin + height / 2, width, height),
    }[kind]


@pytest.mark.parametrize("sized", [True, False], ids=["size in columns", "size in images"])
@pytest.mark.parametrize(
    "kind", ["xyxy", "xywh", "cxcywh", "xyxy_fraction", "xywh_fraction", "cxcywh_fraction"]
)
def test_box_formats(kind, sized, read):
    """All boxes together show how they are written."""
    rows = {
        "image": tables.images(4),
        "objects": [objects(*(as_written(kind, box) for box in CORNERS[:n])) for n in (5, 0, 5, 3)],
    }
    if sized:
        rows |= {"width": [64] * 4, "height": [48] * 4}
    features = {"objects": tables.objects_feature("thing")}
    content = tables.parquet(rows, {"objects": tables.OBJECTS}, features)

    said, _, findings = read(Boxed, {"x.parquet": content})

    scale = (1 / 64, 1 / 48) * 2 if kind.endswith("fraction") else (1,) * 4
    wanted = [tuple(s * f for s, f in zip(box, scale, strict=True)) for box in CORNERS]
    found = list(said.values())
    assert [len(boxes) for boxes in found] == [5, 0, 5, 3]
    for boxes in found:
        for (name, *box), expected in zip(boxes, wanted, strict=False):
            assert name == "thing"
            assert box == pytest.approx(expected, abs=1e-3)
    assert [one.partition(":")[0] for one in findings["BOX_FORMAT_FOUND"]] == [kind]
    told = read(Boxed, {"x.parquet": content}, box_format=kind)
    assert told[0] == said
    assert "BOX_FORMAT_FOUND" not in told[2]


def test_unclear_box_format(read):
    """A single box fits as corners, and as corner and size; somebody should look."""
    content = tables.parquet(
        {"image": tables.images(1), "objects": [objects((4, 5, 24, 30))]},
        {"objects": tables.OBJECTS},
    )

    _, _, findings = read(Boxed, {"x.parquet": content})

    assert findings["BOX_FORMAT_UNCLEAR"] == ["xywh: of 1 boxes fit as xywh 1, xyxy 1, cxcywh 0"]
    assert findings["CLASSES_GUESSED"] == ["0"]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({"objects": [objects(*CORNERS[:2], categories=[1, 0])]}, id="lists in parts"),
        pytest.param(
            {
                "objects": [
                    [
                        {"bbox": list(CORNERS[0]), "category": 1},
                        {"bbox": list(CORNERS[1]), "category": 0},
                    ]
                ]
            },
            id="a list of objects",
        ),
        pytest.param(
            {"bboxes": [[list(box) for box in CORNERS[:2]]], "labels": [[1, 0]]},
            id="columns of lists",
        ),
    ],
)
def test_ways_to_list_objects(rows, read):
    """However the hub's users nest them."""
    path = ("labels",) if "labels" in rows else ("objects", "category")
    label = {"_type": "List", "feature": tables.class_label("a", "b")}
    features = {path[0]: {path[1]: label} if len(path) > 1 else label}
    content = tables.parquet({"image": tables.images(1)} | rows, features=features)

    said, _, _ = read(Boxed, {"x.parquet": content}, box_format="xyxy")

    assert list(said.values()) == [[("b", *CORNERS[0]), ("a", *CORNERS[1])]]


def test_objects_in_metadata(read):
    """JSON Lines, with classes as texts."""
    files = {
        "metadata.jsonl": tables.lines(
            *(
                {
                    "file_name": f"{n}.jpg",
                    "objects": {"bbox": CORNERS, "categories": list("abcde")},
                }
                for n in range(3)
            )
        )
    } | {f"{n}.jpg": jpeg(n) for n in range(3)}

    said, _, _ = read(Boxed, files)

    assert list(said.values()) == 3 * [[(n, *b) for n, b in zip("abcde", CORNERS, strict=True)]]


def test_odd_objects(read):
    """Each that cannot be read is named; the image stays with the others."""
    good = {"bbox": [4, 5, 20, 30], "category": 0}
    rows = [
        [good],
        [{"bbox": [1, 2, 3], "category": 0}, good],
        [{"bbox": [1, "x", 3, 4], "category": 0}, good],
        [{"bbox": [1, 2, 3, 4], "category": 7}, good],
        [{"bbox": [1, 2, 3, 4], "category": None}, good],
        [None, good],
        None,
    ]
    lists = {"bbox": [[1, 2, 3, 4]], "category": [0, 1]}
    files = {
        "metadata.jsonl": tables.lines(
            *({"file_name": f"{n}.jpg", "objects": row} for n, row in enumerate([*rows, lists]))
        ),
        "README.md": b"---\ndataset_info:\n  features:\n  - name: objects\n    list:\n"
        b"    - name: category\n      dtype: {class_label: {names: {'0': a, '1': b}}}\n---\n",
    } | {f"{n}.jpg": jpeg(n) for n in range(8)}

    said, _, findings = read(Boxed, files, box_format="xywh")

    assert [len(boxes) for boxes in said.values()] == [1, 1, 1, 1, 1, 1, 0]
    assert findings["BOXES_UNREADABLE"] == [
        "metadata.jsonl, row 2, object 1: [1, 2, 3]",
        "metadata.jsonl, row 3, object 1: [1, 'x', 3, 4]",
        "metadata.jsonl, row 6, object 1",
    ]
    assert findings["BOXES_OF_UNKNOWN_CLASS"] == ["metadata.jsonl, row 4, object 1: 7"]
    assert findings["SHAPES_WITHOUT_CLASS"] == ["metadata.jsonl, row 5, object 1"]
    assert findings["OBJECT_LISTS_DIFFER"] == ["metadata.jsonl, row 8: 1 box, 2 label"]
    assert findings["IMAGES_UNLABELED"] == ["6.jpg"]


# Instance segmentation.


def test_polygons(read, tree_of):
    """As COCO has them, or as points."""
    ring = [4, 5, 24, 5, 24, 35, 4, 35]
    points = [[x, y] for x, y in zip(ring[::2], ring[1::2], strict=True)]
    files = {
        "metadata.jsonl": tables.lines(
            *(
                {
                    "file_name": f"{n}.jpg",
                    "objects": {"segmentation": [written], "category": ["leaf"]},
                }
                for n, written in enumerate([[ring], ring, points, [points]])
            )
        )
    } | {f"{n}.jpg": jpeg(n) for n in range(4)}

    said, _, _ = read(Outlined, files)

    assert list(said.values()) == 4 * [[("leaf", 4, 5, 24, 35)]]


def test_lists_of_masks(tree_of):
    """A picture for each object, in the row."""
    pngs = [tables.mask(0, (0, 255)), tables.mask(0, (255, 0))]
    content = tables.parquet(
        {
            "image": tables.images(1),
            "masks": [[tables.image(png) for png in pngs]],
            "labels": [["left", "right"]],
        }
    )
    tree = tree_of({"x.parquet": content})

    reading = Outlined(HuggingFace()).read(tree, Report(), max_records=9)

    draft = reading.records[0].annotation
    assert [reading.classes[one.label] for one in draft.objects] == ["left", "right"]
    assert [one.box for one in draft.objects] == [(0, 0, 64, 48), (0, 0, 32, 48)]
    assert [rle.area(one.outline.rle) for one in draft.objects] == [32 * 48 + 1, 32 * 48 - 1]
