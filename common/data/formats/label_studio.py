"""Exports of Label Studio as JSON or JSON-MIN, beside the images.

    images/9a8b7c6d-1.jpg
    images/2.jpg
    project-1-at-2024-01-01.json

Rectangles are boxes; turned ones are replaced by the upright box around them. Polygons, ellipses
and what is painted with the brush are outlines. Points and lines are left out. A region with
several labels becomes an object of each; one without may have its class as a choice of the region.

Of several annotations of a task the one marked as ground truth counts, or else the newest; those
that were skipped never do, and predictions are not read. A task without an annotation is unlabeled;
one whose annotation is empty shows nothing.

Choices for the whole image, and places in a taxonomy such as `animal/cat`, are its class. If there
is more than one such question, it is the one called class, label, category, choice or so, or else
the one with most answers. The other answers and the further data of a task are kept for
`SplitConfig.group_by`.

Images are found by the end of where Label Studio had them: uploads by their name with or without
the letters that it adds, storages by the path in the URL.

The tasks: `label_studio_tasks`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.data.formats.coco_outlines import number
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.json_items import items
from common.data.formats.json_parts import JsonError, check_size
from common.data.formats.label_studio_regions import RegionError, Size, drawn, is_region, size_of
from common.data.formats.label_studio_tasks import (
    Result,
    Task,
    is_export,
    labels_of,
    names_of,
    task_of,
    texts_of,
)
from common.data.formats.named_attributes import Attributes
from common.data.formats.pictures import Picture, Pictures, Read, Shape
from common.names import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.tree import Tree

_NO_SIZE = Size(0, 0)


class LabelStudio(Pictures):
    """The layout above."""

    name = "label_studio"
    description = "Label Studio's export as JSON or JSON-MIN, beside the images"
    layout = "images/1.jpg\nproject-1.json"
    detected = "A .json file is a list of tasks as Label Studio writes them."
    kept = (
        "Rectangles, polygons, ellipses and what is painted, with their labels; choices and "
        "taxonomies of whole images."
    )
    dropped = (
        "Predictions, skipped annotations, all but one annotation of a task, key points, and what "
        "was drawn on images while they were turned."
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if a file is one of Label Studio's."""
        for path in tree.files:
            if is_export(tree, path):
                return f"{path} lists tasks of Label Studio"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:  # noqa: ARG002
        """Look through the files for the question that is the class, then read task by task."""
        questions = _Questions()
        files: list[str] = []
        broken: list[str] = []
        for path in tree.files:
            if not is_export(tree, path):
                continue
            check_size(tree, path)
            try:
                for task in _tasks(tree, path):
                    questions.add(path, task)
            except JsonError as error:
                broken.append(f"{path}: {error}")
            else:
                files.append(path)
        if not files:
            raise self.nothing(tree, broken[0] if broken else "")
        report.add("ANNOTATION_FILES_UNREADABLE", broken)
        return Read(_Reader(tree, report, questions).pictures(files))


def _tasks(tree: Tree, path: str) -> Iterator[Task]:
    for item in items(tree, path):
        yield task_of(item.value, item.name)


class _Questions:
    """What is asked of whole images, over all files, and which tasks are there more than once."""

    def __init__(self) -> None:
        self._asked = Attributes()
        self._plain = Attributes()
        # Of JSON-MIN, in which each annotation is a task: the newest by file and id, and how many.
        self._newest: dict[tuple[str, int | str], tuple[str, int]] = {}

    def add(self, path: str, task: Task) -> None:
        """Count what is answered in a task."""
        for result in _Sorted(task.results or ()).answers:
            if texts_of(result["value"]):
                of = self._plain if result.get("plain") else self._asked
                name = str(result.get("from_name"))
                of.add([name])
                if {"choices", "taxonomy"} & result["value"].keys():
                    of.choices.add(name)
        if task.key is not None and task.results is not None:
            key = path, task.key
            order, count = self._newest.get(key, ("", 0))
            self._newest[key] = max(order, task.order), count + 1

    def of_class(self, path: str, report: Report) -> str | None:
        """Return the name of the question that is the class; None if there is none."""
        named = self._asked.named() or (None if self._asked.choices else self._plain.named())
        if named is not None:
            return named
        if self._asked.choices:
            chosen = self._asked.of_class()
            others = sorted(self._asked.choices - {chosen.name}) if chosen else []
            if chosen and others:
                more = ", ".join(map(shorten, others))
                report.add("CLASS_ATTRIBUTE_GUESSED", f"{shorten(chosen.name)}; others are {more}")
            return chosen.name if chosen else None
        if len(self._plain.counts) == 1:
            (name,) = self._plain.counts
            report.add("CLASS_ATTRIBUTE_GUESSED", f"{path}: {shorten(name)}")
            return name
        return None

    def take(self, path: str, task: Task) -> int:
        """Return how many annotations the task stands for; 0 if another is newer, or was taken."""
        key = path, task.key
        if task.key is None or key not in self._newest:
            return 1
        order, count = self._newest[path, task.key]
        if task.results is None or task.order != order:
            return 0
        self._newest[path, task.key] = "", 0
        return count


@dataclass(slots=True)
class _Region:
    """Something that is drawn, put together from the results that share its id."""

    where: str
    drawn: Result | None = None
    labels: list[str] = field(default_factory=list)
    answers: list[Result] = field(default_factory=list)


