"""Published weights: from a mirror or a server, checked, never run, and only where they belong."""

import hashlib
import http.server
import pickle
import re
import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision

from common.errors import WrongState
from common.reasons import Reason
from common.settings import ServiceSettings
from common.training import pretrained
from services.classification.architectures import classifiers
from services.detection.architectures import detectors

ENTRY = classifiers.get("mobilenet_v3_small")


@pytest.fixture(scope="module")
def published():
    """The file as torchvision publishes it, with other numbers in it."""
    torch.manual_seed(9)
    state = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    # As files from before 2018 are.
    return OrderedDict((k, v) for k, v in state.items() if not k.endswith("num_batches_tracked"))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Save weights under the name that torchvision would give them; return their path."""

    def write_(content, *, save=torch.save):
        path = tmp_path / "published.pth"
        save(content, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        named = path.with_name(f"mobilenet_v3_small-{digest[:8]}.pth")
        path.rename(named)
        monkeypatch.setattr(pretrained, "_file_name", lambda _: named.name)
        return named

    return write_


@pytest.fixture
def settings(storage_settings, tmp_path):
    return ServiceSettings(
        **storage_settings.model_dump(), work_dir=tmp_path / "work", weights_url=""
    )


@pytest.fixture
def site(tmp_path):
    """A web server for the folder that `write` writes to."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(tmp_path), **options)

        def log_message(self, *_):
            asked.append(f"{self.command} {self.path}")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.asked = asked
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def load(bucket, settings, class_count=3):
    torch.manual_seed(0)
    network = ENTRY.build(class_count)
    pretrained.load(network, ENTRY, bucket, settings, settings.work_dir / "weights")
    return network


def refusal(bucket, settings):
    with pytest.raises(WrongState) as caught:
        load(bucket, settings)
    assert caught.value.reason == Reason.PRETRAINED_UNAVAILABLE
    assert not list((settings.work_dir / "weights").glob("*"))
    return caught.value.message


def test_all_but_the_last_layer_comes_from_the_mirror(bucket, settings, published, write):
    """The last one has our classes and its own random weights."""
    path = write(published)
    bucket.put_file(f"weights/{path.name}", path)

    network = load(bucket, settings)

    torch.manual_seed(0)
    fresh = ENTRY.build(3).state_dict()
    for name, tensor in network.state_dict().items():
        last = name.startswith("classifier.3.")
        kept = last or name.endswith("num_batches_tracked")
        assert torch.equal(tensor, fresh[name] if kept else published[name])
    assert network.classifier[3].out_features == 3


def test_the_last_layer_is_ours_even_with_as_many_classes(bucket, settings, published, write):
    """1000 other classes are not ImageNet's."""
    path = write(published)
    bucket.put_file(f"weights/{path.name}", path)

    network = load(bucket, settings, class_count=1000)

    assert not torch.equal(
        network.state_dict()["classifier.3.weight"], published["classifier.3.weight"]
    )
    assert torch.equal(
        network.state_dict()["classifier.0.weight"], published["classifier.0.weight"]
    )


def test_they_are_fetched_once_and_kept(bucket, settings, published, write, site):
    """The second training finds them in the bucket, with all of their hash."""
    path = write(published)
    online = settings.model_copy(update={"weights_url": site.url})
    assert pretrained.available(ENTRY, bucket, online)

    load(bucket, online)
    load(bucket, online)
    path.unlink()
    assert pretrained.available(ENTRY, bucket, settings)
    load(bucket, settings)

    assert site.asked == [f"HEAD /{path.name}", f"GET /{path.name}"]
    digest = bucket.get(f"weights/{path.name}.sha256").decode()
    assert digest == hashlib.sha256(bucket.get(f"weights/{path.name}")).hexdigest()


def test_a_damaged_mirror_is_refused(bucket, settings, published, write):
    """By the hash in its name."""
    path = write(published)
    bucket.put(f"weights/{path.name}", path.read_bytes()[:-1] + b"?")

    assert "is damaged: its SHA-256 is" in refusal(bucket, settings)


def test_a_mirror_is_held_to_its_full_hash(bucket, settings, published, write):
    """Eight digits guard against accidents; whoever wants more says all of them."""
    path = write(published)
    bucket.put_file(f"weights/{path.name}", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    bucket.put(f"weights/{path.name}.sha256", f"{digest}  {path.name}\n".encode())
    load(bucket, settings)

    bucket.put(f"weights/{path.name}.sha256", (digest[:8] + "0" * 56).encode())

    assert "is damaged" in refusal(bucket, settings)


def test_a_damaged_download_is_refused_and_not_kept(bucket, settings, published, write, site):
    """Nobody after us finds it in the bucket."""
    path = write(published)
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    message = refusal(bucket, settings.model_copy(update={"weights_url": site.url}))

    assert "is damaged" in message
    assert list(bucket.list("weights/")) == []


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_malicious_file_is_refused_and_runs_nothing(bucket, settings, write, tmp_path, how):
    """Even one whose hash is right."""
    witness = tmp_path / "run"
    content = {"weight": torch.ones(1), "more": Malicious(witness)}
    if how == "pickle":
        path = write(content, save=lambda what, where: where.write_bytes(pickle.dumps(what)))
    else:
        path = write(content)
    bucket.put_file(f"weights/{path.name}", path)

    assert "is no file of weights alone" in refusal(bucket, settings)
    assert not witness.exists()
    torch.load(path, weights_only=False) if how == "torch.save" else pickle.loads(path.read_bytes())
    assert witness.exists(), "the file was not malicious: this test proves nothing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(["a", "list"], "holds something else than weights by name", id="a list"),
        pytest.param({"epoch": 3}, "holds something else than weights by name", id="a number"),
        pytest.param({"a": torch.ones(1)}, "the file holds other weights", id="other weights"),
    ],
)
def test_other_content_is_refused(bucket, settings, write, content, message):
    """With what is wrong."""
    path = write(content)
    bucket.put_file(f"weights/{path.name}", path)

    assert message in refusal(bucket, settings)


def test_a_layer_of_another_shape_is_refused(bucket, settings, published, write):
    """Published for another version of the architecture."""
    path = write(published | {"features.0.0.weight": torch.ones(16, 3, 5, 5)})
    bucket.put_file(f"weights/{path.name}", path)

    assert "features.0.0.weight differ" in refusal(bucket, settings)


def test_without_mirror_and_internet_it_says_what_to_do(bucket, settings):
    """Which file to put where."""
    assert not pretrained.available(ENTRY, bucket, settings)
    message = refusal(bucket, settings)

    assert "the bucket has no weights/mobilenet_v3_small-047dcff4.pth" in message
    assert "NOCODE_WEIGHTS_URL is empty" in message
    assert "send pretrained: none" in message


@pytest.mark.parametrize("answer", ["refused", "404"])
def test_a_site_that_does_not_have_them(bucket, settings, site, answer):
    """Neither is available, and the message says why."""
    url = site.url if answer == "404" else "http://127.0.0.1:9"
    offline = settings.model_copy(update={"weights_url": url})

    assert not pretrained.available(ENTRY, bucket, offline)
    assert f"{url}/mobilenet_v3_small-047dcff4.pth cannot be fetched" in refusal(bucket, offline)


def test_every_file_of_torchvision_has_a_name_with_a_hash():
    """Else nothing could be checked."""
    for entry in (*classifiers, *detectors):
        for published in entry.published:
            if published.torchvision:
                name = pretrained._file_name(published)
                assert re.fullmatch(r"[\w-]+-[0-9a-f]{8}\.pth", name), name
