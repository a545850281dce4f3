"""`docs/api.md`, made from the contract: `python -m docs.api` writes it.

Everything in it stands in the protos, comments included, and in the table of reasons.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from google.api import field_behavior_pb2  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2 as pb

from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
IMAGE = ROOT / "build/image.binpb"
PAGE = ROOT / "docs/api.md"
PACKAGE = "nocode.vision.v1"
# What a reader wants to know first.
_ORDER = ("dataset", "pipeline", "job", "model", "prediction")
_INTRODUCTION = f"""# The API

Made from `protos/nocode/vision/v1` by `make docs`; do not edit. Package `{PACKAGE}`. The gateway
serves all of it, each task service that of its own tasks.

Names are those of [AIP-122](https://google.aip.dev/122): `tasks/{{task}}/datasets/{{dataset}}` and
so on. The first field of every request is a name, which says where the request goes. A call fails
with a `google.rpc.Status`, in whose details there is an `ErrorInfo` with the domain `nocode.vision`
and one of the [reasons](#reasons), and for a bad field a `BadRequest`.
"""
# Numbers in descriptors that lead to a part of a file, message, enum or service.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_VALUES = _METHODS = 2

_Path = tuple[int, ...]


class _File:
    """A proto file, and its comments by the path of what they belong to."""

    def __init__(self, file: pb.FileDescriptorProto) -> None:
        self.file = file
        self.stem = Path(file.name).stem
        self._comments = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        """Return a comment as paragraphs of Markdown."""
        lines = [line.strip() for line in self._comments.get(path, "").strip().splitlines()]
        return "\n".join(lines)

    def line(self, *path: int) -> str:
        """Return a comment as what goes into a cell of a table."""
        return " ".join(self.comment(*path).split()).replace("|", "\\|")


def page(image: bytes) -> str:
    """Return the page for a compiled contract.

    Args:
        image: A `FileDescriptorSet` with comments.
    """
    found = [
        _File(file)
        for file in pb.FileDescriptorSet.FromString(image).file
        if file.package == PACKAGE
    ]
    files = sorted(found, key=_position)
    documented = {f".{PACKAGE}.{name}" for file in files for name in _names(file.file.message_type)}
    documented |= {f".{PACKAGE}.{enum.name}" for file in files for enum in file.file.enum_type}
    lines = [_INTRODUCTION, *_contents(files)]
    for file in files:
        for index, service in enumerate(file.file.service):
            lines += _service(file, index, service, documented)
    lines += ["## Messages", ""]
    for file in files:
        for index, message in enumerate(file.file.message_type):
            lines += _message(file, (_MESSAGES, index), message, "", documented)
        for index, enum in enumerate(file.file.enum_type):
            lines += _enum(file, (_ENUMS, index), enum, "")
    lines += ["## Reasons", "", "Stable names for programs; some may be added.", ""]
    lines += [f"- `{reason}`" for reason in sorted(Reason)]
    return "\n".join(lines) + "\n"


def _position(file: _File) -> tuple[int, str]:
    return (_ORDER.index(file.stem) if file.stem in _ORDER else len(_ORDER), file.stem)


def _names(messages: Sequence[pb.DescriptorProto], prefix: str = "") -> Iterator[str]:
    for message in messages:
        name = prefix + message.name
        yield name
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)
        yield from _names(message.nested_type, f"{name}.")


def _contents(files: Sequence[_File]) -> list[str]:
    lines = ["| service | methods |", "| --- | --- |"]
    for file in files:
        for service in file.file.service:
            methods = ", ".join(
                f"[{method.name}](#{_anchor(f'{service.name}.{method.name}')})"
                for method in service.method
            )
            lines.append(f"| [{service.name}](#{_anchor(service.name)}) | {methods} |")
    return [*lines, ""]


def _service(
    file: _File, index: int, service: pb.ServiceDescriptorProto, documented: set[str]
) -> list[str]:
    lines = [f"## {service.name}", "", file.comment(_SERVICES, index), ""]
    for number, method in enumerate(service.method):
        asked = ("stream " if method.client_streaming else "") + _type(
            method.input_type, documented
        )
        sent = ("stream " if method.server_streaming else "") + _type(
            method.output_type, documented
        )
        lines += [
            f"### {service.name}.{method.name}",
            "",
            f"{asked} → {sent}",
            "",
            file.comment(_SERVICES, index, _METHODS, number),
            "",
        ]
    return lines


def _message(
    file: _File, path: _Path, message: pb.DescriptorProto, prefix: str, documented: set[str]
) -> list[str]:
    if message.options.map_entry:
        return []
    name = prefix + message.name
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    lines = [f"### {name}", "", file.comment(*path), ""]
    if message.field:
        lines += ["| field | type | |", "| --- | --- | --- |"]
    for index, field in enumerate(message.field):
        about = [*_behavior(message, field), file.line(*path, _FIELDS, index)]
        kind = _field_type(field, maps, documented)
        lines.append(f"| `{field.name}` | {kind} | {' '.join(filter(None, about))} |")
    lines.append("")
    for index, nested in enumerate(message.nested_type):
        lines += _message(file, (*path, _NESTED, index), nested, f"{name}.", documented)
    for index, enum in enumerate(message.enum_type):
        lines += _enum(file, (*path, _NESTED_ENUMS, index), enum, f"{name}.")
    return lines


def _behavior(message: pb.DescriptorProto, field: pb.FieldDescriptorProto) -> Iterator[str]:
    """Say who sets a field, and which others exclude it."""
    words = {
        field_behavior_pb2.REQUIRED: "**Required.**",
        field_behavior_pb2.OUTPUT_ONLY: "*Set by the server.*",
        field_behavior_pb2.IDENTIFIER: "*Its name.*",
    }
    for behavior in field.options.Extensions[field_behavior_pb2.field_behavior]:
        if behavior in words:
            yield words[behavior]
    if field.HasField("oneof_index") and not field.proto3_optional:
        yield f"*One of `{message.oneof_decl[field.oneof_index].name}`.*"


def _enum(file: _File, path: _Path, enum: pb.EnumDescriptorProto, prefix: str) -> list[str]:
    lines = [f"### {prefix}{enum.name}", "", file.comment(*path), ""]
    lines += ["| value | |", "| --- | --- |"]
    for index, value in enumerate(enum.value):
        lines.append(f"| `{value.name}` | {file.line(*path, _VALUES, index)} |")
    return [*lines, ""]


def _field_type(
    field: pb.FieldDescriptorProto,
    maps: Mapping[str, pb.DescriptorProto],
    documented: set[str],
) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry:
        key, value = (_scalar_or_link(part, documented) for part in entry.field)
        return f"map of {key} to {value}"
    kind = _scalar_or_link(field, documented)
    repeated = field.label == pb.FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {kind}" if repeated else kind


def _scalar_or_link(field: pb.FieldDescriptorProto, documented: set[str]) -> str:
    if field.type_name:
        return _type(field.type_name, documented)
    return pb.FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _type(full_name: str, documented: set[str]) -> str:
    name = full_name.removeprefix(f".{PACKAGE}.")
    if full_name in documented:
        return f"[{name}](#{_anchor(name)})"
    return f"`{name.removeprefix('.')}`"


def _anchor(heading: str) -> str:
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^a-z0-9_-]", "", heading.lower())


if __name__ == "__main__":
    if not IMAGE.exists():
        sys.exit(f"{IMAGE} is missing. Run `make protos` first.")
    PAGE.write_text(page(IMAGE.read_bytes()))
