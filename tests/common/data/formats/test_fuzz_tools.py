"""Damaged exports of tools: they may be refused, and nothing else may happen."""

import itertools
import json
import random
from types import SimpleNamespace

from common.data.findings import Report
from common.data.formats.label_studio import LabelStudio
from common.data.formats.open_images import OpenImages
from common.data.formats.pictures import Boxed, Outlined, Tagged
from common.data.formats.via import Via
from common.errors import InvalidInput
from common.objects.drafts import complete
from tests.common.data.formats import label_studio_made, open_images_made, via_made
from tests.common.data.test_fuzz_import import mutated

FILE_COUNT = 300
ODD = [None, True, -1, 1e400, float("nan"), "", "x", [], {}, [[]], {"a": {}}, 10**400, "\ud800"]
VIA = [
    (json.dumps(via_made.export(*via_made.IMAGES)).encode(), "a.json"),
    (json.dumps(via_made.project(*via_made.IMAGES)).encode(), "a.json"),
    (json.dumps(via_made.IMAGES_1).encode(), "a.json"),
    (json.dumps(via_made.IMAGES_3).encode(), "a.json"),
    (via_made.table(*via_made.IMAGES), "a.csv"),
]


def odd(value, chance):
    """Replace values somewhere in it by others, of other types."""
    if chance.random() < 0.05:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {k: odd(v, chance) for k, v in value.items() if chance.random() > 0.02}
    if isinstance(value, list):
        return [odd(one, chance) for one in value]
    return value


def read_all(reader, trees):
    """Read each for a task; return how many images and objects were read, how many trees not."""
    info = SimpleNamespace(width=200, height=100, orientation=1)
    refused = images = objects = 0
    kinds = itertools.cycle((Boxed, Outlined, Tagged))
    for tree, kind in zip(itertools.islice(trees, FILE_COUNT), kinds, strict=False):
        report = Report()
        kind(reader).detect(tree)
        try:
            reading = kind(reader).read(tree, report, max_records=9)
        except InvalidInput:
            refused += 1
            continue
        report.findings()
        images += len(reading.records)
        for record in reading.records if kind is not Tagged else ():
            masks = kind is Outlined
            objects += len(complete(record.annotation, record.file, info, report, masks=masks))
    return images, objects, refused


def test_mutated_via(tree_of):
    """Each is read or refused; what is read can be used."""
    chance = random.Random(0)
    trees = (
        tree_of("1.jpg", "2.jpg", **{name: mutated(content, chance)})
        for content, name in itertools.cycle(VIA)
    )

    images, objects, refused = read_all(Via(), trees)

    assert images > 50
    assert objects > 30
    assert refused > 50


def test_via_with_values_of_any_type(tree_of):
    chance = random.Random(0)
    trees = (
        tree_of("1.jpg", "2.jpg", **{"a.json": json.dumps(odd(one, chance)).encode()})
        for one in itertools.cycle([json.loads(content) for content, _ in VIA[:4]])
    )

    images, objects, _ = read_all(Via(), trees)

    assert images > 100
    assert objects > 50


def test_mutated_label_studio(tree_of):
    chance = random.Random(0)
    trees = (
        tree_of("images/1.jpg", **{"a.json": mutated(content, chance)})
        for content in itertools.cycle(label_studio_made.GOOD)
    )

    images, _, refused = read_all(LabelStudio(), trees)

    assert images > 30
    assert refused > 30


def test_label_studio_with_values_of_any_type(tree_of):
    chance = random.Random(0)
    good = [json.loads(content) for content in label_studio_made.GOOD]
    # A box instead of what is painted, which is a thousand values.
    good[1][0]["label"][0] = good[0][0]["annotations"][0]["result"][0]["value"]
    trees = (
        tree_of("images/1.jpg", **{"a.json": json.dumps(odd(one, chance)).encode()})
        for one in itertools.cycle(good)
    )

    images, objects, _ = read_all(LabelStudio(), trees)

    assert images > 50
    assert objects > 20


def test_mutated_open_images(tree_of):
    chance = random.Random(0)

    def trees():
        while True:
            files = {
                path: mutated(content, chance) if chance.random() < 0.5 else content
                for path, content in open_images_made.PUBLISHED.items()
            }
            yield tree_of(*open_images_made.IMAGES, **files)

    images, objects, refused = read_all(OpenImages(), trees())

    assert images > 200
    assert objects > 100
    assert refused > 20
