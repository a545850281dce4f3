"""YOLO: a text for each image, one object a line: class, center x, center y, width, height.

    data.yaml                       images/train/1.jpg      train/images/1.jpg
                                    labels/train/1.txt      train/labels/1.txt

Numbers are fractions of the image's sides. A sixth number, as programs that label by a model
write, is how sure it was, and is not used. Lines with more numbers are outlines, x and y in turn;
where only boxes are wanted, the one around is taken. An image that shows no object has a text
without a line; an image without a text is unlabeled, which is not the same.

The classes are named by a YAML file (see `yolo_config`), in the order of their numbers, or by a
text with a name a line; if nothing names them, they are called by their numbers.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from common.data.findings import Report
from common.data.formats import Format, Reading, Record, check_class_count
from common.data.formats.pairing import (
    Images,
    in_label_folder,
    label_root,
    settle_splits,
    split_of,
    stem,
    text_of,
    unlabeled,
)
from common.data.formats.yolo_config import Config, Configs, Splits, is_name_file
from common.data.tree import suffix
from common.errors import InvalidInput
from common.masks.outlines import Outline, polygon
from common.names import shorten
from common.objects.drafts import (
    Draft,
    DraftObject,
    boxes_derived,
    check_object_count,
    check_outline_bytes,
    unused_labels,
)
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from common.data.tree import Tree
    from common.objects.annotation import Box

_MAX_LABEL_BYTES = 4 * MIB
# Detection, and the choice between sets of label files, look at this many.
_SAMPLE_FILES = 50
_SAMPLE_BYTES = 64 * 1024
# A box may reach out of its image; numbers far from fractions are something else.
_FARTHEST = 1.5
_BOX, _BOX_AND_SCORE = 5, 6
_NUMBER = re.compile(r"([+-]?\d{1,9})(?:\.0*)?")
# Texts that may lie beside an image of the same name, and are about something else.
_OTHER_TEXTS = {"readme", "license", "licence", "notice", "changelog", "requirements", "notes"}


class Yolo(Format):
    """The layout above."""

    name = "yolo"
    description = (
        "a text for each image, beside it or in a folder named labels, with a line for each "
        "object: number of the class, center x, center y, width and height (for masks: x and y of "
        "each point of its outline) as fractions of the image; and a data.yaml with the names of "
        "the classes"
    )
    layout = """data.yaml               names: [cat, dog]
