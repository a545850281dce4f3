"""Finds the image that an annotation file means by a path or a name, and the split it says.

Annotation files seldom name images as they lie in the archive: they were written on another
machine, or beside the images before these were moved to a folder of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

from common.data.formats.image_folder import SUBSET_OF

if TYPE_CHECKING:
    from collections.abc import Iterable

    from common.data.manifest import Subset
    from common.data.tree import Tree

# The start of a path that cannot be one of the archive: of a disk, a server, or above the top.
_FOREIGN = re.compile(r"/|[a-zA-Z]:|[a-z0-9]+://|~")


class Finder:
    """Finds images of an archive by what annotation files call them."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
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
        candidates = self._named_like(wanted)
        if "/" in wanted:
            candidates = [
                path
                for path in candidates
                if path.endswith(f"/{wanted}") or path.rpartition(".")[0].endswith(f"/{wanted}")
            ]
        return candidates[0] if len(candidates) == 1 else None

    def nearest(self, source: str, written: str, split: Subset | None = None) -> str | None:
        r"""Return the path of the file that is meant; of several, the one nearest to `source`.

        One path has to be an end of the other; of a path that cannot be one of the archive, such
        as `C:\data\1.jpg` or a URL, the name alone is enough. Of several images, those in the
        innermost folder that `source` is in too are nearest, and of these, those in a folder named
        like the split.

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
        named = self._named_like(wanted)
        candidates = [path for path in named if _is_end(wanted, path, folder)]
        if not candidates and foreign:
            candidates = named
        return _only_nearest(candidates, folder, split)

    def _named_like(self, wanted: str) -> list[str]:
        name = wanted.rpartition("/")[2]
        return self._by_name.get(name) or self._by_stem.get(name, [])


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
    if "/" not in wanted:
        return True
    whole = f"/{wanted}"
    if f"/{path}".endswith(whole) or f"/{path.rpartition('.')[0]}".endswith(whole):
        return True
    # The archive may have been made inside of the folders that are written.
    inside = path.removeprefix(f"{folder}/") if folder else path
    return any(
        whole.endswith(f"/{end}") for end in (inside, path, inside.rpartition(".")[0]) if end
    )


def _only_nearest(candidates: list[str], folder: str, split: Subset | None) -> str | None:
    """Return the only one in the innermost folder around, or in a folder of the split there."""
    while len(candidates) > 1:
        near = [path for path in candidates if not folder or path.startswith(f"{folder}/")]
        if len(near) > 1 and split is not None:
            near = [path for path in near if split_in(path.rpartition("/")[0]) == split] or near
        if near or not folder:
            candidates = near
            break
        folder = folder.rpartition("/")[0]
    return candidates[0] if len(candidates) == 1 else None


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
