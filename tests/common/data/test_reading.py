"""Images out of their shards, from a real S3 server."""

import io
import random

import pytest

from common.data import reading
from common.data.manifest import Entry, write_line
from common.data.reading import DatasetReader
from common.data.shards import ShardWriter
from common.errors import Internal, NotFound

NAME = "tasks/classification/datasets/d"
RANDOM = random.Random(0)
CONTENTS = [RANDOM.randbytes(RANDOM.choice([0, 1, 511, 512, 513, 3000])) for _ in range(200)]


@pytest.fixture
def requests(bucket, monkeypatch):
    """Count the reads of shards."""
    counted = []
    get = bucket.get

    def counting(key, **part):
        if "/shards/" in key:
            counted.append(key)
        return get(key, **part)

    monkeypatch.setattr(bucket, "get", counting)
    return counted


@pytest.fixture
def reader(bucket, tmp_path, requests) -> DatasetReader:
    """200 images in several shards."""
    lines = []
    with ShardWriter(bucket, f"{NAME}/shards/", tmp_path, max_bytes=100_000) as writer:
        for number, content in enumerate(CONTENTS):
            (tmp_path / "image").write_bytes(content)
            with (tmp_path / "image").open("rb") as file:
                place = writer.add(file, len(content), ".jpg")
            lines.append(write_line(Entry(f"{number}", *place, "", 1, 1, {"label": 0})))
    bucket.put(f"{NAME}/manifest.jsonl", b"".join(lines))
    return DatasetReader(bucket, NAME)


def test_entries_are_in_index_order(reader):
    assert [entry.file for entry in reader.entries()] == [str(i) for i in range(200)]
    assert len({entry.shard for entry in reader.entries()}) > 2


def test_one_image_is_one_request(reader, requests):
    for index in (0, 17, 199):
        requests.clear()

        assert reader.read(reader.entries()[index]) == CONTENTS[index]
        assert len(requests) <= 1


def test_neighbours_are_read_together(reader, requests):
    """All images take about as many requests as there are shards."""
    assert list(reader.read_many(reader.entries())) == CONTENTS
    assert len(requests) <= len({entry.shard for entry in reader.entries()})


def test_annotations_have_their_masks(bucket, tmp_path, requests):
    """Those that have one; masks lie together, so that they take few requests."""
    prefix = f"{NAME}/shards/"
    lines = []
    with (
        ShardWriter(bucket, prefix, tmp_path) as images,
        ShardWriter(bucket, prefix, tmp_path, stem="masks-") as masks,
    ):
        for number in range(30):
            place = images.add(io.BytesIO(bytes(100_000)), 100_000, ".jpg")
            mask = masks.add(io.BytesIO(b"%d" % number), len(b"%d" % number), ".png")
            has_mask = number % 3 > 0
            lines.append(
                write_line(
                    Entry(
                        f"{number}",
                        *place,
                        sha256="",
                        width=1,
                        height=1,
                        annotation={"pixels": [number]},
                        mask=mask if has_mask else None,
                    )
                )
            )
    bucket.put(f"{NAME}/manifest.jsonl", b"".join(lines))
    reader = DatasetReader(bucket, NAME)

    found = list(reader.annotations(reader.entries()))

    assert found == [
        {"pixels": [number]} | ({"mask": b"%d" % number} if number % 3 else {})
        for number in range(30)
    ]
    assert len(requests) == 1
    assert reader.entries()[1].annotation == {"pixels": [1]}


def test_any_order(reader):
    """Backwards, shuffled, twice, or none at all."""
    entries = reader.entries()
    shuffled = random.Random(1).sample(range(200), 200)
    for order in (range(199, -1, -1), shuffled, [5, 5, 4, 5], []):
        assert list(reader.read_many([entries[i] for i in order])) == [CONTENTS[i] for i in order]


def test_ranges_are_bounded(reader, requests, monkeypatch):
    """However many images lie next to each other."""
    monkeypatch.setattr(reading, "_RANGE_BYTES", 10_000)

    assert list(reader.read_many(reader.entries())) == CONTENTS
    assert len(requests) > sum(map(len, CONTENTS)) // 10_000


def test_reading_may_be_given_up(reader, requests, monkeypatch):
    """The rest, beyond what is fetched ahead, is not fetched."""
    monkeypatch.setattr(reading, "_RANGE_BYTES", 1)  # an image a request
    images = reader.read_many(reader.entries())

    assert next(images) == CONTENTS[0]
    images.close()  # waits for what is under way
    assert len(requests) <= reading._AHEAD


def test_no_such_data_set(bucket):
    with pytest.raises(NotFound, match=NAME):
        DatasetReader(bucket, NAME).entries()


def test_a_shard_that_is_gone_or_cut(reader, bucket):
    """The data set is named, and what to do."""
    entry = reader.entries()[150]
    key = f"{NAME}/shards/{entry.shard}"
    bucket.put(key, bucket.get(key)[: entry.offset])
    with pytest.raises(Internal, match="import it again"):
        reader.read(entry)

    bucket.delete(key)
    with pytest.raises(Internal, match="import it again"):
        list(reader.read_many([entry]))
