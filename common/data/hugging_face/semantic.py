"""Layouts of the hub in which a column has masks: the class of each pixel of an image.

The masks are read like those of other archives, as numbers, two values or colours. What names their
classes is a file such as `id2label.json`, if there is one. Without such a column, outlines of
objects are laid over each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats import Format, Reading, Record, class_tables, tables
from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.colour_masks import ColourMasks
from common.data.formats.flattening import has_masks
from common.data.formats.index_masks import IndexMasks
from common.data.formats.mask_files import MaskSet, Pair
from common.data.formats.mask_format import Choice, MaskFile, kind_of
from common.data.formats.mask_survey import Kind, survey
from common.data.formats.pictures import Flattened
from common.data.hugging_face import archive
from common.data.hugging_face.reader import HuggingFace
from common.errors import InvalidInput
from common.reasons import Reason

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.formats.mask_format import MaskFormat
    from common.data.hugging_face.archive import Archive
    from common.data.manifest import Subset
    from common.data.tree import Tree


class HuggingFaceMasks(Format):
    """The layouts above.

    Args:
        void_index: See `MaskFormat`.
    """

    name = HuggingFace.name
    description = f"{HuggingFace.description}; with a column of masks, such as mask_file_name"
    layout = HuggingFace.layout
    detected = HuggingFace.detected
    kept = HuggingFace.kept
    dropped = HuggingFace.dropped

    def __init__(self, void_index: int | None = None) -> None:
        self._flattened = Flattened(HuggingFace())
        self._by_kind: dict[Kind, MaskFormat] = {
            Kind.INDEX: IndexMasks(void_index),
            Kind.BINARY: BinaryMasks(void_index),
            Kind.COLOURS: ColourMasks(void_index),
        }
        self._void_index = void_index

    def detect(self, tree: Tree) -> str | None:
        """Say so if there are masks, and no other format reads them; or else outlines."""
        if not any(map(archive.is_candidate, tree.files)):
            return None
        for source in archive.of(tree).sources:
            if source.roles.mask is not None:
                found = f"{source.table.path} has the images and, as {source.roles.mask}, masks"
                return None if has_masks(tree) else found
        return self._flattened.detect(tree)

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Pair images and masks; the masks are decoded later, one by one."""
        found = archive.of(tree)
        if not any(source.roles.mask for source in found.sources):
            return self._flattened.read(tree, report, max_records=max_records)
        report.add("TABLES_IGNORED", found.ignored)
        masks, splits = _pairs(found, report, max_records)
        report.add("IMAGES_NOT_LISTED", _not_listed(tree, masks))
        look = survey(tree).look(tree, masks)
        if look.kind == Kind.OTHER:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"The pictures that {masks.name} has for masks, such as {masks.pairs[0].mask}, say "
                "no class of pixels, neither as numbers nor as two values or colours. Name another "
                "column as source.hugging_face.mask_column."
                if masks.pairs
                else f"{masks.name} has no image of the archive with a mask, which has "
                f"{tree.describe()}. Pack the images and masks together with it.",
            )
        colours = look.kind == Kind.COLOURS
        table = class_tables.find(tree, masks.folders, report, colours=colours, but={"metadata"})
        choice = Choice(masks, look, kind_of(look, table, self._void_index), table)
        classes, labeler = self._by_kind[choice.kind].classes(tree, choice, report)
        divided = "train" in splits.values() and len(set(splits.values()) - {None}) > 1
        return Reading(
            classes,
            [
                Record(
                    pair.image,
                    MaskFile(tree, pair.mask, labeler),
                    splits[pair.image] if divided else None,
                )
                for pair in masks.pairs
            ],
            # Whether a class occurs is only seen when the masks are decoded.
            frozenset(range(len(classes))),
        )


def _pairs(
    found: Archive, report: Report, max_records: int
) -> tuple[MaskSet, dict[str, Subset | None]]:
    """Return the images with their masks, and their splits."""
    mask_of: dict[str, str] = {}
    splits: dict[str, Subset | None] = {}
    broken = list(found.broken)
    name = found.sources[0].table.path
    for source in found.sources:
        table, known = source.table, source.roles
        columns = {one for one in (known.image, known.mask) if one}
        for row_number, row in archive.values(source, columns, broken):
            where = f"{table.path}, row {row_number}"
            image = table.file(row_number, known.image, row.get(known.image))
            if image is None:
                report.add("LISTED_FILES_MISSING", f"{where}: {row.get(known.image)}")
                continue
            mask = known.mask and table.file(row_number, known.mask, row.get(known.mask))
            if not mask:
                report.add("IMAGES_WITHOUT_MASK", f"{where}: {image}")
            elif mask_of.setdefault(image, mask) != mask:
                report.add("MASKS_REPEATED", f"{where}: {mask}")
            else:
                tables.check_row_count(len(mask_of), max_records, table.path)
                splits.setdefault(image, source.split)
    report.add("ANNOTATION_FILES_UNREADABLE", broken)
    pairs = [Pair(image, mask_of[image]) for image in sorted(mask_of)]
    return MaskSet(name, pairs), splits


def _not_listed(tree: Tree, masks: MaskSet) -> list[str]:
    listed = {path for pair in masks.pairs for path in pair}
    return [path for path in tree.images if path not in listed]
