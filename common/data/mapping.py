"""Classes renamed, merged and dropped, as the caller of an import says."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from common import names
from common.data.formats import MAX_CLASSES
from common.data.formats.tables import MAX_LABEL_LENGTH
from common.errors import InvalidInput
from common.reasons import Reason
from nocode.vision.v1 import dataset_pb2

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from common.data.findings import Report
    from common.task import Task

_FIELD = "label_mapping"
_SHOWN_CLASSES = 20


def check(mapping: Mapping[str, str]) -> None:
    """Find what is wrong with a mapping whatever the data is.

    Raises:
        InvalidInput: It is too long, names a class twice, or has a name that is too long.
    """
    if len(mapping) > MAX_CLASSES:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"{_FIELD} has {len(mapping)} entries; at most {MAX_CLASSES} are allowed, as a data "
            "set has no more classes.",
            field=_FIELD,
            value=len(mapping),
            maximum=MAX_CLASSES,
        )
    for name, times in Counter(map(_clean, mapping)).items():
        if times > 1 or not name:
            raise InvalidInput(
                Reason.FIELD_NOT_ALLOWED,
                f"{_FIELD} names the class {names.shorten(name)!r} {times} times, written with "
                "different spaces or accents. Name it once."
                if name
                else f"{_FIELD} has an entry without the name of a class. Remove it.",
                field=_FIELD,
                value=names.shorten(name),
            )
    for name in (_clean(new) for new in mapping.values()):
        if len(name) > MAX_LABEL_LENGTH:
            raise InvalidInput(
                Reason.FIELD_TOO_LONG,
                f"{_FIELD} has a new name of {len(name)} characters, {names.shorten(name)!r}; at "
                f"most {MAX_LABEL_LENGTH} are allowed.",
                field=_FIELD,
                length=len(name),
                maximum=MAX_LABEL_LENGTH,
            )


class LabelMapping:
    """What becomes of the classes of a data set, and of the annotations of its images.

    Args:
        wanted: New names of classes; those with an empty one are dropped.
        classes: As the data names them.
        unused: Indices of those that are named and no more.

    Attributes:
        classes: The new ones; each is at the place of the first that became it.
        unused: Indices of the new ones that are named and no more.

    Raises:
        InvalidInput: A class to be mapped is none of the data.
    """

    def __init__(
        self, wanted: Mapping[str, str], classes: Sequence[str], unused: Collection[int]
    ) -> None:
        new_names = {_clean(name): _clean(new) for name, new in wanted.items()}
        _check_known(new_names, classes)
        self._sources = classes
        self._targets = [new_names.get(name, name) for name in classes]
        self._named = {index for index, name in enumerate(classes) if name in new_names}
        self.classes = list(dict.fromkeys(target for target in self._targets if target))
        place = {name: index for index, name in enumerate(self.classes)}
        self._index_of = {
            index: place[target] for index, target in enumerate(self._targets) if target
        }
        used = {new for old, new in self._index_of.items() if old not in unused}
        self.unused = frozenset(range(len(self.classes))) - used
        self._images: Counter[int] = Counter()
        self._amounts: Counter[int] = Counter()

    def apply(
        self, task: Task, annotation: Mapping[str, Any], file: str, report: Report
    ) -> dict[str, Any] | None:
        """Return what is left of an image's annotation; None if the image must be left out."""
        shown = task.classes_of(annotation)
        for index, amount in shown.items():
            if index in self._named:
                self._images[index] += 1
                self._amounts[index] += amount
        made = task.renumber(annotation, self._index_of)
        if made is None:
            report.add("IMAGES_OF_DROPPED_CLASSES", file)
            return None
        left = task.classes_of(made)
        if shown and not left:
            report.add("IMAGES_WITHOUT_KEPT_CLASS", file)
        kept = sum(amount for index, amount in shown.items() if index in self._index_of)
        if kept > sum(left.values()):
            report.add("OBJECTS_MERGED", file, count=kept - sum(left.values()))
        return made

    def report(self, report: Report) -> None:
        """Say which classes became what."""
        for index in sorted(self._named):
            source, target = self._sources[index], self._targets[index]
            if not target:
                report.add("CLASSES_DROPPED", source)
            elif target != source:
                report.add("CLASSES_RENAMED", f"{source} → {target}")

    def mapped(self, counted: str) -> Iterator[dataset_pb2.MappedClass]:
        """Yield what became of each class that the mapping names, with how often it occurred.

        Args:
            counted: `Task.counted`.
        """
        for index in sorted(self._named):
            made = dataset_pb2.MappedClass(
                source=self._sources[index],
                target=self._targets[index],
                image_count=self._images[index],
            )
            setattr(made, counted, self._amounts[index])
            yield made


def _clean(name: str) -> str:
    """Return a name as formats read it."""
    return unicodedata.normalize("NFC", name.strip())


def _check_known(new_names: Mapping[str, str], classes: Sequence[str]) -> None:
    unknown = [name for name in new_names if name not in set(classes)]
    if not unknown:
        return
    known = ", ".join(names.shorten(name, 40) for name in classes[:_SHOWN_CLASSES])
    more = f" and {len(classes) - _SHOWN_CLASSES} more" if len(classes) > _SHOWN_CLASSES else ""
    raise InvalidInput(
        Reason.FIELD_NOT_A_CHOICE,
        f"{_FIELD} names {names.shorten(unknown[0])!r}"
        + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
        + f", which the data does not have as a class. Its classes are {known or 'none'}{more}.",
        field=_FIELD,
        value=names.shorten(unknown[0]),
    )
