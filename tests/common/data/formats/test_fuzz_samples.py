"""Damaged samples of every format: they may be refused, and nothing else may happen."""

import contextlib
import json
import random
import re
import zlib

import pytest

from common.data import formats, images
from common.data.findings import Report
from common.data.tree import IMAGE_SUFFIXES, Member, Tree, suffix
from common.errors import InvalidInput
from tests.common.data.formats.test_choice import CASES, sample
from tests.common.data.test_fuzz_import import mutated

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

MAX_PIXELS = 1_000_000


ODD = (
    None,
    True,
    -1,
    0,
    1e999,
    float("nan"),
    10**30,
    "",
    "x",
    "1e400",
    "\ud800",
    [],
    {},
    [[]],
    [None],
)


def odd_value(value, chance):
    """JSON in which something, somewhere, is of another kind, missing, or absurd."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: odd_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], odd_value(value[place], chance), *value[place + 1 :]]
    return chance.choice(ODD)


def odd(path, content, chance):
    """A file that can be parsed, but says something absurd; others are mutated."""
    if suffix(path) == ".json":
        value = json.loads(content)
        for _ in range(chance.randint(1, 4)):
            value = odd_value(value, chance)
        return json.dumps(value).encode()
    if suffix(path) == ".xml":
        said = re.split(rb'(="[^"]*")', content)
        places = [place for place, part in enumerate(said) if part.startswith(b'="')]
        for place in chance.sample(places, min(len(places), 3)):
            said[place] = b'="%s"' % str(chance.choice(ODD)).encode(errors="replace")
        return b"".join(said)
    return mutated(content, chance)


def damage(files, chance):
    """Mutate some of the files that say something of images; of those that are only images, any."""
    said = [path for path in files if suffix(path) not in IMAGE_SUFFIXES] or list(files)
    chosen = chance.sample(said, chance.randint(1, len(said)))
    if chance.random() < 0.5:
        return files | {path: odd(path, files[path], chance) for path in chosen}
    return files | {path: mutated(files[path], chance) for path in chosen}


def complete(task, tree, entry):
    """Do what an import does with labels; return how many images can be used."""
    report = Report()
    used = 0
    reading = entry.read(tree, report, max_records=100)
    for record in reading.records:
        try:
            info = images.probe(tree.read(record.file), max_pixels=MAX_PIXELS)
        except images.ImageError:
            continue
        annotation = task.complete(record.annotation, record.file, info, report)
        if annotation is not None:
            assert all(0 <= index < len(reading.classes) for index in task.classes_of(annotation))
            used += 1
    report.findings()
    return used


def run(task, entry, count, tmp_path):
    """Read damaged archives; return how many were refused, and how many images others have."""
    files = sample(entry.name).make(task.name)
    chance = random.Random(zlib.crc32(f"{task.name} {entry.name}".encode()))
    refused = used = 0
    for _ in range(count):
        contents = damage(files, chance)
        (tmp_path / "blob").write_bytes(b"".join(contents.values()))
        members, offset = {}, 0
        for path, content in contents.items():
            members[path] = Member(offset, len(content))
            offset += len(content)
        with Tree(tmp_path / "blob", members) as tree:
            with contextlib.suppress(InvalidInput):
                formats.choose(task.formats, "", tree)
            try:
                used += complete(task, tree, entry)
            except InvalidInput:
                refused += 1
    return refused, used


@pytest.mark.parametrize(("task", "entry"), CASES)
def test_a_few_mutations(task, entry, tmp_path):
    """Enough to notice what is never caught."""
    refused, used = run(task, entry, 12, tmp_path)

    assert refused == 12 or used > 0


@pytest.mark.slow
@pytest.mark.parametrize(("task", "entry"), CASES)
def test_many_mutations(task, entry, tmp_path):
    """Most damage leaves something to be read."""
    refused, used = run(task, entry, 300, tmp_path)

    assert refused < 300
    assert used > 30
