"""Published weights as a place to start from.

They are looked for in the bucket, as `weights/{file}`, and else fetched from where torchvision
publishes them and kept there, so that a cluster without internet needs them mirrored once, and
one with internet fetches them once.

torchvision's own loader unpickles whatever it is given, which may run code. Here a file is checked
before it is opened, and then only tensors are taken from it. The check: torchvision's file names
end in the first 8 digits of the file's SHA-256, of other publishers' files we know all 64, and
beside a file in the bucket `{file}.sha256` may lie with all of them, as it does beside those that
we put there. A mirror is as trustworthy as those who may write to the bucket; the worst that a bad
one can do is to give a bad model.

An architecture may have several: a whole detector, say, and else only its classifier's layers.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import torch
import torchvision

from common.errors import WrongState
from common.reasons import Reason
from common.storage.bucket import KeyMissing
from common.training.checkpoints import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from common.architectures import Architecture, Published
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket

# For each of the server's addresses to answer.
_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1024**2
# The largest published file that we know has 0.6 GB.
_MAX_BYTES = 2 * 1024**3
# Whether a normalization has seen a batch; files from before 2018 lack it, and nothing needs it.
_COUNTER = "num_batches_tracked"


def available(entry: Architecture, bucket: Bucket, settings: ServiceSettings) -> bool:
    """Whether published weights can be had; if the bucket has none, asks their publisher."""
    return any(_available(published, bucket, settings) for published in entry.published)


def _available(published: Published, bucket: Bucket, settings: ServiceSettings) -> bool:
    if bucket.stat(f"weights/{_file_name(published)}") is not None:
        return True
    url = _url(published, settings)
    if not url:
        return False
    try:
        with _open(url, "HEAD"):
            return True
    except (OSError, http.client.HTTPException):
        return False


def load(
    model: nn.Module,
    entry: Architecture,
    bucket: Bucket,
    settings: ServiceSettings,
    scratch: Path,
) -> Published:
    """Put published weights into a network, except into what depends on the classes.

    The best that can be had are taken. A file that is not what it should be is not passed over,
    so that whoever put it there learns of it.

    Returns:
        Which they were.

    Raises:
        WrongState: None can be had, or they are not what they should be. The network is unchanged.
    """
    missing = []
    for published in entry.published:
        path = scratch / _file_name(published)
        try:
            why = _get(entry, published, bucket, settings, path)
            if not why:
                _fill(model, _read(entry, published, path), entry, partial=published.partial)
                return published
            missing.append(why)
        finally:
            path.unlink(missing_ok=True)
    raise _unavailable(entry, "; ".join(missing) or "none are published for it")


def _get(
    entry: Architecture,
    published: Published,
    bucket: Bucket,
    settings: ServiceSettings,
    path: Path,
) -> str:
    """Put the checked file at `path`; if it cannot be had, return why."""
    key = f"weights/{path.name}"
    try:
        bucket.get_file(key, path)
    except KeyMissing:
        url = _url(published, settings)
        why = _download(entry, url, path) if url else _why_not_fetched(settings)
        if why:
            return f"the bucket has no {key}, and {why}"
        _check_hash(entry, published, path, url, None)
        bucket.put_file(key, path)
        bucket.put(f"{key}.sha256", sha256_of(path).encode())
        return ""
    try:
        full_hash = bucket.get(f"{key}.sha256").decode(errors="replace").split()[:1]
    except KeyMissing:
        full_hash = []
    _check_hash(entry, published, path, bucket.uri(key), full_hash[0] if full_hash else None)
    return ""


def _why_not_fetched(settings: ServiceSettings) -> str:
    if not settings.weights_url:
        return "NOCODE_WEIGHTS_URL is empty"
    return "what is fetched could not be checked, since its publisher gives no hash"


def _check_hash(
    entry: Architecture, published: Published, path: Path, source: str, full_hash: str | None
) -> None:
    match = re.search(r"-([0-9a-f]{8,})\.", path.name) if published.torchvision else None
    wanted = [match.group(1) if match else None, published.sha256, full_hash]
    if not any(wanted):
        raise _unavailable(
            entry,
            f"{source} cannot be checked: its name has no hash. Put its SHA-256 beside it, as "
            f"{path.name}.sha256",
        )
    found = sha256_of(path)
    for start in wanted:
        if start and not found.startswith(start.lower()):
            raise _unavailable(
                entry, f"{source} is damaged: its SHA-256 is {found}, not {start}… Delete it there"
            )


def _download(entry: Architecture, url: str, path: Path) -> str:
    """Fetch a file; if it cannot be had, return why."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size_bytes = 0
    try:
        with _open(url, "GET") as response, path.open("wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                size_bytes += len(chunk)
                if size_bytes > _MAX_BYTES:
                    raise _unavailable(entry, f"{url} is larger than {_MAX_BYTES} bytes")
                file.write(chunk)
    except (OSError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"{url} cannot be fetched ({cause})"
    return ""


def _read(entry: Architecture, published: Published, path: Path) -> dict[str, Tensor]:
    """Read tensors, and nothing that would have to be run to be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise a dozen kinds of error
        raise _unavailable(entry, f"{path.name} is no file of weights alone") from error
    tensors = content.get(published.key) if published.key and isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not all(
        isinstance(value, torch.Tensor) for value in tensors.values()
    ):
        raise _unavailable(entry, f"{path.name} holds something else than weights by name")
    return published.convert(tensors) if published.convert else tensors


def _fill(
    model: nn.Module, published: dict[str, Tensor], entry: Architecture, *, partial: bool
) -> None:
    head = class_dependent(entry)
    own = {name: tensor for name, tensor in model.state_dict().items() if name not in head}
    wrong = [
        name
        for name, tensor in own.items()
        if not name.endswith(_COUNTER)
        and not (partial and name not in published)
        and (name not in published or published[name].shape != tensor.shape)
    ]
    wrong += [name for name in published if name not in own and name not in head]
    if wrong or not published:
        raise _unavailable(entry, f"the file holds other weights: {', '.join(wrong[:3])} differ")
    taken = {name: tensor for name, tensor in published.items() if name in own}
    model.load_state_dict(taken, strict=False)


def class_dependent(entry: Architecture) -> set[str]:
    """Return the names of the weights whose shape depends on the number of classes."""
    with torch.device("meta"):
        two, three = (entry.build(count).state_dict() for count in (2, 3))
    return {name for name, tensor in two.items() if tensor.shape != three[name].shape}


def _open(url: str, method: str) -> Any:
    # The address is the operator's own; urllib, since it knows of proxies.
    request = urllib.request.Request(url, method=method)  # noqa: S310
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310


def _file_name(published: Published) -> str:
    if not published.torchvision:
        return published.name
    url: str = torchvision.models.get_weight(published.torchvision).url
    return url.rpartition("/")[2]


def _url(published: Published, settings: ServiceSettings) -> str:
    """Return where a file may be fetched from; empty for nowhere."""
    if not settings.weights_url:
        return ""
    if published.torchvision:
        return f"{settings.weights_url.rstrip('/')}/{_file_name(published)}"
    return published.url if published.sha256 else ""


def _unavailable(entry: Architecture, why: str) -> WrongState:
    return WrongState(
        Reason.PRETRAINED_UNAVAILABLE,
        f"Published weights for {entry.name} cannot be had: {why}. Put them in the bucket under "
        "weights/, or send pretrained: none.",
        field="training_config.pretrained",
        architecture=entry.name,
    )
