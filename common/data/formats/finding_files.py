"""Finds the image that an annotation file means by a path or a name, and the split it says.

Annotation files seldom name images as they lie in the archive: they were written on another
machine, or beside the images before these were moved to a folder of their own.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from common.data.formats.image_folder import SUBSET_OF

if TYPE_CHECKING:
    from collections.abc import Iterable

    from common.data.manifest import Subset
    from common.data.tree import Tree

# The start of a path that cannot be one of the archive: of a disk, a server, or above the top.
_FOREIGN = re.compile(r"/|[a-zA-Z]:|[a-z0-9]+://|~")
# Of more images with the same name, each is not looked at for each path: the frames of a thousand
# films may all begin at 0001.jpg.
_MOST_ALIKE = 64


class Finder:
    """Finds images of an archive by what annotation files call them."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        # By name, if many have it: their paths from end to start, and as they are.
        self._turned: dict[str, list[tuple[str, str]]] = {}
        for path in tree.images:
            name = path.rpartition("/")[2]
            self._by_name[name].append(path)
            self._by_stem[name.rpartition(".")[0]].append(path)

    def find(self, source: str, written: str) -> str | None:
        """Return the path of the only file that is meant, if there is one.

        It is meant by its path from the folder of `source` or from the top of the archive, by the
        end of its path, or by its name with or without the suffix.

        Args:
            source: Path of the annotation file.
            written: What it calls the image.
        """
        wanted = _parts(written)
        if not wanted:
            return None
        folder = source.rpartition("/")[0]
        for path in (f"{folder}/{wanted}", wanted):
            if path in self._tree:
                return path
        candidates = self._ending_in(wanted)
        return candidates[0] if len(candidates) == 1 else None

    def nearest(self, source: str, written: str, split: Subset | None = None) -> str | None:
        r"""Return the path of the file that is meant; of several, the one nearest to `source`.

        One path has to be an end of the other; of a path that cannot be one of the archive, such
        as `C:\data\1.jpg` or a URL, the name alone is enough. Of several images, those in the
        innermost folder that `source` is in too are nearest, of these those in a folder named like
        the split, and then the one in the folder around those of all others.

        Args:
            source: Path of the annotation file.
            written: What it calls the image.
            split: That of the annotation file.
        """
        folder = source.rpartition("/")[0]
        wanted = _parts(written)
        foreign = bool(_FOREIGN.match(written.strip()))
        if not foreign and ".." in wanted.split("/"):
            resolved = _resolve(folder, wanted)
            if resolved is not None and resolved in self._tree:
                return resolved
            foreign = True
        if not wanted:
            return None
        if not foreign:
            for path in (f"{folder}/{wanted}" if folder else wanted, wanted):
                if path in self._tree:
                    return path
        near = _of_split(self._nearest(wanted, folder), split)
        if not near and foreign:
            near = _of_split(self._nearest(wanted.rpartition("/")[2], folder), split)
        if len(near) == 1:
            return near[0]
        whole = not foreign and all(_ends_in(path, wanted) for path in near)
        return _around_others(near) if whole else None

    def _nearest(self, wanted: str, folder: str) -> list[str]:
        """Return the images that may be meant, those in the innermost folder that has any.

        Of too many to be told apart, it is only some.
        """
        named = self._named_like(wanted)
        around = folder
        while True:
            near = inside = named[_below(around, named)]
            if "/" in wanted and len(inside) <= _MOST_ALIKE:
                near = [path for path in inside if _is_end(wanted, path, folder)]
            elif "/" in wanted:
                near = self._ending_in(wanted) + self._packed_inside(wanted, folder)
                if around and len(near) <= _MOST_ALIKE:
                    near = [path for path in near if path.startswith(f"{around}/")]
            if near or not around:
                return near
            around = around.rpartition("/")[0]

    def _named_like(self, wanted: str) -> list[str]:
        """Return the images with the name that a path ends in, in the order of their paths."""
        name = wanted.rpartition("/")[2]
        return self._by_name.get(name) or self._by_stem.get(name, [])

    def _ending_in(self, wanted: str) -> list[str]:
        """Return the images whose path, with or without its suffix, ends in this one.

        Of too many to be told apart, it is only some.
        """
        named = self._named_like(wanted)
        if "/" not in wanted:
            return named[: _MOST_ALIKE + 1]
        name = wanted.rpartition("/")[2]
        if len(named) <= _MOST_ALIKE:
            return [path for path in named if _ends_in(path, wanted)]
        if name not in self._turned:
            whole = name in self._by_name
            turned = ((_turn(path if whole else _bare(path)), path) for path in named)
            self._turned[name] = sorted(turned)
        start = _turn(wanted)
        first = bisect_left(self._turned[name], (start,))
        last = bisect_left(self._turned[name], (f"{start[:-1]}0",))
        return [path for _, path in self._turned[name][first : min(last, first + _MOST_ALIKE + 1)]]

    def _packed_inside(self, wanted: str, folder: str) -> list[str]:
        """Return the images that are called so if the archive was made inside of these folders."""
        parts = wanted.split("/")
        ends = ["/".join(parts[start:]) for start in range(1, len(parts))]
        paths = {*ends, *(f"{folder}/{end}" for end in ends if folder)}
        return sorted(path for path in paths if path in self._tree)


