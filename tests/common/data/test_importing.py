"""From an archive to a data set, on a real S3 server."""

import errno
import hashlib
import io
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import findings, importing, shards
from common.errors import DomainError
from common.jobs.context import Cancelled, JobContext
from common.jobs.store import Jobs
from common.reasons import Reason
from nocode.vision.v1 import finding_pb2
from tests.common.data.packing import folders, jpeg, pack_tar, pack_zip
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg

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
    monkeypatch.setattr(shards.ShardWriter.__init__, "__kwdefaults__", {"max_bytes": 6_000})
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


# What is found.


def damaged(content: bytes) -> bytes:
    """A PNG whose pixels are garbled."""
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes(x ^ 0x5A for x in content[middle : middle + 40])
        + content[middle + 40 :]
    )


SIXTEEN_BITS = encode_image(
    Image.fromarray(picture(seed=70)[..., 0].astype(np.uint16) * 257), "PNG"
)
PLAIN = encode(picture(seed=99))

FINDINGS = [
    # id, severity, files added, examples
    ("IMAGE_EMPTY_FILE", "ERROR", {"cats/x.jpg": b""}, ["cats/x.jpg"]),
    ("IMAGE_NOT_AN_IMAGE", "ERROR", {"cats/x.jpg": b"<html>404</html>"}, ["cats/x.jpg"]),
    ("IMAGE_NOT_AN_IMAGE", "ERROR", {"cats/notes.txt": b"hello"}, ["cats/notes.txt"]),
    ("IMAGE_TRUNCATED", "ERROR", {"cats/x.jpg": PLAIN[: len(PLAIN) // 2]}, ["cats/x.jpg"]),
    (
        "IMAGE_UNDECODABLE",
        "ERROR",
        {"cats/x.png": damaged(encode(picture(seed=98), "PNG"))},
        ["cats/x.png"],
    ),
    ("IMAGE_TOO_LARGE", "ERROR", {"cats/x.png": encode(picture(90, 60), "PNG")}, ["cats/x.png"]),
    ("IMAGES_WITHOUT_LABEL", "ERROR", {"x.jpg": PLAIN}, ["x.jpg"]),
    ("CLASSES_WITHOUT_IMAGES", "ERROR", {"cows/1.jpg": b"", "cows/2.jpg": b"?"}, ["cows"]),
    ("CONFLICTING_LABELS", "WARNING", {"dogs/x.jpg": jpeg(0)}, ["cats/0000.jpg", "dogs/x.jpg"]),
    (
        "CONFLICTING_LABELS_NEAR",
        "WARNING",
        {"dogs/x.jpg": jpeg(0, quality=40)},
        ["cats/0000.jpg", "dogs/x.jpg"],
    ),
    ("EXACT_DUPLICATES", "WARNING", {"cats/x.jpg": jpeg(0)}, ["cats/x.jpg"]),
    ("NEAR_DUPLICATES", "WARNING", {"cats/x.jpg": jpeg(0, quality=40)}, ["cats/x.jpg"]),
    ("CLASS_TOO_SMALL", "WARNING", {"cows/1.jpg": jpeg(50), "cows/2.jpg": jpeg(51)}, ["cows"]),
    (
        "CLASS_IMBALANCE",
        "WARNING",
        {f"cats/x{i}.jpg": jpeg(100 + i) for i in range(26)},
        ["cats: 30", "dogs: 3"],
    ),
    (
        "CLASS_NAMES_ALIKE",
        "WARNING",
        {f"Cats /{i}.jpg": jpeg(50 + i) for i in range(3)},
        ["Cats ", "cats"],
    ),
    ("NESTED_ARCHIVES", "WARNING", {"more.zip": b"PK"}, ["more.zip"]),
    ("EMPTY_FOLDERS", "WARNING", {"cows/": b""}, ["cows"]),
    (
        "EXIF_ROTATED",
        "INFO",
        {"cats/x.jpg": rotated_jpeg(picture(48, 64, seed=50), 6)},
        ["cats/x.jpg"],
    ),
    ("GREY_IMAGES", "INFO", {"cats/x.jpg": encode(picture(seed=50)[..., 0])}, ["cats/x.jpg"]),
    (
        "ALPHA_IMAGES",
        "INFO",
        {"cats/x.png": encode_image(Image.fromarray(picture(seed=50)).convert("RGBA"), "PNG")},
        ["cats/x.png"],
    ),
    ("DEEP_IMAGES", "INFO", {"cats/x.png": SIXTEEN_BITS}, ["cats/x.png"]),
    (
        "CMYK_IMAGES",
        "INFO",
        {"cats/x.jpg": encode_image(Image.fromarray(picture(seed=50)).convert("CMYK"), "JPEG")},
        ["cats/x.jpg"],
    ),
    (
        "MIXED_SIZES",
        "INFO",
        {"cats/x.jpg": encode(picture(50, 40, seed=50))},
        ["64 × 48: 7", "50 × 40: 1"],
    ),
]


@pytest.mark.parametrize(
    ("finding", "severity", "added", "examples"), FINDINGS, ids=[case[0] for case in FINDINGS]
)
def test_finding(finding, severity, added, examples, import_archive):
    """Each is found, and what it is about is named."""
    imported = import_archive.with_settings(max_image_pixels=5000)(pack_zip(FILES | added))

    (found,) = [f for f in imported.dataset.findings if f.id == finding]
    assert found.severity == getattr(finding_pb2.Finding, f"SEVERITY_{severity}")
    assert list(found.examples) == examples
    assert found.message.endswith(".")
    assert "{" not in found.message
    if severity == "ERROR":
        left_out = {file for file in added if not file.endswith("/")}
        assert not left_out & set(imported.labels)


def test_findings_of_tables(import_archive):
    """Those that only a table can have."""
    files = {f"{i}.jpg": jpeg(i) for i in range(8)}
    rows = "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(6))
    table = f"file,label\n{rows}0.jpg,a\n6.jpg,\nx.jpg,a\n"

    imported = import_archive(
        pack_zip(files | {"labels.csv": table.encode(), "other.csv": b"a,b,c\n"})
    )

    assert imported.findings == {
        "IMAGES_NOT_LISTED": ["6.jpg", "7.jpg"],
        "LISTED_FILES_MISSING": ["labels.csv, row 10: x.jpg"],
        "ROWS_WITHOUT_LABEL": ["labels.csv, row 9: 6.jpg"],
        "ROWS_REPEATED": ["labels.csv, row 8: 0.jpg"],
        "TABLES_IGNORED": ["other.csv"],
    }


def test_findings_of_given_splits(import_archive):
    """A copy on the other side, and a class that cannot be learned."""
    files = {f"train/{name}": content for name, content in folders(a=3, b=3).items()}
    files |= {f"test/{name}/{i}.jpg": jpeg(50 + i) for i, name in enumerate("abc")}
    files["test/a/copy.jpg"] = encode(picture(seed=0), quality=40)

    findings = import_archive(pack_zip(files)).findings

    assert findings["DUPLICATES_ACROSS_SPLITS"] == ["test/a/copy.jpg"]
    assert findings["CLASS_NOT_IN_TRAIN"] == ["c"]


def test_every_finding_is_provoked():
    """What an import can find is found in a test above; other ids are those of splits and jobs."""
    folder = Path(importing.__file__).parent
    sources = [
        path.read_text()
        for pattern in ("archive*.py", "checks.py", "images.py", "importing.py", "formats/*.py")
        for path in folder.glob(pattern)
    ]
    named = {name for text in sources for name in re.findall('"([A-Z_]{8,})"', text)}
    provoked = {case[0] for case in FINDINGS}
    provoked |= {"IMAGES_NOT_LISTED", "LISTED_FILES_MISSING", "ROWS_WITHOUT_LABEL"}
    provoked |= {"ROWS_REPEATED", "TABLES_IGNORED"}
    provoked |= {"DUPLICATES_ACROSS_SPLITS", "CLASS_NOT_IN_TRAIN"}

    assert provoked == named & set(findings.FINDINGS)


def test_findings_are_short_and_most_severe_first(import_archive):
    """However many files are concerned; the count is right all the same."""
    files = FILES | {f"cats/x{i:03}.jpg": b"?" for i in range(50)} | {"dogs/x.jpg": jpeg(4)}

    found = import_archive(pack_zip(files)).dataset.findings

    assert [f.id for f in found] == ["IMAGE_NOT_AN_IMAGE", "EXACT_DUPLICATES"]
    assert found[0].count == 50
    assert list(found[0].examples) == [f"cats/x{i:03}.jpg" for i in range(20)]


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


# What is refused.


REFUSALS = [
    ("NO_USABLE_IMAGE", pack_zip({"a/1.jpg": b"?", "b/2.jpg": b""}), {}),
    ("TOO_FEW_CLASSES", pack_zip(folders(cats=3)), {}),
    ("TOO_FEW_CLASSES", pack_zip(folders(cats=3) | {"dogs/1.jpg": b"?"}), {}),
    ("FORMAT_UNKNOWN", pack_zip({"1.jpg": jpeg(0)}), {}),
    ("FORMAT_UNKNOWN", pack_zip({}), {}),
    (
        "FORMAT_AMBIGUOUS",
        pack_zip(FILES | {"labels.csv": b"file,label\ncats/0000.jpg,x\n"}),
        {},
    ),
    ("DATASET_INVALID", pack_zip(FILES), {"format": "csv"}),
    ("ARCHIVE_UNSAFE_PATH", pack_zip(FILES | {"../x.jpg": jpeg(0)}), {}),
    ("ARCHIVE_CORRUPT", pack_zip(FILES)[:-30], {}),
    ("ARCHIVE_KIND_UNKNOWN", b"Rar!" + bytes(600), {}),
    ("ARCHIVE_BOMB", pack_zip(FILES | {f"{i}": b"" for i in range(20)}), {}),
]


@pytest.mark.parametrize(("reason", "archive", "request_"), REFUSALS, ids=[r[0] for r in REFUSALS])
def test_refusal_leaves_nothing(reason, archive, request_, import_archive):
    """Neither in the bucket nor, but for the job's own folder, on disk."""
    importer = import_archive.with_settings(max_archive_members=20)

    with pytest.raises(DomainError) as caught:
        importer(archive, **request_)

    assert caught.value.reason == Reason[reason]
    assert caught.value.message.endswith(".")
    assert importer.left_behind() == []
    assert {path.name for path in importer.settings.work_dir.iterdir()} <= {"jobs"}


def test_refusal_says_what_is_wrong_with_the_images(import_archive):
    with pytest.raises(DomainError, match=r"IMAGE_NOT_AN_IMAGE 2 times, e\.g\. a/1\.jpg"):
        import_archive(pack_zip({"a/1.jpg": b"?", "b/2.jpg": b"?"}))


def test_findings_of_a_refused_import_are_on_the_job(import_archive):
    """They may well say why."""
    context = import_archive.queue(pack_zip({"a/1.jpg": jpeg(0), "b/2.jpg": b"?"}))

    with pytest.raises(DomainError):
        importing.run_import(context)

    assert [finding.id for finding in context.job.findings] == [
        "IMAGE_NOT_AN_IMAGE",
        "CLASSES_WITHOUT_IMAGES",
    ]


def test_archive_replaced_before_the_import_runs(import_archive):
    """What was announced is what is imported, or nothing."""
    archive = pack_zip(FILES)
    context = import_archive.queue(
        archive,
        source={
            "uri": import_archive.bucket.uri("archives/a"),
            "sha256": hashlib.sha256(archive).hexdigest(),
        },
    )
    import_archive.bucket.put("archives/a", pack_zip(folders(a=3, b=3)))

    with pytest.raises(DomainError) as caught:
        importing.run_import(context)

    assert caught.value.reason == Reason.CHECKSUM_MISMATCH


def test_archive_gone_or_grown_before_the_import_runs(import_archive):
    context = import_archive.queue(pack_zip(FILES))
    small = JobContext(
        context.job,
        task=context.task,
        bucket=context.bucket,
        settings=context.settings.model_copy(update={"max_archive_bytes": 100}),
    )

    with pytest.raises(DomainError) as caught:
        importing.run_import(small)
    assert caught.value.reason == Reason.ARCHIVE_TOO_LARGE

    import_archive.bucket.delete("archives/a")
    with pytest.raises(DomainError) as caught:
        importing.run_import(context)
    assert caught.value.reason == Reason.OBJECT_NOT_FOUND


def test_a_place_that_another_job_has_taken(import_archive):
    """Nothing is written there."""
    context = import_archive.queue(pack_zip(FILES), dataset_id="pets")
    key = "tasks/classification/datasets/pets/reserved"
    import_archive.bucket.put(key, b"tasks/classification/jobs/other")

    with pytest.raises(DomainError) as caught:
        importing.run_import(context)

    assert caught.value.reason == Reason.RESOURCE_EXISTS
    assert [k for k in import_archive.left_behind() if "/pets/" in k] == [key]


def test_full_disk(import_archive, monkeypatch):
    """Said in words; the disk is the operator's."""

    def fail(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fail)

    with pytest.raises(DomainError, match="NOCODE_WORK_DIR") as caught:
        import_archive(pack_zip(FILES))

    assert caught.value.reason == Reason.DISK_FULL
    assert import_archive.left_behind() == []


# Uploads.


def upload(importer, archive: bytes) -> str:
    key = f"uploads/{hashlib.sha256(archive).hexdigest()}"
    importer.bucket.put(key, archive)
    return key


def test_upload_is_deleted_once_imported(import_archive):
    key = upload(import_archive, pack_zip(FILES))

    import_archive(b"", source={"upload": key})

    assert import_archive.bucket.stat(key) is None


def test_upload_is_kept_if_the_import_fails(import_archive):
    """So that another format can be tried."""
    key = upload(import_archive, pack_zip(FILES))

    with pytest.raises(DomainError):
        import_archive(b"", source={"upload": key}, format="csv")

    assert import_archive.bucket.stat(key) is not None


def test_upload_is_kept_for_other_imports(import_archive):
    """The last one that needs it deletes it."""
    key = upload(import_archive, pack_zip(FILES))
    first = import_archive.queue(b"", source={"upload": key})
    second = import_archive.queue(b"", source={"upload": key})

    importing.run_import(first)
    Jobs(import_archive.bucket, queue_size=1).forget(first.job)
    assert import_archive.bucket.stat(key) is not None

    importing.run_import(second)
    assert import_archive.bucket.stat(key) is None
