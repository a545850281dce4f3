"""What a model saw in an image: a line, a table, and files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.table import Table

from client import as_json, masks
from client.console import out, share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nocode.vision.v1 import prediction_pb2

# So many classes fit into a line.
_NAMED = 5


def show(path: Path, seen: prediction_pb2.Prediction, width: int) -> None:
    """Show what a model saw in an image, in a line whose first column is `width` wide.

    Objects, or the classes of its pixels, follow in a table.
    """
    out.print(f"{path!s:{width}}  {_line(seen)}")
    if objects := _objects(seen):
        out.print(_table_of_objects(objects))
    elif seen.semantic_segmentation.regions:
        out.print(_table_of_regions(seen))


def save_overlay(seen: prediction_pb2.Prediction, image: Path, folder: Path) -> Path | None:
    """Save the picture of an answer, if there is one, under the image's name; return its path."""
    if not seen.overlay_png:
        return None
    path = _unused(folder / f"{image.stem}.png")
    path.write_bytes(seen.overlay_png)
    return path


def save_masks(seen: prediction_pb2.Prediction, image: Path, folder: Path) -> list[Path]:
    """Save the masks of an answer as PNG under the image's name; return their paths.

    Classes of pixels are one file, in which a pixel has the index of its class. Objects have a
    file each, 255 inside and 0 outside, in a folder, in the order of the answer.

    Raises:
        ValueError: The server sent a mask that is none.
    """
    if seen.semantic_segmentation.class_index_png:
        path = _unused(folder / f"{image.stem}.png")
        path.write_bytes(seen.semantic_segmentation.class_index_png)
        return [path]
    objects = seen.instance_segmentation.objects
    if not objects:
        return []
    own = _unused(folder / image.stem)
    own.mkdir()
    paths = [own / f"{number}.png" for number in range(1, len(objects) + 1)]
    for path, one in zip(paths, objects, strict=True):
        path.write_bytes(masks.as_png(one.mask))
    return paths


def fields(
    image: Path, model: str, seen: prediction_pb2.Prediction, mask_files: Sequence[Path] | None
) -> dict[str, Any]:
    """Return an answer as JSON has it, without the picture of it.

    Args:
        image: What the answer is about.
        model: What answered.
        seen: The answer.
        mask_files: Where its masks were saved, and then are not in it; None if they were not.
    """
    made = {"image": str(image), "model": model, **as_json.fields(seen)}
    del made["overlay_png"]
    if mask_files is None:
        return made
    made["mask_files"] = [str(path) for path in mask_files]
    if seen.HasField("semantic_segmentation"):
        del made["semantic_segmentation"]["class_index_png"]
        for region in made["semantic_segmentation"]["regions"]:
            region.pop("mask", None)
    for one in made.get("instance_segmentation", {}).get("objects", []):
        one.pop("mask", None)
    return made


def _line(seen: prediction_pb2.Prediction) -> str:
    if seen.HasField("error"):
        return f"error: {seen.error.message}"
    if seen.HasField("classification"):
        classes = seen.classification.classes
        return ", ".join(f"{item.class_name} {item.score:.3f}" for item in classes)
    if objects := _objects(seen):
        counts = Counter(one.class_name for one in objects)
        return ", ".join(f"{count} × {name}" for name, count in counts.most_common())
    regions = seen.semantic_segmentation.regions
    named = [f"{one.class_name} {_share(seen, one.pixel_count)}" for one in regions[:_NAMED]]
    if len(regions) > _NAMED:
        named.append(f"{len(regions) - _NAMED} more")
    return ", ".join(named) or "nothing"


def _table_of_objects(objects: Sequence[Any]) -> Table:
    areas = [
        [str(masks.area(one.mask))] if getattr(one, "mask", None) is not None else []
        for one in objects
    ]
    table = Table("class")
    headings = ("score", "xmin", "ymin", "xmax", "ymax")
    for heading in (*headings, "mask px") if areas[0] else headings:
        table.add_column(heading, justify="right")
    for one, area in zip(objects, areas, strict=True):
        sides = (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax)
        numbers = (f"{one.score:.3f}", *(f"{side:.1f}" for side in sides), *area)
        table.add_row(one.class_name, *numbers)
    return table


def _table_of_regions(seen: prediction_pb2.Prediction) -> Table:
    table = Table("class")
    for heading in ("area", "pixels", "mean score"):
        table.add_column(heading, justify="right")
    for one in seen.semantic_segmentation.regions:
        numbers = (_share(seen, one.pixel_count), str(one.pixel_count), f"{one.mean_score:.3f}")
        table.add_row(one.class_name, *numbers)
    return table


def _share(seen: prediction_pb2.Prediction, pixel_count: int) -> str:
    return share(pixel_count, seen.image_width * seen.image_height)


def _objects(prediction: prediction_pb2.Prediction) -> Sequence[Any]:
    """Return the objects of an answer, if it has such."""
    kind = prediction.WhichOneof("result") or "detection"
    return getattr(getattr(prediction, kind), "objects", [])


def _unused(path: Path) -> Path:
    """Return `path`, or one with a number if it exists: two images may share a name."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