def _below(folder: str, paths: list[str]) -> slice:
    """Return where the paths in a folder are, among others in their order, or the first of them."""
    first, last = 0, len(paths)
    if folder:
        # In the order of characters, `0` is the next one behind the slash.
        first, last = bisect_left(paths, f"{folder}/"), bisect_left(paths, f"{folder}0")
    return slice(first, min(last, first + _MOST_ALIKE + 1))


def _turn(path: str) -> str:
    """Return a path from its end to its start, so that those with the same end sort together."""
    return "/".join(reversed(path.split("/"))) + "/"


def _bare(path: str) -> str:
    return path.rpartition(".")[0]


def _parts(written: str) -> str:
    """Return a path with slashes, without empty parts and those that say `here`."""
    wanted = unicodedata.normalize("NFC", written.strip().replace("\\", "/"))
    return "/".join(part for part in wanted.split("/") if part not in {"", "."})


def _resolve(folder: str, wanted: str) -> str | None:
    """Return where a path with `..` in it leads; None if that is outside of the archive."""
    parts = folder.split("/") if folder else []
    for part in wanted.split("/"):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)


def _is_end(wanted: str, path: str, folder: str) -> bool:
    """Whether one of the two paths, the archive's with or without its suffix, ends in the other."""
    if _ends_in(path, wanted):
        return True
    # The archive may have been made inside of the folders that are written.
    inside = path.removeprefix(f"{folder}/") if folder else path
    return any(f"/{wanted}".endswith(f"/{end}") for end in (inside, path, _bare(inside)) if end)


def _ends_in(path: str, wanted: str) -> bool:
    """Whether a path, with or without its suffix, is the wanted one with folders around."""
    return f"/{path}".endswith(f"/{wanted}") or f"/{_bare(path)}".endswith(f"/{wanted}")


def _of_split(near: list[str], split: Subset | None) -> list[str]:
    """Return those in folders of the split, if there are any."""
    if split is None or not 1 < len(near) <= _MOST_ALIKE:
        return near
    return [path for path in near if split_in(path.rpartition("/")[0]) == split] or near


def _around_others(near: list[str]) -> str | None:
    """Return the one that lies in a folder around those of all others.

    Programs write paths from such a folder, so that for others they would have written more.
    """
    if not 1 <= len(near) <= _MOST_ALIKE:
        return None
    first, *others = sorted(near, key=lambda path: path.count("/"))
    folder = first.rpartition("/")[0]
    around = f"{folder}/" if folder else ""
    deeper = all(o.startswith(around) and o.rpartition("/")[0] != folder for o in others)
    return first if deeper else None


def split_in(path: str) -> Subset | None:
    """Return the split that a name in a path says, the innermost that says one.

    A name says a split by a word, such as `instances_val2017.json` or `Train`; one that says two,
    such as `train_and_test`, says none.
    """
    for name in reversed(path.lower().split("/")):
        said = {SUBSET_OF[word] for word in re.findall(r"[^\W\d_]+", name) if word in SUBSET_OF}
        if said:
            return said.pop() if len(said) == 1 else None
    return None


def splits_by_folder(files: Iterable[str]) -> dict[str, Subset]:
    """Return the split of each file, if all lie in folders named so, some in one for train."""
    split_of = {}
    for file in files:
        named = [SUBSET_OF[name] for name in file.lower().split("/")[:-1] if name in SUBSET_OF]
        if not named:
            return {}
        split_of[file] = named[-1]
    found = set(split_of.values())
    return split_of if "train" in found and len(found) > 1 else {}
