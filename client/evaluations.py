"""What an evaluation shows: every single number, then a table of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from rich.table import Table

from client.console import out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.message import Message

    from nocode.vision.v1 import evaluation_pb2


def evaluation(measured: evaluation_pb2.Evaluation) -> None:
    """Show an evaluation: every single number, then a table for each class."""
    kind = measured.WhichOneof("metrics")
    if kind is None:
        return
    subset = measured.subset or measured.dataset
    title = f"{measured.image_count} images ({subset})"
    metrics: Any = getattr(measured, kind)
    sides = _sides(metrics)
    if len(sides) > 1:
        out.print(_side_by_side(title, sides))
        out.print(_classes_side_by_side(sides))
        return
    table = Table(title=title)
    for heading in ("metric", "value", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name, value, interval in _scalars(metrics):
        table.add_row(name, _number(value), _span(interval))
    out.print(table)
    for rows in _class_tables(metrics):
        out.print(rows)


def headline(measured: evaluation_pb2.Evaluation) -> str:
    """Return the number that matters most of an evaluation, with its name.

    It is the first, but of objects with masks that of the masks.
    """
    kind = measured.WhichOneof("metrics")
    if kind is None:
        return ""
    metrics: Any = getattr(measured, kind)
    sides = _sides(metrics)
    if len(sides) > 1:
        side = "mask" if "mask" in sides else next(iter(sides))
        name, value, _ = next(_scalars(sides[side]))
        return f"{side} {name} {_number(value)}"
    name, value, _ = next(_scalars(metrics))
    return f"{name.rpartition('.')[2]} {_number(value)}"


def _sides(metrics: Message) -> dict[str, Any]:
    """Return what an evaluation measured in one way and in another: boxes and masks."""
    return {
        field.name: getattr(metrics, field.name)
        for field in metrics.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_MESSAGE
        and not field.is_repeated
        and metrics.HasField(field.name)
        and "per_class" in _fields(field)
    }


def _fields(field: Any) -> dict[str, Any]:
    """Return the fields of the message that a field holds, by name."""
    return dict(field.message_type.fields_by_name)


def _side_by_side(title: str, sides: Mapping[str, Message]) -> Table:
    table = Table(title=title)
    table.add_column("metric")
    for side in sides:
        table.add_column(side, justify="right")
        table.add_column("95 % interval", justify="right")
    for of_all in zip(*map(_scalars, sides.values()), strict=True):
        cells = [(_number(value), _span(interval)) for _, value, interval in of_all]
        table.add_row(of_all[0][0], *(part for cell in cells for part in cell))
    return table


def _classes_side_by_side(sides: Mapping[str, Any]) -> Table:
    """Give a table of the classes; what is a number of each side has a column for each."""
    first = next(iter(sides.values()))
    names = _fields(first.DESCRIPTOR.fields_by_name["per_class"])
    measured = [name for name in names if name not in {"class_name", "support"}]
    table = Table()
    table.add_column("class_name")
    table.add_column("support", justify="right")
    for name in measured:
        for side in sides:
            table.add_column(f"{side} {name}", justify="right")
    for rows in zip(*(metrics.per_class for metrics in sides.values()), strict=True):
        cells = [_number(getattr(row, name)) for name in measured for row in rows]
        table.add_row(rows[0].class_name, str(rows[0].support), *cells)
    return table


def _scalars(
    metrics: Message,
) -> Iterator[tuple[str, float, evaluation_pb2.ConfidenceInterval | None]]:
    """Walk a metrics message: every number in it or in a message of it, with its interval."""
    intervals: Any = getattr(metrics, "confidence_intervals", {})
    for field in metrics.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        value: Any = getattr(metrics, field.name)
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            yield field.name, value, intervals.get(field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and metrics.HasField(field.name):
            for name, number, own in _scalars(value):
                path = f"{field.name}.{name}"
                yield path, number, own or intervals.get(path)


def _class_tables(metrics: Message, title: str = "") -> Iterator[Table]:
    """Give a table for each list of classes in a metrics message or in a message of it."""
    for field in metrics.DESCRIPTOR.fields:
        value: Any = getattr(metrics, field.name)
        if field.name == "per_class":
            descriptor: Any = field.message_type
            yield _class_table(value, descriptor.fields, title)
        elif (
            field.type == FieldDescriptor.TYPE_MESSAGE
            and not field.is_repeated
            and metrics.HasField(field.name)
        ):
            yield from _class_tables(value, field.name)


def _class_table(rows: Any, fields: Any, title: str) -> Table:
    table = Table(title=title or None)
    for field in fields:
        is_text = field.type == FieldDescriptor.TYPE_STRING
        table.add_column(field.name, justify="left" if is_text else "right")
    for row in rows:
        values = [getattr(row, field.name) for field in fields]
        table.add_row(*(_number(v) if isinstance(v, float) else str(v) for v in values))
    return table


def _number(value: float) -> str:
    """Write a metric; below 0 is what is said where there is nothing to measure on."""
    return f"{value:.4f}" if value >= 0 else "–"


def _span(interval: evaluation_pb2.ConfidenceInterval | None) -> str:
    return f"{interval.low:.4f} – {interval.high:.4f}" if interval else ""
