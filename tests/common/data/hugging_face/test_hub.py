"""An import by an id of the hub, from a server that speaks what is needed of its protocol."""

import pytest

from common.data.importing import run_import
from common.errors import InvalidInput, NotFound, StorageUnavailable
from common.jobs import cleanup
from services.detection.task import DetectionTask
from tests.common.data.conftest import Importer
from tests.common.data.formats.samples import hugging_face as sample
from tests.common.data.hugging_face import hub_server, tables
from tests.common.data.packing import jpeg


@pytest.fixture
def hub(monkeypatch):
    """A hub, and the address of it set for the client."""
    with hub_server.serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def kept(importer: Importer) -> list[str]:
    return [key for key in importer.left_behind() if "/jobs/" not in key]


@pytest.fixture
def import_id(import_archive: Importer):
    """Import an id; nothing is left behind if it fails."""

    def import_id(path, task=None, **fields):
        fields = {"path": path, **fields}
        if task:
            import_archive.task = task
        before = kept(import_archive)
        try:
            return import_archive(b"", source={"hugging_face": fields})
        except BaseException:
            assert kept(import_archive) == before
            raise

    return import_id


def test_parquet(hub, import_id):
    """Only files that are read are fetched; the data set is that of the files as an archive."""
    files = sample.make("classification")
    extra = {"model.bin": b"x", ".gitattributes": b"x", "README.md": b"# Pets\n"}
    hub.repositories["owner/pets"] = {"main": files | extra}

    imported = import_id("owner/pets")

    assert imported.dataset.format == "hugging_face"
    assert imported.dataset.image_count == 9
    assert list(imported.dataset.classes) == ["leaf", "stem"]
    assert {s.subset: s.image_count for s in imported.dataset.given_splits} == {
        "train": 6,
        "test": 3,
    }
    assert sorted(set(hub.fetched)) == ["README.md", *sorted(files)]
    read = [imported.reader.read(entry) for entry in imported.entries]
    assert read == [jpeg(n) for n in (6, 7, 8, 0, 1, 2, 3, 4, 5)]


def test_columns_are_told(hub, import_id):
    """What the request says is used."""
    hub.repositories["pets"] = {"main": sample.make("detection")}

    imported = import_id("pets", DetectionTask(), box_format="xyxy", train_split="test")

    assert "BOX_FORMAT_FOUND" not in imported.findings
    assert "BOXES_WITHOUT_AREA" in imported.findings
    assert {entry.split for entry in imported.entries} == {None}
    with pytest.raises(InvalidInput, match=r"image_column is 'photo', .* image"):
        import_id("pets", image_column="photo")


def test_images(hub, import_id):
    """A data set of images is read as whichever format it is in."""
    files = {f"train/{name}/{n}.jpg": jpeg(n) for n, name in enumerate(["a", "b", "a", "b"])}
    hub.repositories["o/x"] = {"main": files | {"more.zip": b"x", "code.py": b"x"}}

    imported = import_id("o/x")

    assert imported.dataset.format == "image_folder"
    assert imported.labels == {path: path.split("/")[1] for path in files}
    assert imported.findings["NESTED_ARCHIVES"] == ["more.zip"]
    assert "code.py" not in hub.fetched


def test_converted(hub, import_id):
    """Of packed archives, what the hub made of them is fetched, of the right configuration."""
    rows = {"image": tables.images(2), "label": ["a", "b"]}
    converted = {
        "default/train/0000.parquet": tables.parquet(rows),
        "other/train/0000.parquet": tables.parquet(rows),
    }
    hub.repositories["o/x"] = {"main": {"data.zip": b"x"}, "refs/convert/parquet": converted}

    imported = import_id("o/x")

    assert hub.fetched == ["default/train/0000.parquet"]
    assert imported.dataset.image_count == 2
    del hub.repositories["o/x"]["refs/convert/parquet"]
    with pytest.raises(InvalidInput, match=r"neither images nor parquet files \(\.zip\)"):
        import_id("o/x")


def test_configuration(hub, import_id):
    """Only its files are fetched."""
    rows = {"image": tables.images(2), "label": ["a", "b"]}
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*\n" for name in "sl")
    card = f"---\nconfigs:\n{configs}---\n".encode()
    files = {f"{name}/train.parquet": tables.parquet(rows) for name in "sl"}
    hub.repositories["o/x"] = {"main": files | {"README.md": card}}

    import_id("o/x", config="s")

    assert "l/train.parquet" not in hub.fetched
    with pytest.raises(InvalidInput, match=r"several configurations \(s, l\)"):
        import_id("o/x")


def test_what_is_not_there(hub, import_id):
    """The message says whether it is the data set, the revision, or the right to see it."""
    hub.repositories["o/x"] = {"main": sample.make("classification")}
    hub.gated.add("o/secret")

    with pytest.raises(NotFound, match=rf"o/y at {hub.endpoint} is not there") as caught:
        import_id("o/y")
    assert caught.value.field == "source.hugging_face.path"
    with pytest.raises(NotFound, match="has no revision v2") as caught:
        import_id("o/x", revision="v2")
    assert caught.value.field == "source.hugging_face.revision"
    with pytest.raises(NotFound, match="only to those who agreed to its terms"):
        import_id("o/secret")


def test_hub_out_of_order(hub, import_id):
    """It may answer later."""
    hub.repositories["o/x"] = {"main": sample.make("classification")}
    hub.broken = True

    with pytest.raises(StorageUnavailable, match=rf"o/x at {hub.endpoint} could not be fetched"):
        import_id("o/x")


def test_no_way_to_the_hub(import_id, monkeypatch):
    """As on a machine without the internet."""
    with hub_server.serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    with pytest.raises(StorageUnavailable, match="if this server has no way to the hub") as caught:
        import_id("o/x")

    assert caught.value.reason == "HUB_UNAVAILABLE"


def test_too_large(hub, import_archive):
    """Nothing is fetched."""
    hub.repositories["o/x"] = {"main": sample.make("classification")}
    importer = import_archive.with_settings(max_archive_bytes=1000)
    context = importer.queue(b"", source={"hugging_face": {"path": "o/x"}})

    with pytest.raises(InvalidInput, match="bytes or more to fetch; at most 1000 are allowed"):
        run_import(context)

    cleanup.discard(importer.bucket, context.job)
    assert hub.fetched == []


def test_paths_that_lead_elsewhere(hub, import_id):
    """They are no files of the data set."""
    files = sample.make("classification")
    hub.repositories["o/x"] = {"main": files | {"../out.parquet": b"x", "a/./b.parquet": b"x"}}

    import_id("o/x")

    assert sorted(hub.fetched) == sorted(files)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"path": ""}, "path"),
        ({"path": "a/b/c"}, "path"),
        ({"path": "../b"}, "path"),
        ({"path": "https://huggingface.co/datasets/a/b"}, "path"),
        ({"path": "a/b", "revision": "x y"}, "revision"),
        ({"path": "a/b", "box_format": "yolo"}, "box_format"),
    ],
)
def test_refused_at_once(fields, field, import_archive):
    """Before a job is made."""
    with pytest.raises(InvalidInput) as caught:
        import_archive.queue(b"", source={"hugging_face": fields})

    assert caught.value.field == f"source.hugging_face.{field}"


def test_no_checksum(import_archive):
    """There is no archive that it could be of."""
    with pytest.raises(InvalidInput, match=r"send a commit as source\.hugging_face\.revision"):
        import_archive.queue(b"", source={"hugging_face": {"path": "a/b"}, "sha256": "0" * 64})
