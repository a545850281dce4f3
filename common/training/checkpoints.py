"""Checkpoints: what a training needs to go on as if it had never stopped.

In the bucket, under the job:

    checkpoint/latest.json              written last: the epoch, all else that is no tensor, and
                                        name and SHA-256 of the files that belong to it
    checkpoint/state-00007.safetensors  weights, their average, the optimizer's memory
    checkpoint/best-00005.safetensors   the weights of the best epoch so far

A crash between two writes leaves `latest.json` as it was, and the files that it names.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from common.errors import Internal
from common.reasons import Reason
from common.storage.bucket import KeyMissing

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
    """

    epoch: int = 0
    finished: bool = False
    best_epoch: int = 0
    improved_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    batch_parts: int = 1
    scaler: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoint of one job: the last one replaces those before.

    Args:
        bucket: The bucket.
        prefix: Folder of the checkpoint, with a slash at the end.
        scratch: A local folder for files on their way.
    """

    def __init__(self, bucket: Bucket, prefix: str, scratch: Path) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._scratch = scratch

    def exist(self) -> bool:
        """Whether there is something to go on from."""
        return self._pointer() is not None

    def save(self, progress: Progress, state: Tensors, best: Tensors) -> None:
        """Write a checkpoint; `best` only if the best epoch is a new one."""
        before = self._pointer() or {"files": {}}
        names = {
            "state": f"state-{progress.epoch:05}.safetensors",
            "best": f"best-{progress.best_epoch:05}.safetensors",
        }
        files = {
            kind: before["files"][kind]
            if before["files"].get(kind, {}).get("name") == names[kind]
            else {"name": names[kind], "sha256": self._upload(names[kind], tensors)}
            for kind, tensors in (("state", state), ("best", best))
        }
        pointer = {"progress": vars(progress), "files": files}
        self._bucket.put(self._key("latest.json"), json.dumps(pointer).encode())
        kept = {file["name"] for file in files.values()}
        for file in before["files"].values():
            if file["name"] not in kept:
                self._bucket.delete(self._key(file["name"]))

    def load(self) -> tuple[Progress, Tensors, Tensors] | None:
        """Return the last checkpoint: progress, state and best weights; None if there is none.

        Raises:
            Internal: A file is not the one that was written.
        """
        pointer = self._pointer()
        if pointer is None:
            return None
        state, best = (self._download(pointer["files"][kind]) for kind in ("state", "best"))
        return Progress(**pointer["progress"]), state, best

    def _pointer(self) -> dict[str, Any] | None:
        try:
            pointer: dict[str, Any] = json.loads(self._bucket.get(self._key("latest.json")))
        except KeyMissing:
            return None
        return pointer

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
