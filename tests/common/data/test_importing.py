"""From an archive to a data set, on a real S3 server."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from common.data import examining, importing, shards
from common.jobs.context import Cancelled, JobContext
from services.detection.task import DetectionTask
from tests.common.data.packing import folders, jpeg, pack_tar, pack_zip
from tests.common.data.pictures import encode, picture

FILES = folders(cats=4, dogs=3)


# What an import makes.


@pytest.mark.parametrize(
    "archive", [pack_zip(FILES), pack_tar(FILES), pack_tar(FILES, "w:gz")], ids=["zip", "tar", "gz"]
)
def test_data_set(archive, import_archive):
    """The resource says what is in it."""
    imported = import_archive(archive, dataset_id="pets", display_name="Our pets")

    dataset = imported.dataset
    assert dataset.name == "tasks/classification/datasets/pets"
    assert dataset.display_name == "Our pets"
    assert dataset.format == "image_folder"
    assert dataset.image_count == 7
    assert list(dataset.classes) == ["cats", "dogs"]
    assert [(c.class_name, c.image_count, c.object_count) for c in dataset.class_counts] == [
        ("cats", 4, 4),
        ("dogs", 3, 3),
    ]
    assert not dataset.given_splits
    assert not dataset.findings
    assert dataset.size_bytes == sum(map(len, FILES.values()))
    assert dataset.skipped_count == 0
    assert dataset.job.startswith("tasks/classification/jobs/")
    assert dataset.create_time.seconds > 0


def test_images_are_kept_as_they_are(import_archive):
    """Every byte, in the order of their paths, with what is known of them."""
    imported = import_archive(pack_zip(dict(reversed(FILES.items()))))

    assert [entry.file for entry in imported.entries] == sorted(FILES)
    for entry in imported.entries:
        assert imported.reader.read(entry) == FILES[entry.file]
        assert entry.sha256 == hashlib.sha256(FILES[entry.file]).hexdigest()
        assert (entry.width, entry.height) == (64, 48)
        assert entry.split is None
        assert entry.duplicate_group is None


def test_shards_are_plain_tars(import_archive, monkeypatch):
    """Of limited size; any program can open them."""
    defaults = {"stem": "", "max_bytes": 6_000}
    monkeypatch.setattr(shards.ShardWriter.__init__, "__kwdefaults__", defaults)
    imported = import_archive(pack_zip(FILES))
    prefix = f"{imported.dataset.name}/shards/"
    keys = [stat.key for stat in import_archive.bucket.list(prefix)]

    contents = []
    for key in keys:
        data = import_archive.bucket.get(key)
        assert len(data) <= 6_000
        with tarfile.open(fileobj=io.BytesIO(data)) as shard:
            contents += [shard.extractfile(member).read() for member in shard]

    assert len(keys) > 2
    assert contents == [FILES[file] for file in sorted(FILES)]
    assert list(imported.reader.read_many(imported.entries)) == contents


def test_given_splits_are_kept(import_archive):
    files = {f"train/{name}": content for name, content in folders(a=3, b=3).items()}
    files |= {"test/a/x.jpg": jpeg(100), "test/b/y.jpg": jpeg(101)}

    imported = import_archive(pack_zip(files))

    assert imported.splits == {file: file.split("/")[0] for file in files}
    assert [(s.subset, s.image_count) for s in imported.dataset.given_splits] == [
        ("train", 6),
        ("test", 2),
    ]


def test_table(import_archive):
    """With its further columns."""
    files = {f"images/{i}.jpg": jpeg(i) for i in range(6)}
    table = "image,class,patient\n" + "".join(f"{i}.jpg,{'ab'[i % 2]},p{i}\n" for i in range(6))

    imported = import_archive(pack_zip(files | {"labels.csv": table.encode()}))

    assert imported.dataset.format == "csv"
    assert imported.labels == {f"images/{i}.jpg": "ab"[i % 2] for i in range(6)}
    assert [entry.columns for entry in imported.entries] == [{"patient": f"p{i}"} for i in range(6)]


def test_a_file_that_is_listed_often_is_decoded_and_stored_once(import_archive, monkeypatch):
    """A small table does not make a large data set."""
    files = {f"{i}.jpg": jpeg(i) for i in range(3)} | {"x.jpg": b"?"}
    table = "file,label,split\n" + "".join(
        f"{file},{label},{split}\n"
        for file in files
        for label in "ab"
        for split in ("train", "test")
    )
    decoded = []
    examine = examining._Examiner.examine

    def record(self, path):
        decoded.append(path)
        return examine(self, path)

    monkeypatch.setattr(examining._Examiner, "examine", record)
    imported = import_archive(pack_zip(files | {"labels.csv": table.encode()}))

    listed = [file for file in sorted(files) for _ in range(4)]
    assert sorted(decoded) == sorted(files)
    assert [entry.file for entry in imported.entries] == listed[:12]
    assert list(imported.reader.read_many(imported.entries)) == [files[f] for f in listed[:12]]
    assert {(e.annotation["label"], e.split) for e in imported.entries[:4]} == {
        (label, split) for label in (0, 1) for split in ("train", "test")
    }
    assert len({(entry.shard, entry.offset) for entry in imported.entries}) == 3
    (shard,) = import_archive.bucket.list(f"{imported.dataset.name}/shards/")
    assert shard.size < 3 * (512 + 512 + len(files["0.jpg"])) + 1024 + 512
    assert imported.dataset.skipped_count == 4


def test_digest_depends_on_the_content_alone(import_archive):
    """Not on the archive's kind, order, folders around, or the files' names and job."""
    digests = {
        import_archive(archive).dataset.content_digest
        for archive in (
            pack_zip(FILES),
            pack_tar(dict(reversed(FILES.items())), "w:gz"),
            pack_zip({f"some/where/{name}": content for name, content in FILES.items()}),
            pack_zip(FILES | {"README.txt": b"hello"}),
        )
    }
    relabeled = {name.replace("cats", "cows"): content for name, content in FILES.items()}
    with_split = {f"{part}/{name}": c for name, c in FILES.items() for part in ("train", "test")}
    others = [relabeled, FILES | {"cats/9.jpg": jpeg(9)}, with_split]

    assert len(digests) == 1
    assert len(digests | {import_archive(pack_zip(o)).dataset.content_digest for o in others}) == 4


def test_progress(import_archive, monkeypatch):
    """Phases in their order, steps up to all."""
    context = import_archive.queue(pack_zip(FILES))
    seen = []
    progress = context.progress

    def record(**values):
        progress(**values)
        now = context.job.progress
        seen.append((now.phase, now.step, now.step_count))

    monkeypatch.setattr(context, "progress", record)
    importing.run_import(context)

    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == [
        "Fetching the archive",
        "Unpacking the archive",
        "Reading labels",
        "Reading images",
        "Looking for duplicates",
        "Writing the data set",
    ]
    assert ("Reading images", 7, 7) in seen


@pytest.mark.parametrize("phase", ["Fetching", "Unpacking", "Reading", "Looking", "Writing"])
def test_cancel_leaves_nothing(phase, import_archive, monkeypatch):
    """Whatever it is doing just then."""
    progress = JobContext.progress

    def stop(context, **values):
        if values.get("phase", "").startswith(phase):
            context.request_stop()
        progress(context, **values)

    monkeypatch.setattr(JobContext, "progress", stop)
    with pytest.raises(Cancelled):
        import_archive(pack_zip(FILES))

    assert import_archive.left_behind() == []


def test_copies_share_a_group(import_archive):
    """Exact and near; numbered by their first images."""
    files = FILES | {
        "cats/copy.jpg": jpeg(1),
        "dogs/png.png": encode(picture(seed=5), "PNG"),
        "dogs/small.png": encode(
            np.asarray(Image.fromarray(picture(seed=5)).resize((32, 24))), "PNG"
        ),
    }

    groups = {e.file: e.duplicate_group for e in import_archive(pack_zip(files)).entries}

    assert {file: group for file, group in groups.items() if group is not None} == {
        "cats/0001.jpg": 0,
        "cats/copy.jpg": 0,
        "dogs/0005.jpg": 1,
        "dogs/png.png": 1,
        "dogs/small.png": 1,
    }


def test_unused_classes_leave_no_gap(import_archive):
    """Labels are numbered anew when a class falls away."""
    files = {"a/1.jpg": b"?"} | folders(b=3, c=3)

    imported = import_archive(pack_zip(files))

    assert list(imported.dataset.classes) == ["b", "c"]
    assert {e.annotation["label"] for e in imported.entries} == {0, 1}
    assert imported.dataset.skipped_count == 1


# What is derived is said.


@pytest.mark.parametrize(
    ("line", "derivation"),
    [
        ("0 0.5 0.5 0.2 0.2\n", ""),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5\n", "Boxes are drawn around outlines of objects."),
    ],
    ids=["boxes", "outlines"],
)
def test_derivation(line, derivation, import_archive):
    """Of boxes that no file says; of those that one says there is nothing to say."""
    import_archive.task = DetectionTask()
    files = {"1.jpg": jpeg(1), "1.txt": line.encode(), "data.yaml": b"names: [a]\n"}
    first = import_archive(pack_zip(files)).dataset
    segmentation = [] if not derivation else [[1, 1, 20, 1, 20, 20]]
    one = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    one |= {} if derivation else {"bbox": [1, 1, 19, 19]}
    document = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [one],
        "categories": [{"id": 1, "name": "a"}],
    }
    files = {"1.jpg": jpeg(1), "a.json": json.dumps(document).encode()}
    second = import_archive(pack_zip(files)).dataset

    assert (first.format, first.derivation) == ("yolo", derivation)
    assert (second.format, second.derivation) == ("coco", derivation)


def test_the_format_is_explained_unless_it_was_named(import_archive):
    detected = import_archive(pack_zip(FILES)).dataset
    named = import_archive(pack_zip(FILES), format="image_folder").dataset

    assert detected.format_reason == "its images lie in folders such as cats, dogs"
    assert named.format_reason == ""
