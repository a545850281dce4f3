"""Several published weights for an architecture, and those of others than torchvision."""

import functools
import hashlib
import http.server
import threading

import pytest
import torch
from torch import nn

from common.architectures import Published, Recipe, Registry
from common.errors import WrongState
from common.settings import ServiceSettings
from common.training import pretrained


def build(class_count):
    """Two layers that weights may be published for, and one that knows the classes."""
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, class_count))


def architecture(*published):
    registry = Registry()
    registry.register(
        "made",
        display_name="Made",
        paper="",
        parameter_count=0,
        recipe=Recipe(epoch_count=1, batch_size=1, image_size_px=32, learning_rate=0.1),
        pretrained_weights=published[0],
        fallbacks=published[1:],
    )(build)
    return registry.get("made")


@pytest.fixture
def settings(storage_settings, tmp_path):
    return ServiceSettings(
        **storage_settings.model_dump(), work_dir=tmp_path / "work", weights_url=""
    )


@pytest.fixture
def site(tmp_path):
    """A publisher's web server, and the folder that it shows."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url, server.folder = f"http://127.0.0.1:{server.server_port}", folder
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def online(settings, site):
    return settings.model_copy(update={"weights_url": site.url})


def save(path, content):
    """Write a file of weights; return its hash."""
    torch.save(content, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(*layers):
    """Weights of some layers, all of them sevens."""
    return {
        name: torch.full_like(tensor, 7.0)
        for name, tensor in build(9).state_dict().items()
        if int(name[0]) in layers
    }


def load(entry, bucket, settings):
    """Return the first number of each layer, None if it is still random, and what was used."""
    network = build(2)
    used = pretrained.load(network, entry, bucket, settings, settings.work_dir / "weights")
    return [bool((layer.weight == 7).all() and (layer.bias == 7).all()) for layer in network], used


def test_a_file_with_a_known_hash_is_fetched_from_its_publisher(bucket, online, site):
    """And kept in the bucket, for a service without internet."""
    digest = save(site.folder / "made.pth", weights(0, 1, 2))
    published = Published(url=f"{site.url}/made.pth", sha256=digest)
    entry = architecture(published)
    assert pretrained.available(entry, bucket, online)

    assert load(entry, bucket, online) == ([True, True, False], published)
    (site.folder / "made.pth").unlink()
    assert load(entry, bucket, online.model_copy(update={"weights_url": ""}))[0][0]


def test_a_file_with_another_hash_is_refused(bucket, online, site):
    """Whoever sent it."""
    save(site.folder / "made.pth", weights(0, 1, 2))
    entry = architecture(Published(url=f"{site.url}/made.pth", sha256="0" * 64))

    with pytest.raises(WrongState, match="is damaged: its SHA-256 is"):
        load(entry, bucket, online)
    assert list(bucket.list("weights/")) == []


def test_a_file_without_a_known_hash_is_not_fetched(bucket, online, site):
    """Nobody could say whether it is the right one."""
    save(site.folder / "made.pth", weights(0, 1, 2))
    entry = architecture(Published(url=f"{site.url}/made.pth"))

    assert not pretrained.available(entry, bucket, online)
    with pytest.raises(WrongState, match="could not be checked, since its publisher gives no hash"):
        load(entry, bucket, online)


def test_an_operator_can_vouch_for_a_file_without_a_known_hash(bucket, settings, tmp_path):
    """By putting its hash beside it in the bucket."""
    digest = save(tmp_path / "made.pth", weights(0, 1, 2))
    bucket.put_file("weights/made.pth", tmp_path / "made.pth")
    entry = architecture(Published(url="https://example.com/made.pth"))

    with pytest.raises(WrongState, match=r"Put its SHA-256 beside it, as made\.pth\.sha256"):
        load(entry, bucket, settings)
    bucket.put("weights/made.pth.sha256", digest.encode())
    assert load(entry, bucket, settings)[0] == [True, True, False]


def test_weights_are_found_inside_of_a_file_and_converted(bucket, settings, tmp_path):
    """Beside what else a publisher kept of its training."""
    inside = {f"theirs.{name}": tensor for name, tensor in weights(0, 1, 2).items()}
    digest = save(tmp_path / "made.pth", {"start_epoch": 300, "model": inside})
    bucket.put_file("weights/made.pth", tmp_path / "made.pth")
    published = Published(
        url="https://example.com/made.pth",
        sha256=digest,
        key="model",
        convert=lambda them: {name.removeprefix("theirs."): v for name, v in them.items()},
    )

    assert load(architecture(published), bucket, settings)[0] == [True, True, False]


def test_a_file_without_the_part_that_is_wanted_is_refused(bucket, settings, tmp_path):
    """It holds other things."""
    digest = save(tmp_path / "made.pth", {"start_epoch": 300})
    bucket.put_file("weights/made.pth", tmp_path / "made.pth")
    entry = architecture(Published(url="x/made.pth", sha256=digest, key="model"))

    with pytest.raises(WrongState, match="holds something else than weights by name"):
        load(entry, bucket, settings)


def test_a_part_is_taken_where_the_whole_cannot_be_had(bucket, settings, tmp_path):
    """The rest keeps its random weights."""
    digest = save(tmp_path / "part.pth", weights(0))
    bucket.put_file("weights/part.pth", tmp_path / "part.pth")
    whole = Published(url="https://example.com/whole.pth", sha256="0" * 64)
    part = Published(url="https://example.com/part.pth", sha256=digest, partial=True)
    entry = architecture(whole, part)

    assert entry.pretrained_weights == "whole.pth"
    assert pretrained.available(entry, bucket, settings)
    assert load(entry, bucket, settings) == ([True, False, False], part)


def test_the_whole_is_preferred(bucket, settings, tmp_path):
    """Where both can be had."""
    published = []
    for name, layers in (("whole", (0, 1, 2)), ("part", (0,))):
        digest = save(tmp_path / f"{name}.pth", weights(*layers))
        bucket.put_file(f"weights/{name}.pth", tmp_path / f"{name}.pth")
        published.append(Published(url=f"x/{name}.pth", sha256=digest, partial=name == "part"))

    assert load(architecture(*published), bucket, settings) == ([True, True, False], published[0])


def test_a_damaged_file_is_not_passed_over(bucket, settings, tmp_path):
    """Whoever put it there should learn of it, and not wonder about a worse model."""
    digest = save(tmp_path / "part.pth", weights(0))
    bucket.put_file("weights/part.pth", tmp_path / "part.pth")
    bucket.put("weights/whole.pth", b"damaged")
    entry = architecture(
        Published(url="x/whole.pth", sha256="0" * 64),
        Published(url="x/part.pth", sha256=digest, partial=True),
    )

    with pytest.raises(WrongState, match=r"weights/whole\.pth is damaged"):
        load(entry, bucket, settings)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({"5.weight": torch.ones(1)}, "5.weight", id="another layer"),
        pytest.param({"0.weight": torch.ones(1)}, "0.weight", id="another shape"),
    ],
)
def test_a_part_of_something_else_is_refused(bucket, settings, tmp_path, content, wrong):
    """Though not all need be there, what is there must fit."""
    digest = save(tmp_path / "part.pth", content)
    bucket.put_file("weights/part.pth", tmp_path / "part.pth")
    entry = architecture(Published(url="x/part.pth", sha256=digest, partial=True))

    with pytest.raises(WrongState, match=f"the file holds other weights: {wrong}"):
        load(entry, bucket, settings)


def test_if_none_can_be_had_all_are_named(bucket, settings):
    """Any of them would do."""
    entry = architecture(
        Published(url="x/whole.pth", sha256="0" * 64), Published(url="x/part.pth", partial=True)
    )

    assert not pretrained.available(entry, bucket, settings)
    with pytest.raises(WrongState) as caught:
        load(entry, bucket, settings)
    assert "no weights/whole.pth, and NOCODE_WEIGHTS_URL is empty" in caught.value.message
    assert "no weights/part.pth" in caught.value.message
