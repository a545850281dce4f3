"""What can be noticed about the exports of labelling tools: a part of the table of findings.

`common.data.findings` says how the table is read; it has these ids too.
"""

from __future__ import annotations

from nocode.vision.v1 import finding_pb2

_INFO = finding_pb2.Finding.SEVERITY_INFO
_WARNING = finding_pb2.Finding.SEVERITY_WARNING
_ERROR = finding_pb2.Finding.SEVERITY_ERROR

TOOL_FINDINGS: dict[str, tuple[finding_pb2.Finding.Severity.ValueType, str]] = {
    # Something was left out.
    "IMAGES_WITHOUT_TAG": (
        _ERROR,
        "Images without a class of the whole image were left out. Give each image one.",
    ),
    "IMAGES_OF_SEVERAL_TAGS": (
        _ERROR,
        "Images with more than one class of the whole image were left out, since they can be of "
        "one only. Take away the others, or leave out these classes.",
    ),
    "SHAPES_WITHOUT_CLASS": (
        _ERROR,
        "Boxes, outlines and tags without a class, or with one of more than 200 characters, were "
        "left out. Give each one.",
    ),
    "SHAPES_UNUSABLE": (
        _ERROR,
        "Points, lines and other shapes that have no area were left out. Draw a box or an outline "
        "around each object.",
    ),
    "SHAPES_ON_TURNED_IMAGES": (
        _ERROR,
        "Shapes that were drawn while their image was shown turned were left out, since nothing "
        "says where they are in the image itself. Turn it back in the tool, and export anew.",
    ),
    # Something looks wrong.
    "BOXES_AROUND_TURNED": (
        _WARNING,
        "Boxes that are drawn turned were replaced by upright ones around them, which are larger. "
        "If that matters, outline the objects, and use them for instance segmentation.",
    ),
    "CLASS_ATTRIBUTE_GUESSED": (
        _WARNING,
        "Nothing says which attribute is the class, so that these were taken. If another is meant, "
        "call it class.",
    ),
    "ANNOTATIONS_NOT_CHOSEN": (
        _WARNING,
        "Images have more than one annotation. The one that is marked as the truth was read, or "
        "else the newest; the others were not. Mark or remove those that decide.",
    ),
    "SHAPES_OF_SEVERAL_CLASSES": (
        _WARNING,
        "Shapes with more than one class became an object of each. If they are of one only, take "
        "away the others.",
    ),
    # Good to know.
    "BOXES_AROUND_OUTLINES": (
        _INFO,
        "Objects are outlined, so that their boxes are those around their outlines.",
    ),
    "TAGS_NOT_READ": (
        _INFO,
        "Classes of whole images were not read, since the task is about objects or pixels.",
    ),
    "SHAPES_NOT_READ": (
        _INFO,
        "Boxes and outlines were not read, since the task is about whole images.",
    ),
    "SHAPES_JOINED": (
        _INFO,
        "Outlines of the same group and class in an image were read as parts of one object.",
    ),
    "IMAGES_EMBEDDED": (
        _INFO,
        "Images that are not in the archive were taken out of their annotation files.",
    ),
    "ATTRIBUTES_NOT_READ": (_INFO, "Attributes of objects were not read."),
    "PREDICTIONS_NOT_READ": (
        _INFO,
        "What models predicted was not read, only what people labeled.",
    ),
    "LABELS_UNVERIFIED": (
        _INFO,
        "Classes of images that a model gave and nobody has verified were not read.",
    ),
    "LABELS_ABSENT": (_INFO, "Classes that images are said not to show were not read."),
}
