"""Parquet files as the hub has them, for each task."""

from tests.common.data.formats.samples import Counts, mask
from tests.common.data.hugging_face import tables

CORNERS = [(4, 5, 24, 35), (30, 10, 60, 30)]
LABEL = tables.class_label("leaf", "stem")


def make(task: str) -> dict[str, bytes]:
    """Six images of 64 × 48 pixels to train on and three to test on."""
    return {
        f"data/{split}-00000-of-00001.parquet": _file(task, count, start)
        for split, count, start in (("train", 6, 0), ("test", 3, 6))
    }


def _file(task: str, count: int, start: int) -> bytes:
    columns = {"image": tables.images(count, start)}
    if task == "classification":
        columns["label"] = [n % 2 for n in range(count)]
        return tables.parquet(columns, features={"label": LABEL})
    if task == "semantic-segmentation":
        columns["mask"] = [tables.image(mask(64, 48, 0, 3))] * count
        return tables.parquet(columns)
    if task == "detection":
        columns["objects"] = [{"bbox": [_corner_and_size(*box) for box in CORNERS]}] * count
    else:
        columns["objects"] = [{"segmentation": [[_ring(*box)] for box in CORNERS]}] * count
    columns["objects"] = [one | {"category": [0, 1]} for one in columns["objects"]]
    features = {"objects": {"category": {"_type": "List", "feature": LABEL}}}
    return tables.parquet(columns, features=features)


def _corner_and_size(xmin: int, ymin: int, xmax: int, ymax: int) -> list[float]:
    return [xmin, ymin, xmax - xmin, ymax - ymin]


def _ring(xmin: int, ymin: int, xmax: int, ymax: int) -> list[float]:
    return [xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax]


def expected(task: str) -> Counts:
    """Count by hand: the box format is found in 18 boxes, masks of two values have no names."""
    classes = {
        "classification": {"leaf": 5, "stem": 4},
        "detection": {"leaf": 9, "stem": 9},
        "instance-segmentation": {"leaf": 9, "stem": 9},
        "semantic-segmentation": {"background": 9 * 32 * 48, "foreground": 9 * 32 * 48},
    }[task]
    findings = {
        "detection": {"BOX_FORMAT_FOUND"},
        "semantic-segmentation": {"MASK_CLASSES_GUESSED"},
    }
    return Counts(9, classes, {"train": 6, "test": 3}, findings.get(task, set()))
