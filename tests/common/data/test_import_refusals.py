"""Imports that end without a data set, and what becomes of the upload, on a real S3 server."""

import errno
import hashlib
import shutil

import pytest

from common.data import importing
from common.errors import DomainError
from common.jobs.context import JobContext
from common.jobs.store import Jobs
from common.reasons import Reason
from tests.common.data.packing import folders, jpeg, pack_zip

FILES = folders(cats=4, dogs=3)


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
    (
        "DATASET_INVALID",
        pack_zip(
            {"1.jpg": jpeg(0), "t.csv": b"file,label\n" + b"1.jpg,x%d\n" * 21 % (*range(21),)}
        ),
        {},
    ),
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
