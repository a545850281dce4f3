"""Which of the attributes that people gave to images, or to objects, is the class.

Tools let people name attributes as they like, and do not say which one is the class.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first that there is, is the class.
_CLASS_NAMES = (
    *("class", "classes", "class_name", "classname", "label", "labels", "category", "categories"),
    *("category_name", "type", "name", "object", "object_name", "choice", "choices", "species"),
)
# More attributes than people would name are not counted: in memory, all names are held.
_MOST_NAMES = 10_000


@dataclass(slots=True)
class Attributes:
    """The names of attributes that have a value somewhere, and how often.

    Attributes:
        counts: By name.
        total: Of the objects, or images, that were counted, also of those without attributes.
        choices: Names of those of which one or several values are chosen from a list.
    """

    counts: Counter[str] = field(default_factory=Counter)
    total: int = 0
    choices: set[str] = field(default_factory=set)

    def add(self, names: Iterable[str]) -> None:
        """Count an object, or image, by its attributes that have a value."""
        self.total += 1
        for name in names:
            if name in self.counts or len(self.counts) < _MOST_NAMES:
                self.counts[name] += 1

    def of_class(self) -> Chosen | None:
        """Return the attribute that is the class: the one that is named so, or the likeliest."""
        name = self.named()
        if name is not None:
            return Chosen(name, guessed=False)
        names = self.choices & self.counts.keys() or set(self.counts)
        if not names:
            return None
        return Chosen(max(sorted(names), key=self.counts.__getitem__), guessed=True)

    def named(self) -> str | None:
        """Return the attribute whose name says that it is the class."""
        by_name: dict[str, str] = {}
        for name in sorted(self.counts):
            by_name.setdefault(name.strip().lower().replace(" ", "_").replace("-", "_"), name)
        return next((by_name[wanted] for wanted in _CLASS_NAMES if wanted in by_name), None)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An attribute.

    Attributes:
        name: As written.
        guessed: Its name does not say that it is the class.
    """

    name: str
    guessed: bool
