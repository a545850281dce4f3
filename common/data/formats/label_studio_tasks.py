"""Tasks as Label Studio exports them, each with the annotation that counts.

JSON        [{"id": 1, "data": {"image": "/data/upload/1/9a8b7c6d-1.jpg"}, "annotations": [
              {"result": [{"id": "x1", "type": "rectanglelabels", "from_name": "label",
                "original_width": 640, "original_height": 480, "value": {"x": 10, "y": 20,
                "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}}, …],
               "was_cancelled": false, "ground_truth": false, "created_at": "…"}],
             "predictions": []}, …]
JSON-MIN    [{"id": 1, "image": "/data/upload/1/9a8b7c6d-1.jpg", "annotation_id": 7,
              "label": [{"x": 10, …, "rectanglelabels": ["cat"], "original_width": 640}, …],
              "choice": "cat", "updated_at": "…"}, …]
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from common.data.tree import IMAGE_SUFFIXES, suffix
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.tree import Tree

_START_BYTES = MIB // 16
# What Label Studio writes into tasks, in one form or the other; two of these are enough.
_WORDS = (
    *("from_name", "was_cancelled", "completed_by", "lead_time", "annotator", "annotation_id"),
    *("completions", "original_width", "ground_truth", "inner_id", "total_annotations"),
)
# Of a task in JSON-MIN, besides its data and its labels.
_RESERVED = {
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"),
    *("history", "completed_by"),
}
_IMAGE_KEYS = ("image", "img", "image_url", "image_path", "picture", "photo", "url", "file")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
_MOST_LETTERS = 200

Result = dict[str, Any]


@dataclass(slots=True)
class Task:
    """Something that was to be labeled.

    Attributes:
        where: For a person.
        key: Its id, of JSON-MIN, where each annotation is a task.
        pages: For each image, what it may be called, likeliest first; most tasks have one image.
        results: Of the annotation that counts; None if nobody has labeled the task.
        order: The greater, the newer the annotation is.
        unread: Annotations besides that one.
        predicted: Whether there are predictions of models.
        columns: Further data of the task.
    """

    where: str
    key: int | str | None
    pages: list[list[str]]
    results: list[Result] | None
    order: str = ""
    unread: int = 0
    predicted: bool = False
    columns: dict[str, str] = field(default_factory=dict)


def is_export(tree: Tree, path: str) -> bool:
    """Tell by how a file begins whether it is one of Label Studio's."""
    if suffix(path) != ".json":
        return False
    with tree.open(path) as file:
        start = file.read(_START_BYTES).replace(b"\0", b"")  # of UTF-16
    if start.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] != b"[":
        return False
    return sum(f'"{word}"'.encode() in start for word in _WORDS) >= 2


def task_of(value: Any, number: str) -> Task:
    """Return a task of either form; one that is none has no image and no annotation.

    Args:
        value: The element of the file.
        number: Which it is.
    """
    if not isinstance(value, dict):
        return Task(f"task {number}", None, [], None)
    key = value.get("id")
    if isinstance(key, bool) or not isinstance(key, int | str):
        key = None
    where = f"task {number if key is None else str(key)[:40]}"
    data = value.get("data")
    if not isinstance(data, dict):
        return _minimal(value, where, key)
    annotations = value.get("annotations", value.get("completions"))
    usable = [one for one in _dicts(annotations) if _counts(one)]
    chosen = max(usable, key=_rank, default=None)
    pages, columns = _pages(data)
    uploaded = value.get("file_upload")
    if isinstance(uploaded, str):
        pages = [[*page, uploaded] for page in pages] if len(pages) == 1 else pages or [[uploaded]]
    return Task(
        where,
        None,
        pages,
        _dicts(chosen["result"]) if chosen else None,
        unread=max(0, len(usable) - 1),
        predicted=bool(value.get("predictions")),
        columns=columns,
    )