images/train/1.jpg
labels/train/1.txt      0 0.5 0.5 0.2 0.3
images/val/2.jpg
labels/val/2.txt"""
    detected = (
        "A text that belongs to an image, and has the number of a class and fractions on a line."
    )
    kept = (
        "Boxes or, for masks, outlines; names of classes of data.yaml, obj.names or "
        "classes.txt; splits by data.yaml, lists and folders; images whose text is empty."
    )
    dropped = "Scores behind boxes, key points, and boxes where masks are wanted."

    def __init__(self, *, outlines: bool = False) -> None:
        """Read boxes alone, or outlines too.

        Args:
            outlines: Texts without an outline are none of the format then.
        """
        self._outlines = outlines

    def detect(self, tree: Tree) -> str | None:
        """Say so if a text that belongs to an image has such lines."""
        images = Images(tree)
        looked_at = 0
        for path in _texts(tree):
            # Those of images that show nothing may come first, however many.
            if not tree.size(path) or not images.find(path).files:
                continue
            lines = [line for line in _sample(tree, path) if _is_label(line)]
            if lines and not self._outlines:
                return f"{path} has a number of a class and a box on a line"
            if any(map(_is_outline, lines)):
                said = f"{path} has a number of a class and an outline on a line"
                return None if _has_keypoints(tree, path) else said
            looked_at += 1
            if looked_at == _SAMPLE_FILES:
                break
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:  # noqa: ARG002
        """Read the text of every image; one set of texts if there are several."""
        images = Images(tree)
        chosen = _choose(tree, _match(tree, images, report), report, outlines=self._outlines)
        if not chosen:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There is no text that belongs to an image in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        configs = Configs(tree, report)
        config_of = {file: configs.of(label) for file, label in chosen.items()}
        draft_of = _read_all(tree, chosen, config_of, report, outlines=self._outlines)
        used = {config.path: config for config in config_of.values()}
        classes = _number_classes(draft_of, config_of, used, report)
        report.add("IMAGES_UNLABELED", unlabeled(tree, draft_of))
        listed = Splits(tree, images, report).listed(used.values(), chosen.values())
        by_folder = {file: split_of(file) or split_of(chosen[file]) for file in draft_of}
        splits = settle_splits(draft_of, listed, by_folder, report)
        return Reading(
            classes,
            [Record(file, draft_of[file], splits.get(file)) for file in sorted(draft_of)],
            unused_labels(classes, draft_of.values()),
            "" if self._outlines else boxes_derived(draft_of.values()),
        )


def _texts(tree: Tree) -> Iterator[str]:
    return (path for path in tree.files if suffix(path) == ".txt" and not is_name_file(path))


def _sample(tree: Tree, path: str) -> list[str]:
    """Return the lines at the start of a text."""
    with tree.open(path) as file:
        start = file.read(_SAMPLE_BYTES)
    lines = start.decode("utf-8-sig", errors="replace").splitlines()
    return lines[:-1] if len(start) == _SAMPLE_BYTES else lines


def _is_label(line: str) -> bool:
    """Whether a line is a class and a box or an outline, without a doubt."""
    number, *rest = line.split() or [""]
    shape = _shape(rest, keypoints=False)
    if shape is None or not _NUMBER.fullmatch(number):
        return False
    return max(map(abs, shape[0])) < _FARTHEST


def _has_keypoints(tree: Tree, label: str) -> bool:
    """Whether what looks like the outlines in a label file are points of a pose."""
    try:
        return Configs(tree, Report()).of(label).keypoints
    except InvalidInput:  # which is for `read` to say
        return False


def _is_outline(line: str) -> bool:
    """Whether a line of which `_is_label` is true is an outline."""
    return len(line.split()) > _BOX_AND_SCORE


def _match(tree: Tree, images: Images, report: Report) -> dict[str, list[str]]:
    """Return the label files of each image, most often one."""
    labels_of: dict[str, list[str]] = defaultdict(list)
    unsure: dict[str, list[str]] = defaultdict(list)
    alone = []
    for path in _texts(tree):
        if stem(path).lower() in _OTHER_TEXTS and not any(map(_is_label, _sample(tree, path))):
            continue
        match = images.find(path)
        for file in match.files:
            (labels_of if match.sure else unsure)[file].append(path)
        if not match.files:
            alone.append(path)
    for file, paths in unsure.items():
        if len(paths) == 1 and file not in labels_of:
            labels_of[file] = paths
        else:
            alone += paths
    report.add("LABELS_WITHOUT_IMAGE", sorted(path for path in alone if _looks_like(tree, path)))
    return labels_of


def _looks_like(tree: Tree, path: str) -> bool:
    """Whether a text without an image was meant as label file."""
    return (tree.size(path) == 0 and in_label_folder(path)) or any(
        map(_is_label, _sample(tree, path))
    )


def _choose(
    tree: Tree, labels_of: Mapping[str, list[str]], report: Report, *, outlines: bool
) -> dict[str, str]:
    """Return the label file of each image.

    Of several sets it is that of boxes, or that of outlines if they are wanted, or else the
    largest.
    """
    rivals = {file: labels for file, labels in labels_of.items() if len(labels) > 1}
    if not rivals:
        return {file: labels[0] for file, labels in labels_of.items()}
    roots: dict[str, list[str]] = defaultdict(list)
    for label in sorted({label for labels in labels_of.values() for label in labels}):
        roots[label_root(label)].append(label)
    rank = {
        root: (_has_outlines(tree, labels) != outlines, -len(labels), root)
        for root, labels in roots.items()
    }

    def best(labels: list[str]) -> str:
        return min(labels, key=lambda label: (rank[label_root(label)], label))

    lost: Counter[str] = Counter()
    for labels in rivals.values():
        lost.update({label_root(label) for label in labels} - {label_root(best(labels))})
    # Another set, and not just a few files that were left lying around.
    ignored = {root for root, count in lost.items() if 2 * count >= len(roots[root])}
    chosen = {}
    left = set(ignored)
    for file, labels in labels_of.items():
        kept = [label for label in labels if label_root(label) not in ignored]
        if kept:
            chosen[file] = best(kept)
            left |= {label for label in kept if label != chosen[file]}
    shown = [shorten(one or "the top folder") for one in sorted(ignored)] or ["a few places"]
    report.add("LABELS_IGNORED", sorted(left), folder=", ".join(shown[:3]))
    return chosen


def _has_outlines(tree: Tree, labels: list[str]) -> bool | None:
    """Whether most lines in a set of label files are outlines, not boxes; None without a line."""
    boxes = outlines = 0
    for label in [label for label in labels if tree.size(label)][:_SAMPLE_FILES]:
        for line in filter(_is_label, _sample(tree, label)):
            if _is_outline(line):
                outlines += 1
            else:
                boxes += 1
    return outlines >= boxes if outlines or boxes else None


def _read_all(
    tree: Tree,
    chosen: Mapping[str, str],
    config_of: Mapping[str, Config],
    report: Report,
    *,
    outlines: bool,
) -> dict[str, Draft]:
    """Return the objects of each image, labeled by the numbers in the files."""
    draft_of = {}
    object_count = byte_count = 0
    for file, label in sorted(chosen.items()):
        if tree.size(label) > _MAX_LABEL_BYTES:
            report.add("ANNOTATION_FILES_UNREADABLE", f"{label}: it has {tree.size(label)} bytes")
            continue
        draft = draft_of[file] = _read(tree, label, config_of[file], report, outlines=outlines)
        object_count += len(draft.objects)
        check_object_count(object_count, label)
        byte_count += sum(one.outline.byte_count for one in draft.objects if one.outline)
        check_outline_bytes(byte_count, label)
    return draft_of


def _read(tree: Tree, path: str, config: Config, report: Report, *, outlines: bool) -> Draft:
    draft = Draft(path, normalized=True)
    for number, line in enumerate(text_of(tree, path).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        whole = _NUMBER.fullmatch(fields[0])
        shape = _shape(fields[1:], keypoints=config.keypoints)
        if whole is None or shape is None:
            report.add("BOXES_UNREADABLE", f"{path}, line {number}: {line.strip()[:100]}")
            draft.dropped += 1
            continue
        label = int(whole[1])
        if label < 0 or (config.names and label not in config.names):
            report.add("BOXES_OF_UNKNOWN_CLASS", f"{path}, line {number}: class {label}")
            draft.dropped += 1
        else:
            box, points = shape
            outline = Outline((polygon(points),)) if outlines and points else None
            draft.objects.append(
                DraftObject(label, box, _where(number), outline=outline, boxed=not points)
            )
    return draft


def _shape(fields: list[str], *, keypoints: bool) -> tuple[Box, list[float]] | None:
    """Return the box that the numbers behind the class mean, and the outline, if it is one.

    None if they mean neither.
    """
    if keypoints:
        fields = fields[: _BOX - 1]
    try:
        numbers = [float(text) for text in fields]
    except ValueError:
        return None
    if len(numbers) in {_BOX - 1, _BOX_AND_SCORE - 1}:
        x, y, width, height = numbers[:4]
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), []
    if len(numbers) < 6 or len(numbers) % 2:
        return None
    across, down = numbers[0::2], numbers[1::2]
    return (min(across), min(down), max(across), max(down)), numbers


@lru_cache(maxsize=1024)
def _where(number: int) -> str:
    """Say which line of a file; the same text is kept once for all files."""
    return f"line {number}"


def _number_classes(
    draft_of: Mapping[str, Draft],
    config_of: Mapping[str, Config],
    used: Mapping[str, Config],
    report: Report,
) -> list[str]:
    """Return the classes, and replace the numbers in the files by their places among them."""
    seen: dict[str, set[int]] = defaultdict(set)
    for file, draft in draft_of.items():
        seen[config_of[file].path].update(one.label for one in draft.objects)
    index_of: dict[str, int] = {}
    labels: dict[str, dict[int, int]] = {}
    for path, config in sorted(used.items()):
        names = config.names
        if not names:
            names = {number: str(number) for number in sorted(seen[path])}
            report.add("CLASSES_GUESSED", names.values())
        count = Counter(names.values())
        report.add(
            "CATEGORY_NAMES_REPEATED",
            (f"{path}: {number}: {name}" for number, name in names.items() if count[name] > 1),
        )
        labels[path] = {n: index_of.setdefault(name, len(index_of)) for n, name in names.items()}
        check_class_count(len(index_of), path or "the label files")
    for file, draft in draft_of.items():
        for one in draft.objects:
            one.label = labels[config_of[file].path][one.label]
    return list(index_of)
