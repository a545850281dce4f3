"""Reads the head of a README.md, in which a data set of the hub says which files are what.

    ---
    configs:
    - config_name: default
      data_files:
      - split: train
        path: data/train-*
    dataset_info:
      features:
      - name: label
        dtype:
          class_label:
            names: {'0': cat, '1': dog}
    ---

A data set may have several configurations, of which one is read: the one that is asked for, the one
that is the default, or the only one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import re2

from common.data.formats.yolo_config import parse_yaml
from common.data.hugging_face.features import Names, names_of_yaml
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CARD_BYTES = 4 * MIB
CARD = "README.md"
_DEFAULT = "default"
_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MOST_SHOWN = 10
_MOST_PATTERNS = 1000
_MAX_PATTERN_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Card:
    """What is said of the files.

    Attributes:
        folder: In which the card lies, with a final slash unless it is the top.
        patterns: Patterns of paths from there with the name of the split that they are; none if the
            card does not say which files are which.
        names: Of classes.
    """

    folder: str = ""
    patterns: tuple[tuple[Any, str], ...] = ()
    names: Names = field(default_factory=dict)

    def split(self, path: str) -> str | None:
        """Return the name of the split of a file; None if it is none of the configuration."""
        inner = path.removeprefix(self.folder)
        return next((split for one, split in self.patterns if one.fullmatch(inner)), None)


def parse(text: str, folder: str, config: str) -> Card:
    """Read a card.

    Args:
        text: Of the whole file.
        folder: See `Card`.
        config: Name of the configuration to read; empty for the default one.

    Raises:
        ValueError: The head is no YAML.
        InvalidInput: There is no such configuration, or none that is the default.
    """
    head = _HEAD.match(text)
    said = parse_yaml(head[1]) if head else {}
    if not isinstance(said, dict):
        return Card(folder)
    configs = {
        str(one.get("config_name", _DEFAULT)): one
        for one in _dicts(said.get("configs"))
        if one.get("data_files")
    }
    infos = {str(one.get("config_name", "")): one for one in _dicts(said.get("dataset_info"))}
    chosen = _choose(config, configs or infos)
    info = infos.get(chosen) or (next(iter(infos.values())) if len(infos) == 1 else {})
    files = configs[chosen].get("data_files") if chosen in configs else None
    return Card(folder, tuple(_patterns(files)), names_of_yaml(info.get("features")))


def _choose(wanted: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    if wanted in configs:
        return wanted
    shown = ", ".join(shorten(name) for name in list(configs)[:_MOST_SHOWN])
    field_name = "source.hugging_face.config"
    if wanted and configs:
        raise InvalidInput(
            Reason.FIELD_NOT_A_CHOICE,
            f"{field_name} is {shorten(wanted)!r}, but the data set has {shown}. Send one of "
            "these.",
            field=field_name,
            value=shorten(wanted),
        )
    marked = [name for name, one in configs.items() if one.get("default") == "true"]
    if marked:
        return marked[0]
    if _DEFAULT in configs or len(configs) <= 1:
        return _DEFAULT if _DEFAULT in configs else next(iter(configs), "")
    raise InvalidInput(
        Reason.FIELD_REQUIRED,
        f"The data set has several configurations ({shown}), and none is the default. Send one as "
        f"{field_name}, or keep the files of one only.",
        field=field_name,
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, dict)]


def _patterns(files: Any) -> list[tuple[Any, str]]:
    """Return patterns with their splits; what has no split is for training."""
    if isinstance(files, dict):
        pairs = [(path, split) for split, path in files.items()]
    elif isinstance(files, list):
        pairs = [
            (one.get("path"), one.get("split", "train"))
            if isinstance(one, dict)
            else (one, "train")
            for one in files
        ]
    else:
        pairs = [(files, "train")]
    found = [
        (_compiled(pattern), str(split))
        for paths, split in pairs
        for pattern in (paths if isinstance(paths, list) else [paths])
        if isinstance(pattern, str) and len(pattern) <= _MAX_PATTERN_LENGTH
    ]
    return found[:_MOST_PATTERNS]


def _compiled(pattern: str) -> Any:
    """Return a pattern of a path: `*` is anything in a name, `**` in a path, `?` a character.

    It is one of RE2, which takes no longer however many stars a card has.
    """
    means = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    return re2.compile("".join(means.get(part, re2.escape(part)) for part in parts))
