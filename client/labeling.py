"""Answers as a data set, to be corrected in a labelling program, or imported: COCO or YOLO.

The folder has copies of the images in `images`, in the order in which they were asked about. COCO
is one `annotations.json`, with the score of each object; YOLO is a text for each image in `labels`,
with a data.yaml, whose lines end in the score where they are boxes. Only objects have a place in
these formats, not classes of whole images or of all pixels.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TextIO

from client import masks, outlines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from nocode.vision.v1 import prediction_pb2

TASKS = ("detection", "instance-segmentation")
"""Whose answers have a place in the formats."""


class LabelFormat(StrEnum):
    """What to write."""

    COCO = "coco"
    YOLO = "yolo"


class Labels:
    """A folder that answers are written to, one by one; a context manager.

    Args:
        folder: Is made; must be empty if it exists.
        format: What to write.
        class_names: All that the model knows, in their order.

    Raises:
        FileExistsError: The folder has something in it.
    """

    def __init__(self, folder: Path, format: LabelFormat, class_names: Sequence[str]) -> None:  # noqa: A002
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(0, "is not empty; name a new folder", str(folder))
        self._folder = folder
        self._format = format
        self._names = class_names
        self._image_count = self._object_count = 0
        self._open = ExitStack()
        self._parts: dict[str, TextIO] = {}

    def __enter__(self) -> Self:
        (self._folder / "images").mkdir(parents=True)
        if self._format == LabelFormat.YOLO:
            (self._folder / "labels").mkdir()
            return self
        # A list each, until they are put together, so that memory does not grow.
        for key in ("images", "annotations"):
            path = self._folder / f"{key}.part"
            self._parts[key] = self._open.enter_context(path.open("w+", encoding="utf-8"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._open:
            if kind is None and self._format == LabelFormat.COCO:
                self._write_coco()
            elif kind is None:
                names = {str(number): name for number, name in enumerate(self._names)}
                # What JSON says is YAML.
                about = {"path": ".", "train": "images", "val": "images", "names": names}
                text = json.dumps(about, ensure_ascii=False, indent=1)
                (self._folder / "data.yaml").write_text(text, encoding="utf-8")
        for key in self._parts:
            (self._folder / f"{key}.part").unlink()

    def add(self, path: Path, seen: prediction_pb2.Prediction) -> None:
        """Write an answer of a model of `TASKS`, with a copy of the image that it is about.

        Raises:
            OSError: The image cannot be copied.
            ValueError: The server sent a mask that is none.
        """
        name = f"{self._image_count:06}-{path.name}"
        self._image_count += 1
        shutil.copyfile(path, self._folder / "images" / name)
        objects: Any = getattr(seen, seen.WhichOneof("result") or "").objects
        if self._format == LabelFormat.YOLO:
            text = "".join(self._line(one, seen) for one in objects)
            label = self._folder / "labels" / f"{name.rpartition('.')[0] or name}.txt"
            label.write_text(text, encoding="utf-8")
            return
        image = {
            "id": self._image_count,
            "file_name": f"images/{name}",
            "width": seen.image_width,
            "height": seen.image_height,
        }
        self._append("images", image, first=self._image_count == 1)
        for one in objects:
            self._object_count += 1
            annotation = {"id": self._object_count, "image_id": self._image_count}
            self._append("annotations", annotation | _coco(one), first=self._object_count == 1)

    def _line(self, one: Any, seen: prediction_pb2.Prediction) -> str:
        width, height = seen.image_width, seen.image_height
        if hasattr(one, "mask"):
            corners = outlines.polygon(masks.decode(one.mask))
            numbers = [part for x, y in corners for part in (x / width, y / height)]
            if not numbers:  # a mask without a pixel has no outline
                return ""
        else:
            box = one.box
            numbers = [
                (box.xmin + box.xmax) / 2 / width,
                (box.ymin + box.ymax) / 2 / height,
                (box.xmax - box.xmin) / width,
                (box.ymax - box.ymin) / height,
                one.score,
            ]
        return f"{one.class_index} {' '.join(f'{number:.8g}' for number in numbers)}\n"

    def _append(self, key: str, value: Mapping[str, Any], *, first: bool) -> None:
        text = json.dumps(value, ensure_ascii=False)
        self._parts[key].write(text if first else f",\n{text}")

    def _write_coco(self) -> None:
        with (self._folder / "annotations.json").open("w", encoding="utf-8") as file:
            for key, part in self._parts.items():
                file.write(f'{"{" if key == "images" else ","}"{key}":[')
                part.seek(0)
                shutil.copyfileobj(part, file)
                file.write("]\n")
            categories = [
                {"id": number, "name": name} for number, name in enumerate(self._names, start=1)
            ]
            file.write(f',"categories":{json.dumps(categories, ensure_ascii=False)}}}\n')


def _coco(one: Any) -> dict[str, Any]:
    box = one.box
    width, height = box.xmax - box.xmin, box.ymax - box.ymin
    made = {
        "category_id": one.class_index + 1,
        "bbox": [box.xmin, box.ymin, width, height],
        "score": one.score,
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [],
    }
    if hasattr(one, "mask"):
        mask = one.mask
        made["area"] = masks.area(mask)
        made["segmentation"] = {
            "size": [mask.rle.height, mask.rle.width],
            "counts": mask.rle.counts,
        }
    return made
