"""Damaged annotation files: they may be refused, and nothing else may happen."""

import random

from common.data.findings import Report
from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from common.errors import InvalidInput
from common.objects.drafts import complete
from tests.common.data.formats.made import info, thing, xml
from tests.common.data.test_fuzz_import import mutated

VOC = PascalVoc()
YOLO = Yolo()


def test_mutated_voc(tree_of):
    """Each is read or named; nothing but a refusal of all is raised."""
    chance = random.Random(0)
    good = xml(thing("dog", more="<truncated>1</truncated>"), thing(), filename="1.jpg")
    refused = read = 0
    for _ in range(500):
        files = {
            "A/1.xml": mutated(good, chance),
            "A/2.xml": mutated(good, chance) if chance.random() < 0.5 else good,
            "ImageSets/Main/train.txt": mutated(b"1\n2\n", chance),
            "ImageSets/Main/test.txt": mutated(b"2\n", chance),
        }
        report = Report()
        tree = tree_of("J/1.jpg", "J/2.jpg", **files)
        VOC.detect(tree)
        try:
            reading = VOC.read(tree, report, max_records=9)
        except InvalidInput:
            refused += 1
            continue
        for record in reading.records:
            objects = complete(record.annotation, record.file, info(), report)
            assert all(0 <= one.label < len(reading.classes) for one in objects)
            read += 1
        report.findings()

    assert refused > 20
    assert read > 100


def test_mutated_yolo(tree_of):
    """Each is read or named; nothing but a refusal of all is raised."""
    chance = random.Random(0)
    config = b"path: .\ntrain: images/train\nval: [images/val]\nnames:\n  0: cat\n  1: dog\n"
    label = b"0 0.5 0.5 0.5 0.25\n1 0.1 0.1 0.2 0.2 0.9\n1 .1 .1 .2 .1 .2 .3\n"
    refused = read = 0
    for number in range(500):
        files = {
            "labels/train/1.txt": mutated(label, chance),
            "other/labels/train/1.txt": mutated(label, chance),
            "labels/val/2.txt": mutated(label, chance),
            "images/val/2.txt" if number % 2 else "val.txt": mutated(b"images/2.jpg\n", chance),
            "data.yaml": mutated(config, chance),
            "classes.txt": mutated(b"cat\ndog\n", chance),
        }
        report = Report()
        tree = tree_of("images/train/1.jpg", "images/val/2.jpg", **files)
        YOLO.detect(tree)
        try:
            reading = YOLO.read(tree, report, max_records=9)
        except InvalidInput:
            refused += 1
            continue
        for record in reading.records:
            objects = complete(record.annotation, record.file, info(), report)
            assert all(0 <= one.label < len(reading.classes) for one in objects)
            read += len(objects)
        report.findings()

    assert refused < 50
    assert read > 500
