"""YOLO with a data.yaml, boxes or polygons."""

from tests.common.data.formats.samples import Counts, images

BOX = b"0 0.5 0.5 0.5 0.25\n"
POLYGON = b"1 0.1 0.25 0.4 0.25 0.4 0.75 0.1 0.75\n"


def make(task):
    line = BOX if task == "detection" else b"0 0.25 0.375 0.75 0.375 0.75 0.625 0.25 0.625\n"
    return images("images/train/1.jpg", "images/val/2.jpg", "images/val/3.jpg") | {
        "data.yaml": b"path: .\ntrain: images/train\nval: images/val\nnames: [dog, cat]\n",
        "labels/train/1.txt": line + POLYGON,
        "labels/val/2.txt": line,
        "labels/val/3.txt": b"",
    }


def expected(task):
    findings = {"IMAGES_WITHOUT_OBJECT"}
    return Counts(3, {"dog": 2, "cat": 1}, {"train": 1, "val": 2}, findings)