class _Sorted:
    """The results of an annotation, told apart.

    Attributes:
        regions: In the order of the file.
        answers: To questions about the whole image.
    """

    def __init__(self, results: Any) -> None:
        self.regions: list[_Region] = []
        self.answers: list[Result] = []
        by_id: dict[str, _Region] = {}
        rest: list[tuple[str, Result]] = []
        for place, result in enumerate(results, start=1):
            value = result.get("value")
            if not isinstance(value, dict):
                continue  # a relation between regions
            key = result.get("id")
            key = key if isinstance(key, str) else f"\0{place}"
            labels = labels_of(value)
            if not is_region(value) and not labels:
                rest.append((key, result))
                continue
            region = by_id.get(key)
            if region is None:
                region = by_id[key] = _Region(f"region {place}")
                self.regions.append(region)
            # A box and its label are two results if they come from two tools.
            if region.drawn is None and is_region(value):
                region.drawn = result
            region.labels += [label for label in labels if label not in region.labels]
            if texts_of(value):
                region.answers.append(result)
        for key, result in rest:
            of = by_id[key].answers if key in by_id else self.answers
            of.append(result)


class _Reader:
    """Makes pictures of tasks."""

    def __init__(self, tree: Tree, report: Report, questions: _Questions) -> None:
        self._tree = tree
        self._report = report
        self._questions = questions
        self._finder = Finder(tree)

    def pictures(self, files: list[str]) -> Iterator[Picture]:
        """Yield each image of each task."""
        of_class = self._questions.of_class(files[0], self._report)
        for path in files:
            split = split_in(path)
            for task in _tasks(self._tree, path):
                where = f"{path}, {task.where}"
                count = self._questions.take(path, task)
                if task.predicted:
                    self._report.add("PREDICTIONS_NOT_READ", where)
                if task.results is not None and not count:
                    continue
                unread = task.unread + max(0, count - 1)
                if unread:
                    self._report.add("ANNOTATIONS_NOT_CHOSEN", f"{where}: {unread} more")
                if not task.pages:
                    self._report.add("LISTED_FILES_MISSING", f"{where}: it has no image")
                for page, names in enumerate(task.pages):
                    found = self._find(path, names)
                    if found is None:
                        self._report.add("LISTED_FILES_MISSING", f"{where}: {shorten(names[0])}")
                        continue
                    picture = Picture(
                        found,
                        path,
                        split=split,
                        normalized=True,
                        labeled=task.results is not None,
                        columns=dict(task.columns),
                    )
                    self._fill(picture, task, page, of_class)
                    yield picture

    def _find(self, path: str, names: list[str]) -> str | None:
        for written in names:
            for name in names_of(written):
                found = self._finder.nearest(path, name)
                if found is not None:
                    return found
        return None

    def _fill(self, picture: Picture, task: Task, page: int, of_class: str | None) -> None:
        """Add what is said of one image of a task."""
        results = [r for r in task.results or () if (r.get("item_index") or 0) == page]
        found = _Sorted(results)
        for answer in found.answers:
            name, texts = str(answer.get("from_name")), texts_of(answer["value"])
            if name == of_class:
                picture.tags += texts
            elif texts:
                picture.columns[name] = ", ".join(texts)
        sizes = set()
        for region in found.regions:
            region.where = f"{task.where}, {region.where}"
            size = size_of(region.drawn) if region.drawn else _NO_SIZE
            sizes.add(size)
            self._draw(region, size, picture)
        if len(sizes) == 1 and _NO_SIZE not in sizes:
            _to_pixels(picture, sizes.pop())

    def _draw(self, region: _Region, size: Size, picture: Picture) -> None:
        where = f"{picture.source}, {region.where}"
        try:
            box, outline, turned = _drawn(region, size)
        except RegionError as error:
            self._report.add(error.finding_id, f"{where}: {error}")
            picture.dropped += 1
            return
        if turned:
            self._report.add("BOXES_AROUND_TURNED", where)
        labels = region.labels
        if not labels:
            labels = [text for answer in region.answers for text in texts_of(answer["value"])]
        elif region.answers:
            self._report.add("ATTRIBUTES_NOT_READ", where)
        if len(labels) > 1:
            self._report.add("SHAPES_OF_SEVERAL_CLASSES", f"{where}: {', '.join(labels)}")
        # What has no class is named later, as for all tools.
        picture.shapes += [Shape(label, region.where, box, outline) for label in labels or [""]]


def _drawn(region: _Region, size: Size) -> Any:
    if region.drawn is None:
        raise RegionError("BOXES_UNREADABLE", "it is drawn nowhere")
    degrees = number(region.drawn.get("image_rotation")) or 0.0
    if degrees % 360:
        raise RegionError("SHAPES_ON_TURNED_IMAGES", f"by {degrees:g}°")
    return drawn(region.drawn["value"], size)


def _to_pixels(picture: Picture, size: Size) -> None:
    """Give boxes and polygons in pixels, since the size tells whether the image was upright."""
    picture.normalized = False
    picture.width, picture.height = width, height = size
    for shape in picture.shapes:
        if shape.box is not None:
            xmin, ymin, xmax, ymax = shape.box
            shape.box = xmin * width, ymin * height, xmax * width, ymax * height
        if shape.outline is not None:
            shape.outline = shape.outline.scaled(width, height)
