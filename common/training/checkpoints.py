"""Checkpoints: what a training needs to go on as if it had never stopped.

In the bucket, under the job:

    checkpoint/latest.json                written last: the epoch, all else that is no tensor, which
                                          attempt wrote it, and name and SHA-256 of the files that
                                          belong to it
    checkpoint/state-00007-1.safetensors  of epoch 7, by attempt 1: weights, their average, the
                                          optimizer's memory
    checkpoint/best-00005-1.safetensors   the weights of the best epoch so far

A crash between two writes leaves `latest.json` as it was, and the files that it names. So does an
attempt that others have given up and that goes on all the same: its files have other names, and it
does not write `latest.json` over a later attempt's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from common.errors import Internal
from common.jobs.store import ClaimLost
from common.reasons import Reason
from common.storage.bucket import KeyMissing, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from common.storage.bucket import Bucket

    Tensors = dict[str, Tensor]


@dataclass
class Progress:
    """Where a training is, apart from tensors.

    Attributes:
        epoch: Epochs done.
        finished: There is nothing left to train.
        best_epoch: The epoch with the best validation metric; 0 before the first.
        improved_epoch: The epoch that first had the best metric; later ones may be equal, with a
            lower loss.
        best_metrics: The validation metrics of that epoch.
        batch_parts: Into how many parts a batch is split to fit in memory.
        scaler: State of the gradient scaler of fp16.
        history: What each epoch left, as `Reporter.add_history` takes it: of these very weights,
            while what the job says may be older or newer.
    """

    epoch: int = 0
    finished: bool = False
    best_epoch: int = 0
    improved_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    batch_parts: int = 1
    scaler: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Checkpoints:
    """The checkpoint of one job: the last one replaces those before.

    Args:
        bucket: The bucket.
        prefix: Folder of the checkpoint, with a slash at the end.
        scratch: A local folder for files on their way.
        attempt: The attempt at the job that writes them.
    """

    def __init__(self, bucket: Bucket, prefix: str, scratch: Path, *, attempt: int) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._scratch = scratch
        self._attempt = attempt

    def exist(self) -> bool:
        """Whether there is something to go on from."""
        return self._pointer()[0] is not None

    def save(self, progress: Progress, state: Tensors, best: Tensors) -> None:
        """Write a checkpoint; `best` only if the best epoch is a new one.

        Raises:
            ClaimLost: A later attempt has written one.
        """
        before, etag = self._pointer()
        names = {
            "state": f"state-{progress.epoch:05}-{self._attempt}.safetensors",
            "best": f"best-{progress.best_epoch:05}-{self._attempt}.safetensors",
        }
        known = before["files"] if before else {}
        files = {
            kind: known[kind]
            if known.get(kind, {}).get("name") == names[kind]
            else {"name": names[kind], "sha256": self._upload(names[kind], tensors)}
            for kind, tensors in (("state", state), ("best", best))
        }
        pointer = {"progress": vars(progress), "attempt": self._attempt, "files": files}
        before = self._replace(before, etag, json.dumps(pointer).encode())
        kept = {file["name"] for file in files.values()}
        for file in before["files"].values() if before else ():
            if file["name"] not in kept:
                self._bucket.delete(self._key(file["name"]))

    def load(self) -> tuple[Progress, Tensors, Tensors] | None:
        """Return the last checkpoint: progress, state and best weights; None if there is none.

        Raises:
            Internal: A file is not the one that was written.
        """
        pointer, _ = self._pointer()
        if pointer is None:
            return None
        state, best = (self._download(pointer["files"][kind]) for kind in ("state", "best"))
        return Progress(**pointer["progress"]), state, best

    def _pointer(self) -> tuple[dict[str, Any] | None, str | None]:
        """Return what `latest.json` says and its ETag; nothing if there is none."""
        try:
            found = self._bucket.get_versioned(self._key("latest.json"))
        except KeyMissing:
            found = None
        return (json.loads(found[0]), found[1]) if found else (None, None)

    def _replace(
        self, before: dict[str, Any] | None, etag: str | None, data: bytes
    ) -> dict[str, Any] | None:
        """Write `latest.json` over what was read of it, or of another attempt's; return that."""
        while True:
            if before and before.get("attempt", 0) > self._attempt:
                raise ClaimLost(f"{self._prefix}: attempt {before['attempt']} goes on")
            try:
                self._bucket.put(
                    self._key("latest.json"), data, if_match=etag, if_absent=etag is None
                )
            except PreconditionFailed:
                before, etag = self._pointer()
            else:
                return before

    def _upload(self, name: str, tensors: Tensors) -> str:
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = self._scratch / name
        try:
            save_weights(tensors, path)
            self._bucket.put_file(self._key(name), path)
            return sha256_of(path)
        finally:
            path.unlink(missing_ok=True)

    def _download(self, file: Mapping[str, str]) -> Tensors:
        path = self._scratch / file["name"]
        key = self._key(file["name"])
        try:
            self._bucket.get_file(key, path)
            found = sha256_of(path)
            if found != file["sha256"]:
                raise Internal(
                    Reason.WORKER_CRASHED,
                    f"The checkpoint {self._bucket.uri(key)} is damaged: its SHA-256 is {found}, "
                    f"not {file['sha256']}. Train again.",
                )
            tensors: Tensors = load_file(path)
            return tensors
        finally:
            path.unlink(missing_ok=True)

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"


def save_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors; equal tensors give equal files, whatever their strides."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path, metadata={"format": "pt"})


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
