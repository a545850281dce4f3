"""Fetches a data set from the Hugging Face hub: its files, to be read like those of an archive.

Of a data set with parquet files, these are fetched, those of the configuration that is asked for;
of any other, the images with what lies beside them. One that has neither, such as one of packed
archives, is fetched as the hub itself converts it.

Files are fetched one after the other into the one file of a `Tree`, so that there is one more on
disk at most. The hub's own client does it (Apache-2.0): it knows of tokens, mirrors
(`HF_ENDPOINT`), and of how the hub stores files. The library `datasets` would decode every row into
a cache of its own, and would refuse a data set as a whole where our readers name what is damaged.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from common.data.hugging_face import boxes, card
from common.data.tree import IMAGE_SUFFIXES, Member, Tree, suffix
from common.errors import InvalidInput, NotFound, StorageUnavailable, Unsupported
from common.names import shorten
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from common.data.archives import Limits
    from common.data.findings import Report
    from common.jobs.context import JobContext
    from nocode.vision.v1.dataset_source_pb2 import HuggingFaceSource

_FIELD = "source.hugging_face"
_PATH = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?", re.ASCII)
_REVISION = re.compile(r"[\w./-]{1,200}", re.ASCII)
_PARQUET = ".parquet"
CONVERTED = "refs/convert/parquet"
"""The revision in which the hub keeps what it converted."""

# What may say something of images, whatever the layout.
_BESIDE = frozenset(
    (".csv", ".tsv", ".json", ".jsonl", ".txt", ".names", ".xml", ".yaml", ".yml", ".md")
)
_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst"))
_MOST_SHOWN = 10
_TIMEOUT_S = 30.0


class _File(NamedTuple):
    path: str
    size: int


def check(wanted: HuggingFaceSource) -> None:
    """Find what is wrong with a source before a job is made for it; the hub is not asked.

    Raises:
        InvalidInput: A field is missing or malformed.
        Unsupported: This server was not set up for the hub.
    """
    if not wanted.path:
        raise InvalidInput(
            Reason.FIELD_REQUIRED,
            f"{_FIELD}.path is empty. Send the id of a data set on the hub, such as owner/name.",
            field=f"{_FIELD}.path",
        )
    if not _PATH.fullmatch(wanted.path) or ".." in wanted.path:
        raise InvalidInput(
            Reason.NAME_INVALID,
            f"{_FIELD}.path is {shorten(wanted.path)!r}, which is no id of the hub. Send "
            "owner/name as the page of the data set shows it.",
            field=f"{_FIELD}.path",
            value=shorten(wanted.path),
        )
    if wanted.revision and not _REVISION.fullmatch(wanted.revision):
        raise InvalidInput(
            Reason.NAME_INVALID,
            f"{_FIELD}.revision is {shorten(wanted.revision)!r}. Send a commit, tag or branch, or "
            "leave it empty.",
            field=f"{_FIELD}.revision",
            value=shorten(wanted.revision),
        )
    if wanted.box_format and wanted.box_format not in boxes.CHOICES:
        raise InvalidInput(
            Reason.FIELD_NOT_A_CHOICE,
            f"{_FIELD}.box_format is {shorten(wanted.box_format)!r}. Send one of "
            f"{', '.join(boxes.CHOICES)}, or leave it empty to have it found.",
            field=f"{_FIELD}.box_format",
            value=shorten(wanted.box_format),
        )
    if importlib.util.find_spec("huggingface_hub") is None:
        raise Unsupported(
            Reason.SOURCE_UNSUPPORTED,
            f"{_FIELD} is not read by this server. Have the operator install "
            "nocode-vision[hugging_face], or download the data set and send it as source.upload.",
            field=_FIELD,
        )


def fetch(
    context: JobContext, wanted: HuggingFaceSource, blob: Path, limits: Limits, report: Report
) -> Tree:
    """Fetch the files of a data set into the file `blob`.

    Args:
        context: Told how far it is.
        wanted: What to fetch.
        blob: Written, also if an error is raised; the caller removes it.
        limits: Of files and bytes.
        report: Told of archives that are not fetched.

    Raises:
        InvalidInput: It is too large, or has no such configuration.
        NotFound: The hub has no such data set or revision.
        StorageUnavailable: The hub does not answer.
    """
    context.progress(phase="Asking the hub for the files")
    hub = _Hub(wanted, context.work_dir / "hub")
    files = hub.files(wanted.revision)
    chosen, revision = _choose(hub, files, wanted, report)
    size = sum(file.size for file in chosen)
    _check_size(wanted.path, size, min(context.settings.max_archive_bytes, limits.unpacked_bytes))
    if len(chosen) > limits.members:
        raise InvalidInput(
            Reason.ARCHIVE_TOO_LARGE,
            f"{wanted.path} has {len(chosen)} files; at most {limits.members} are allowed. Choose "
            f"a smaller configuration as {_FIELD}.config.",
            limit=limits.members,
        )
    members: dict[str, Member] = {}
    position = 0
    context.progress(phase="Fetching from the hub", step_count=size)
    with blob.open("wb") as out:
        for file in chosen:
            path = hub.download(file.path, revision)
            try:
                with path.open("rb") as content:
                    shutil.copyfileobj(content, out, MIB)
            finally:
                path.unlink()
            members[file.path] = Member(position, out.tell() - position)
            position = out.tell()
            _check_size(wanted.path, position, limits.unpacked_bytes)
            context.progress(step=position)
    hub.close()
    return Tree(blob, members)


class _Hub:
    """A data set on the hub."""

    def __init__(self, wanted: HuggingFaceSource, folder: Path) -> None:
        # Only here, since it takes a second.
        import huggingface_hub  # noqa: PLC0415
        from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415

        disable_progress_bars()
        # Read here, since the client reads it once for all when it is imported.
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
        self._client = huggingface_hub.HfApi(endpoint, library_name="nocode-vision")
        self._path = wanted.path
        self._folder = folder

    def files(self, revision: str) -> list[_File]:
        """Return the files of a revision."""
        with self._named(revision):
            info = self._client.dataset_info(
                self._path, revision=revision or None, files_metadata=True, timeout=_TIMEOUT_S
            )
            return [_File(one.rfilename, one.size or 0) for one in info.siblings or []]

    def download(self, path: str, revision: str) -> Path:
        """Fetch a file; the caller removes it."""
        with self._named(revision):
            self._client.hf_hub_download(
                self._path,
                path,
                repo_type="dataset",
                revision=revision or None,
                local_dir=self._folder,
                etag_timeout=_TIMEOUT_S,
            )
        return self._folder / path

    def close(self) -> None:
        """Remove what the client left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _named(self, revision: str) -> Iterator[None]:
        """Turn what the client raises into errors that a caller can act on."""
        from huggingface_hub import errors  # noqa: PLC0415

        where = f"{self._path} at {self._client.endpoint}"
        try:
            yield
        except errors.GatedRepoError as error:
            raise self._missing(
                f"{where} is given only to those who agreed to its terms. Have the operator agree "
                "on its page, and set HF_TOKEN."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise NotFound(
                Reason.OBJECT_NOT_FOUND,
                f"{where} has no revision {shorten(revision) or 'at all'}. Send another as "
                f"{_FIELD}.revision, or leave it empty.",
                field=f"{_FIELD}.revision",
                value=shorten(revision),
            ) from error
        except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
            if isinstance(error, errors.LocalEntryNotFoundError):  # the hub was not reached
                raise self._unavailable(where, error) from error
            raise self._missing(
                f"{where} is not there, or only for those who may see it. Correct "
                f"{_FIELD}.path; if it is private, have the operator set HF_TOKEN."
            ) from error
        except errors.OfflineModeIsEnabled as error:
            raise Unsupported(
                Reason.SOURCE_UNSUPPORTED,
                f"{where} cannot be fetched, since this server is told to stay offline "
                "(HF_HUB_OFFLINE). Download the data set elsewhere, and send it as source.upload.",
                field=_FIELD,
            ) from error
        except Exception as error:
            # Whatever else its transport raises is of the way to the hub.
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise self._unavailable(where, error) from error

    def _missing(self, message: str) -> NotFound:
        return NotFound(
            Reason.OBJECT_NOT_FOUND, message, field=f"{_FIELD}.path", value=shorten(self._path)
        )

    def _unavailable(self, where: str, error: Exception) -> StorageUnavailable:
        why = str(error).strip().partition("\n")[0]
        return StorageUnavailable(
            Reason.HUB_UNAVAILABLE,
            f"{where} could not be fetched: {shorten(why, 200) or type(error).__name__}. Import "
            "again later; if this server has no way to the hub, download the data set elsewhere, "
            "and send it as source.upload.",
            field=_FIELD,
            retry_after_s=60.0,
        )


def _choose(
    hub: _Hub, files: Sequence[_File], wanted: HuggingFaceSource, report: Report
) -> tuple[list[_File], str]:
    """Return the files to fetch, in the order of their paths, and the revision that they are of."""
    files = sorted(file for file in files if _is_plain(file.path))
    suffixes = {suffix(file.path) for file in files}
    if _PARQUET in suffixes:
        return _of_config(hub, files, wanted), wanted.revision
    if suffixes & IMAGE_SUFFIXES:
        kinds = IMAGE_SUFFIXES | _BESIDE
        report.add("NESTED_ARCHIVES", (one.path for one in files if suffix(one.path) in _ARCHIVES))
        return [file for file in files if suffix(file.path) in kinds], wanted.revision
    try:
        converted = hub.files(CONVERTED)
    except NotFound:
        converted = []
    chosen = _of_folder(sorted(converted), wanted.config)
    if not chosen:
        shown = ", ".join(sorted(suffixes - {""})[:_MOST_SHOWN]) or "no file"
        raise InvalidInput(
            Reason.FORMAT_UNKNOWN,
            f"{wanted.path} has neither images nor parquet files ({shown}), and the hub has not "
            "converted it. Download it, unpack it, and send it as source.upload.",
            field=f"{_FIELD}.path",
            value=wanted.path,
        )
    return chosen, CONVERTED


def _of_config(hub: _Hub, files: list[_File], wanted: HuggingFaceSource) -> list[_File]:
    """Return the parquet files of a configuration, with small files that may name classes."""
    cards = [file for file in files if file.path == card.CARD and file.size <= card.MAX_CARD_BYTES]
    said = card.Card()
    if cards:
        path = hub.download(card.CARD, wanted.revision)
        text = path.read_text(encoding="utf-8", errors="replace")
        path.unlink()
        try:
            said = card.parse(text, "", wanted.config)
        except ValueError:
            said = card.Card()  # which is found again, and reported, when it is read
    chosen = [
        file
        for file in files
        if suffix(file.path) == _PARQUET and (not said.patterns or said.split(file.path))
    ]
    if not said.patterns:
        chosen = _of_folder(chosen, wanted.config)
    beside = (one for one in files if suffix(one.path) in _BESIDE and one.size <= MIB)
    return sorted({*chosen, *cards, *beside})


def _of_folder(files: list[_File], config: str) -> list[_File]:
    """Return the files in the folder that is called like a configuration, if there are more.

    Raises:
        InvalidInput: There are several such folders, and none is the one.
    """
    parquet = [file for file in files if suffix(file.path) == _PARQUET]
    if not config and "default" not in {file.path.partition("/")[0] for file in parquet}:
        return parquet
    chosen = [file for file in parquet if (config or "default") in file.path.split("/")[:-1]]
    if parquet and not chosen:
        folders = sorted({file.path.rpartition("/")[0] for file in parquet})
        raise InvalidInput(
            Reason.FIELD_NOT_A_CHOICE,
            f"{_FIELD}.config is {shorten(config)!r}, but the files lie in "
            f"{', '.join(folders[:_MOST_SHOWN])}. Send one of these names, or leave it empty.",
            field=f"{_FIELD}.config",
            value=shorten(config),
        )
    return chosen


def _is_plain(path: str) -> bool:
    """Whether a path leads nowhere else and is not hidden."""
    return "\\" not in path and not any(
        part.startswith(".") or not part for part in path.split("/")
    )


def _check_size(path: str, size: int, limit: int) -> None:
    if size > limit:
        raise InvalidInput(
            Reason.ARCHIVE_TOO_LARGE,
            f"{path} has {size} bytes or more to fetch; at most {limit} are allowed. Choose a "
            f"smaller configuration as {_FIELD}.config, or ask the operator to raise "
            "NOCODE_MAX_ARCHIVE_BYTES.",
            limit=limit,
            size=size,
        )
