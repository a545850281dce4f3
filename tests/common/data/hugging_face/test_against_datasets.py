"""Files as the hub's own library writes them, and what it reads in ours."""

import pytest

from common.data.findings import Report
from common.data.formats.pictures import Boxed, Tagged
from common.data.hugging_face.reader import HuggingFace
from tests.common.data.hugging_face import tables
from tests.common.data.packing import jpeg

# It takes seconds to be imported.
pytestmark = pytest.mark.slow

BOXES = [[4.0, 5.0, 20.0, 30.0], [30.0, 10.0, 30.0, 20.0], [40.0, 2.0, 23.0, 45.0]]


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return pytest.importorskip("datasets")


def test_classes_and_boxes(datasets, tree_of, tmp_path):
    """Features are named as the library names them, in the version that is installed."""
    names = ["cat", "dog"]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=names),
            "objects": {
                "bbox": datasets.Sequence(datasets.Sequence(datasets.Value("float32"), length=4)),
                "category": datasets.Sequence(datasets.ClassLabel(names=names)),
            },
        }
    )
    rows = {
        "image": [{"bytes": jpeg(n), "path": f"{n}.jpg"} for n in range(6)],
        "label": [0, 1, 1, 0, 1, 0],
        "objects": [{"bbox": BOXES, "category": [0, 1, n % 2]} for n in range(6)],
    }
    written = datasets.Dataset.from_dict(rows, features=features)
    written.to_parquet(tmp_path / "train.parquet")
    tree = tree_of({"data/train.parquet": (tmp_path / "train.parquet").read_bytes()})

    tagged = Tagged(HuggingFace()).read(tree, Report(), max_records=99)
    boxed = Boxed(HuggingFace()).read(tree, Report(), max_records=99)

    labels = [tagged.classes[record.annotation["label"]] for record in tagged.records]
    assert labels == [names[label] for label in rows["label"]]
    assert [tree.read(record.file) for record in tagged.records] == [jpeg(n) for n in range(6)]
    found = [
        [(one.box, boxed.classes[one.label]) for one in record.annotation.objects]
        for record in boxed.records
    ]
    corners = [(x, y, x + width, y + height) for x, y, width, height in BOXES]
    assert found == [
        [(box, names[at]) for box, at in zip(corners, [0, 1, n % 2], strict=True)] for n in range(6)
    ]


def test_image_folder(datasets, tree_of, tmp_path):
    """As many images and labels in each split as the library finds."""
    files = {
        f"{split}/metadata.jsonl": tables.lines(
            *({"file_name": f"{n}.jpg", "label": "ab"[n % 2], "by": "x"} for n in range(count))
        )
        for split, count in (("train", 5), ("test", 3))
    } | {
        f"{split}/{n}.jpg": jpeg(n + 10 * count)
        for split, count in (("train", 5), ("test", 3))
        for n in range(count)
    }
    for path, content in files.items():
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_bytes(content)

    theirs = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "data"), cache_dir=str(tmp_path / "cache")
    )
    ours = Tagged(HuggingFace()).read(tree_of(files), Report(), max_records=99)

    for split in ("train", "test"):
        mine = [record for record in ours.records if record.split == split]
        labels = [ours.classes[record.annotation["label"]] for record in mine]
        assert labels == theirs[split]["label"]
        assert [record.columns for record in mine] == [{"by": one} for one in theirs[split]["by"]]