def names_of(written: str) -> Iterator[str]:
    """Yield what a file may be called in the archive, likeliest first.

    Label Studio gives the place where it found the image: an upload, to the name of which it added
    eight letters; a folder of its own machine; or a storage, perhaps as a signed URL.
    """
    text = written.strip()
    query = text.partition("?")[2]
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "d":
            text = f"/{unquote(value)}"  # of another machine
        elif name == "fileuri":
            text = _decoded(value) or text
    url = "://" in text or text.startswith("/")
    bare = re.split(r"[?#]", text, maxsplit=1)[0] if url else text
    for path in dict.fromkeys((bare, unquote(bare))):
        folder, slash, name = path.rpartition("/")
        yield path
        if _UPLOADED.match(name):
            yield folder + slash + _UPLOADED.sub("", name, count=1)


def texts_of(value: Any) -> list[str]:
    """Return what is chosen or written: of choices, a taxonomy, a text or a number."""
    if isinstance(value, dict):
        wanted = ("choices", "taxonomy", "text", "rating", "number", "datetime")
        value = next((value[name] for name in wanted if name in value), None)
    if isinstance(value, str):
        value = [value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [str(value)]
    if not isinstance(value, list):
        return []
    # Of a taxonomy each is the way to it from above.
    texts = [
        "/".join(one) if isinstance(one, list) and all(isinstance(p, str) for p in one) else one
        for one in value
    ]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]


def labels_of(value: dict[str, Any]) -> list[str]:
    """Return the classes of a region."""
    return [
        label
        for key, labels in value.items()
        if key.endswith("labels") and isinstance(labels, list)
        for label in labels
        if isinstance(label, str)
    ]


def _dicts(value: Any) -> list[Result]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _counts(annotation: Result) -> bool:
    cancelled = annotation.get("was_cancelled") or annotation.get("skipped")
    return not cancelled and isinstance(annotation.get("result"), list)


def _rank(annotation: Result) -> tuple[bool, str]:
    return bool(annotation.get("ground_truth")), _order(annotation)


def _order(value: Result) -> str:
    return str(value.get("updated_at") or value.get("created_at") or "")


def _minimal(value: Result, where: str, key: int | str | None) -> Task:
    results: list[Result] = []
    rest: Result = {}
    for name, said in value.items():
        if name in _RESERVED:
            continue
        dicts = [said] if isinstance(said, dict) else _dicts(said)
        if not dicts:
            rest[name] = said
        results += [{**one, "value": one, "id": None, "from_name": name} for one in dicts]
    pages, columns = _pages(rest)
    known = {"annotation_id", "annotator", "lead_time"} & value.keys()
    # A choice of one is written like data; which it is, is seen over all tasks.
    plain = [
        {"value": {"choices": [text]}, "id": None, "from_name": name, "plain": True}
        for name, text in columns.items()
    ]
    labeled = bool(results or known)
    return Task(where, key, pages, results + plain if labeled else None, order=_order(value))


def _pages(data: Result) -> tuple[list[list[str]], dict[str, str]]:
    """Return what the images of a task may be called, and its further data."""
    texts = {name: text for name, text in data.items() if isinstance(text, str) and text}
    named = [name for name in _IMAGE_KEYS if name in texts]
    like_images = [
        name
        for name, text in texts.items()
        if name not in named and any(suffix(path) in IMAGE_SUFFIXES for path in names_of(text))
    ]
    used = named + like_images
    columns = {
        name: str(said)
        for name, said in data.items()
        if name not in used
        and isinstance(said, str | int | float)
        and not isinstance(said, bool)
        and 0 < len(str(said)) <= _MOST_LETTERS
    }
    if used:
        return [[texts[name] for name in used]], columns
    for said in data.values():
        if isinstance(said, list) and said and all(isinstance(one, str) for one in said):
            return [[one] for one in said], columns
    return [], columns


def _decoded(value: str) -> str | None:
    text = unquote(value)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
