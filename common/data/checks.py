"""What is odd about a data set as a whole, once every image is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from common.data.manifest import SUBSETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from common.data.findings import Report
    from common.data.images import ImageInfo
    from common.data.manifest import Entry

LEAST_IMAGES_OF_A_CLASS = 3
"""One each to train, validate and test on."""

MOST_IMBALANCE = 10
"""A class this many times as large as the smallest is worth a finding."""


def check_image(file: str, info: ImageInfo, report: Report) -> None:
    """Report how an image is stored, where that is not plain RGB."""
    if info.orientation != 1:
        report.add("EXIF_ROTATED", file)
    if info.mode in {"1", "L", "LA"} or info.mode.startswith("I;16"):
        report.add("GREY_IMAGES", file)
    if info.has_alpha:
        report.add("ALPHA_IMAGES", file)
    if info.bits > 8:
        report.add("DEEP_IMAGES", file)
    if info.mode == "CMYK":
        report.add("CMYK_IMAGES", file)


def check_classes(
    classes: Sequence[str],
    shown: Sequence[Mapping[int, int]],
    entries: Sequence[Entry],
    report: Report,
) -> None:
    """Report classes that are too small, too unlike in size, alike in name, or not trained.

    Args:
        classes: Their names.
        shown: For each entry, the classes in it.
        entries: The images.
        report: Told.
    """
    count_of = Counter(index for indices in shown for index in indices)
    small = [index for index in range(len(classes)) if count_of[index] < LEAST_IMAGES_OF_A_CLASS]
    report.add(
        "CLASS_TOO_SMALL", (classes[index] for index in small), minimum=LEAST_IMAGES_OF_A_CLASS
    )
    by_count = [index for index, _ in count_of.most_common()]
    if len(by_count) > 1:
        largest, smallest = by_count[0], by_count[-1]
        ratio = count_of[largest] // count_of[smallest]
        if ratio >= MOST_IMBALANCE:
            report.add(
                "CLASS_IMBALANCE",
                (f"{classes[index]}: {count_of[index]}" for index in (largest, smallest)),
                count=1,
                ratio=ratio,
            )
    alike = defaultdict(list)
    for name in classes:
        alike["".join(name.casefold().split())].append(name)
    for group in alike.values():
        if len(group) > 1:
            report.add("CLASS_NAMES_ALIKE", group)
    if any(entry.split == "train" for entry in entries):
        trained = {
            index
            for entry, indices in zip(entries, shown, strict=True)
            # An image without a split may still become one to train on.
            if entry.split in {None, "train"}
            for index in indices
        }
        report.add(
            "CLASS_NOT_IN_TRAIN",
            (name for index, name in enumerate(classes) if index not in trained),
        )


def check_duplicates(
    entries: Sequence[Entry],
    classes_of: Callable[[Mapping[str, Any]], Iterable[int]],
    report: Report,
) -> None:
    """Report images that occur more than once, and what contradicts that they are the same.

    Copies must have the same annotation; images that look the same, the same classes.
    """
    groups: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.duplicate_group is not None:
            groups[entry.duplicate_group].append(entry)
    for group in groups.values():
        copies: dict[str, list[Entry]] = defaultdict(list)
        for entry in group:
            copies[entry.sha256].append(entry)
        for same in copies.values():
            report.add("EXACT_DUPLICATES", (entry.file for entry in same[1:]))
            if _differ(entry.annotation for entry in same):
                report.add("CONFLICTING_LABELS", (entry.file for entry in same))
        firsts = [same[0] for same in copies.values()]
        report.add("NEAR_DUPLICATES", (entry.file for entry in firsts[1:]))
        if _differ(set(classes_of(entry.annotation)) for entry in firsts):
            report.add("CONFLICTING_LABELS_NEAR", (entry.file for entry in firsts))
        splits = {entry.split for entry in group} - {None}
        if len(splits) > 1:
            first = min(splits, key=SUBSETS.index)  # train, if it is among them
            report.add(
                "DUPLICATES_ACROSS_SPLITS",
                (entry.file for entry in group if entry.split not in {None, first}),
            )


def _differ(values: Iterable[object]) -> bool:
    first, *others = values
    return any(value != first for value in others)


def check_sizes(entries: Sequence[Entry], report: Report) -> None:
    """Report that the images differ in size, and by how much."""
    sizes = Counter((entry.width, entry.height) for entry in entries)
    if len(sizes) > 1:
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        report.add(
            "MIXED_SIZES",
            (f"{width} × {height}: {count}" for (width, height), count in sizes.most_common(20)),
            count=len(sizes),
            smallest=f"{by_area[0][0]} × {by_area[0][1]}",
            largest=f"{by_area[-1][0]} × {by_area[-1][1]}",
        )
