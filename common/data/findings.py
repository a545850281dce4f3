"""What can be noticed about data sets and jobs: one table of stable ids, and a report.

An id may be added; one is never given another meaning. The ids of files that are no usable image
are those of `common.data.images.ImageError`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.data.tool_findings import TOOL_FINDINGS
from common.masks.findings import MASK_FINDINGS
from common.objects.findings import OBJECT_FINDINGS
from nocode.vision.v1 import finding_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

INFO = finding_pb2.Finding.SEVERITY_INFO
WARNING = finding_pb2.Finding.SEVERITY_WARNING
ERROR = finding_pb2.Finding.SEVERITY_ERROR

MAX_EXAMPLES = 20
_MAX_EXAMPLE_LENGTH = 300

# Id: severity, and a message for a person, in which the values given to `Report.add` are filled in.
# How many and which files are meant is said by the finding's count and examples.
_OWN: dict[str, tuple[finding_pb2.Finding.Severity.ValueType, str]] = {
    # Something was left out.
    "IMAGE_EMPTY_FILE": (ERROR, "Image files without a byte were left out. Upload them again."),
    "IMAGE_NOT_AN_IMAGE": (
        ERROR,
        "Files among the images that are no image of a known kind (JPEG, PNG, WebP, BMP, GIF, "
        "TIFF) were left out. Convert or remove them.",
    ),
    "IMAGE_UNDECODABLE": (
        ERROR,
        "Damaged images were left out. Open them in an image program and save them anew, or "
        "remove them.",
    ),
    "IMAGE_TRUNCATED": (
        ERROR,
        "Images that end before their last pixel were left out. Copy them anew from where they "
        "came from.",
    ),
    "IMAGE_TOO_LARGE": (
        ERROR,
        "Images of more than {max_pixels} pixels were left out. Make them smaller.",
    ),
    "IMAGES_WITHOUT_LABEL": (
        ERROR,
        "Images outside the class folders were left out. Move each into the folder of its class.",
    ),
    "IMAGES_NOT_LISTED": (
        ERROR,
        "Images that no table or annotation file lists were left out. Add them to it, or remove "
        "them.",
    ),
    "LISTED_FILES_MISSING": (
        ERROR,
        "Rows and entries that name no file of the archive, or more than one, were left out. "
        "Correct the names, or add the files.",
    ),
    "ROWS_WITHOUT_LABEL": (ERROR, "Rows without a label were left out. Fill it in."),
    "CLASSES_WITHOUT_IMAGES": (
        ERROR,
        "Classes without a usable image were left out. Repair their images, or add some.",
    ),
    "OBJECT_LISTS_DIFFER": (
        ERROR,
        "Rows whose lists of boxes, classes and outlines have different lengths were read without "
        "objects, since it cannot be told what belongs together. Correct them.",
    ),
    "LABELS_OUTSIDE_CLASSES": (
        ERROR,
        "Numbers of classes that the features do not name were not read. Correct them, or name "
        "all classes.",
    ),
    # Something looks wrong.
    "NOT_EXPORTED": (
        WARNING,
        "The format {format} has no place for these, so that they are not in the export.",
    ),
    "CONFLICTING_LABELS": (
        WARNING,
        "The same image occurs more than once with other labels, so that no model can be right on "
        "all of them. Keep it with the true ones only.",
    ),
    "CONFLICTING_LABELS_NEAR": (
        WARNING,
        "Images look the same as another that has other labels. Check them.",
    ),
    "DUPLICATES_ACROSS_SPLITS": (
        WARNING,
        "Images of one given split are also, or nearly, in another, so that results will look "
        "better than they are. Keep each in one split only.",
    ),
    "CLASS_TOO_SMALL": (
        WARNING,
        "Classes with fewer than {minimum} images cannot be trained, validated and tested. Add "
        "images of them.",
    ),
    "CLASS_NOT_IN_TRAIN": (
        WARNING,
        "Classes without an image to train on cannot be learned. Add images of them, or move some "
        "to the train split.",
    ),
    "CLASS_NOT_IN_TEST": (
        WARNING,
        "Classes without an image to test on cannot be measured. Add images of them.",
    ),
    "GROUPS_ACROSS_SPLITS": (
        WARNING,
        "Images of one given split belong to the same group as images of another, so that results "
        "will look better than they are. Keep each group in one split only.",
    ),
    "CLASS_NAMES_ALIKE": (
        WARNING,
        "Classes have names that differ only in capitals or spaces. If they mean the same, name "
        "them the same.",
    ),
    "CLASS_IMBALANCE": (
        WARNING,
        "The largest class has {ratio} times the images of the smallest, which will be recognized "
        "less well. Add images of rare classes.",
    ),
    "EXACT_DUPLICATES": (
        WARNING,
        "Images are byte for byte the same as another. Unless the data brings its own split, "
        "copies stay on one side; remove them to save time.",
    ),
    "NEAR_DUPLICATES": (
        WARNING,
        "Images look the same as another, e.g. resized or saved anew. Unless the data brings its "
        "own split, copies stay on one side; remove them if they add nothing.",
    ),
    "EMPTY_FOLDERS": (WARNING, "Folders are empty. Add the images that are missing."),
    "NESTED_ARCHIVES": (
        WARNING,
        "Archives inside the archive were not opened. If they hold data, unpack them first.",
    ),
    "IMAGES_OF_UNKNOWN_CLASSES": (
        WARNING,
        "Images of classes that the model does not know were left out. To measure them, train a "
        "model with these classes.",
    ),
    "IMAGES_TRAINED_ON": (
        WARNING,
        "The model was trained on these very images, so that results look better than they will "
        "be on new ones. Evaluate on the test subset, or on other images.",
    ),
    "IMAGES_MAYBE_TRAINED_ON": (
        WARNING,
        "The model may have been trained on these very images, so that results may look better "
        "than they will be on new ones: what it was trained on is not known any more, since "
        "{deleted} was deleted. Evaluate on images that you know to be new to it.",
    ),
    "TRAINED_FROM_SCRATCH": (
        WARNING,
        "Training started from random weights. {why} From published weights, fewer images are "
        "enough.",
    ),
    "IMAGES_NOT_CACHED": (
        WARNING,
        "There is no disk space to keep the resized images, so they are decoded again in every "
        "epoch, which is slow. Free disk space, or have the operator raise "
        "NOCODE_IMAGE_CACHE_BYTES.",
    ),
    "BOX_FORMAT_UNCLEAR": (
        WARNING,
        "Nothing says how boxes are written, and they fit in their images in more than one way, of "
        "which one was taken. Check some of them; if it is another, name it as "
        "source.hugging_face.box_format.",
    ),
    # Good to know.
    "PRECISION_CHOSEN": (INFO, "Trains in {precision}: {why}."),
    "MORE_EPOCHS": (
        INFO,
        "Trains for {epoch_count} epochs instead of {recipe_epoch_count}, since an epoch of "
        "{image_count} images has only {step_count} steps. To decide yourself, set "
        "training_config.epoch_count.",
    ),
    "SPLIT_SHARES_MISSED": (
        INFO,
        "The shares of train, val and test are {shares} instead of {fractions}, so that small "
        "classes are on as many sides as they can be and images that belong together stay so.",
    ),
    "CLASS_NOT_IN_VAL": (
        INFO,
        "Classes without a validation image have no say in which epoch is kept. Add images of "
        "them.",
    ),
    "IMAGES_VALIDATED_ON": (
        INFO,
        "The model's best epoch was chosen by these very images, so that results may look slightly "
        "better than they will be on new ones.",
    ),
    "GROUP_UNKNOWN": (
        INFO,
        "Images to which group_by gives no group were divided one by one.",
    ),
    "ROWS_REPEATED": (INFO, "Rows that repeat an earlier one were left out."),
    "TABLES_IGNORED": (INFO, "Tables without the columns that the format needs were not read."),
    "FOLDERS_IGNORED": (
        INFO,
        "Folders beside the class folders have no image in them, so they were not read.",
    ),
    "CLASSES_RENAMED": (INFO, "Classes were renamed or merged, as label_mapping says."),
    "CLASSES_DROPPED": (INFO, "Classes were dropped, as label_mapping says."),
    "IMAGES_OF_DROPPED_CLASSES": (
        INFO,
        "Images of which nothing but dropped classes is said were left out.",
    ),
    "IMAGES_WITHOUT_KEPT_CLASS": (
        INFO,
        "Images show objects of dropped classes only. They stay, as images that show no object.",
    ),
    "OBJECTS_MERGED": (
        INFO,
        "Objects that only their class told apart from another, whose class became the same, were "
        "left out.",
    ),
    "BOX_FORMAT_FOUND": (
        INFO,
        "Nothing says how boxes are written. They were read in the way in which they fit in their "
        "images.",
    ),
    "COLUMNS_CHOSEN": (
        INFO,
        "More columns than one could be meant. To read another, name it in source.hugging_face.",
    ),
    "COLUMNS_NOT_KEPT": (
        INFO,
        "Columns with texts of more than {maximum} characters were not kept for group_by where "
        "they are longer.",
    ),
    "EXIF_ROTATED": (
        INFO,
        "Images are stored turned or mirrored, with a note (EXIF) of how to show them. They are "
        "turned upright whenever they are read.",
    ),
    "GREY_IMAGES": (INFO, "Grey images are read with three equal channels."),
    "ALPHA_IMAGES": (INFO, "Images have transparency. It is read as white."),
    "DEEP_IMAGES": (INFO, "Images have more than 8 bits a channel. The upper 8 are read."),
    "CMYK_IMAGES": (INFO, "Images have the colours of print (CMYK). They are read as RGB."),
    "MIXED_SIZES": (
        INFO,
        "The images have different sizes, from {smallest} to {largest} pixels. They are resized "
        "to one size to train.",
    ),
}
FINDINGS = _OWN | OBJECT_FINDINGS | MASK_FINDINGS | TOOL_FINDINGS


@dataclass(slots=True)
class _Noticed:
    count: int = 0
    examples: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)


class Report:
    """Collects findings; memory does not grow with the number of files."""

    def __init__(self) -> None:
        self._noticed: dict[str, _Noticed] = {}

    def add(
        self,
        finding_id: str,
        examples: str | Iterable[str],
        *,
        count: int | None = None,
        **values: object,
    ) -> None:
        """Add one file, class or object, or several, to what was noticed under `finding_id`.

        Args:
            finding_id: A key of `FINDINGS`.
            examples: The first of all that are added are kept.
            count: How many are added; by default, as many as there are examples.
            **values: For the message.

        Raises:
            KeyError: The table has no such finding.
        """
        if finding_id not in FINDINGS:
            raise KeyError(finding_id)
        noticed = self._noticed.setdefault(finding_id, _Noticed())
        added = 0
        for example in [examples] if isinstance(examples, str) else examples:
            added += 1
            if len(noticed.examples) < MAX_EXAMPLES:
                # Half a character, as JSON allows, cannot be sent.
                shown = example[:_MAX_EXAMPLE_LENGTH].encode(errors="replace").decode()
                noticed.examples.append(shown)
        noticed.count += added if count is None else count
        noticed.values.update(values)

    def findings(self) -> list[finding_pb2.Finding]:
        """Return what was noticed, most severe first, in the order of the table."""
        found = [
            finding_pb2.Finding(
                id=finding_id,
                severity=severity,
                count=noticed.count,
                message=template.format(**noticed.values),
                examples=noticed.examples,
            )
            for finding_id, (severity, template) in FINDINGS.items()
            if (noticed := self._noticed.get(finding_id)) and noticed.count
        ]
        return sorted(found, key=operator.attrgetter("severity"), reverse=True)
