"""What can be noticed about objects and the files that label them: a part of the table of findings.

`common.data.findings` says how the table is read; it has these ids too.
"""

from __future__ import annotations

from nocode.vision.v1 import finding_pb2

_INFO = finding_pb2.Finding.SEVERITY_INFO
_WARNING = finding_pb2.Finding.SEVERITY_WARNING
_ERROR = finding_pb2.Finding.SEVERITY_ERROR

OBJECT_FINDINGS: dict[str, tuple[finding_pb2.Finding.Severity.ValueType, str]] = {
    # Something was left out.
    "ANNOTATION_FILES_UNREADABLE": (
        _ERROR,
        "Annotation files that cannot be read were left out, with all that they label. Save them "
        "anew.",
    ),
    "IMAGES_UNLABELED": (
        _ERROR,
        "Images without an annotation file were left out, since they are not the same as images "
        "that show no object. Label them; for those that show none, add an empty file.",
    ),
    "IMAGE_IDS_REPEATED": (
        _ERROR,
        "Images that share their id with another were left out, since it cannot be told whose "
        "objects are whose. Give each image an id of its own.",
    ),
    "LABELS_WITHOUT_IMAGE": (
        _ERROR,
        "Annotation files without an image were left out. Add the images, or remove the files.",
    ),
    "ANNOTATIONS_WITHOUT_IMAGE": (
        _ERROR,
        "Objects of images that their file does not list were left out. List the images, or remove "
        "the objects.",
    ),
    "BOXES_UNREADABLE": (
        _ERROR,
        "Boxes that are incomplete, or no numbers, were left out. Correct them.",
    ),
    "BOXES_OF_UNKNOWN_CLASS": (
        _ERROR,
        "Boxes of a class that is not among the named ones were left out. Name the class, or "
        "correct the boxes. Mind that YOLO counts classes from 0.",
    ),
    "BOXES_NOT_FINITE": (
        _ERROR,
        "Boxes with a side that is infinite or no number (NaN) were left out. Correct them.",
    ),
    "BOXES_WITHOUT_AREA": (
        _ERROR,
        "Boxes without width or height were left out. Draw them anew, or remove them.",
    ),
    "BOXES_OUTSIDE_IMAGE": (
        _ERROR,
        "Boxes that lie wholly outside of their image were left out. Correct them; if they are "
        "many, they may have been drawn on images of another size.",
    ),
    # Something looks wrong.
    "BOXES_REPEATED": (
        _WARNING,
        "Boxes that repeat another of the same class in the same image were left out. Remove them.",
    ),
    "IMAGES_LEFT_WITHOUT_OBJECT": (
        _WARNING,
        "Images of which every object was left out are now taken to show none. Correct their "
        "boxes, or remove the images.",
    ),
    "IMAGES_IN_SEVERAL_SPLITS": (
        _WARNING,
        "Images that are listed in more than one split were kept in one of them only, the first of "
        "train, val and test. List each in one.",
    ),
    "ANNOTATIONS_DIFFER": (
        _WARNING,
        "Images that are listed more than once, each time with other objects, were given all of "
        "these objects. If one listing replaces the other, remove the old one.",
    ),
    "BOXES_INVERTED": (
        _WARNING,
        "Boxes that end before they begin were turned round. Check that their numbers are in the "
        "order that the format wants.",
    ),
    "BOXES_CLIPPED": (
        _WARNING,
        "Boxes that reach out of their image were cut at its border. If they do by far, check that "
        "they were drawn on images of this size.",
    ),
    "BOXES_SCALED": (
        _WARNING,
        "Images have another size than their annotations say, but the same shape, so that boxes "
        "were scaled to it. Check some of them.",
    ),
    "ANNOTATED_SIZE_DIFFERS": (
        _WARNING,
        "Images have another size than their annotations say, and boxes do not show how to scale "
        "them, so that they were taken as they are. Check that they belong to these images.",
    ),
    "BOXES_MAYBE_TURNED": (
        _WARNING,
        "Images are stored turned or mirrored, with a note (EXIF) of how to show them, and nothing "
        "says whether their boxes were drawn before or after that. They were taken to fit the "
        "upright image. Check some of them.",
    ),
    "CATEGORY_NAMES_REPEATED": (
        _WARNING,
        "Categories have the same name under more than one id, and were read as one class. If "
        "they mean different things, name them differently.",
    ),
    "CLASSES_GUESSED": (
        _WARNING,
        "Nothing names these classes, so they are called by their numbers or, in a table without "
        "a column for the class, object. Add the names, for YOLO in a data.yaml, or name the "
        "column class.",
    ),
    "CLASSES_UNUSED": (
        _WARNING,
        "Classes that are named, but of which there is no object, were left out. If a model should "
        "know them, add objects of them.",
    ),
    "SPLIT_ENTRIES_MISSING": (
        _WARNING,
        "Lines in lists of train, val or test that name no labeled image of the archive, or more "
        "than one, were not used. If the images should be there, add them or correct the names.",
    ),
    "LABELS_IGNORED": (
        _WARNING,
        "Images have more than one set of label files. Those in {folder} were not read. Remove the "
        "set that is not meant.",
    ),
    "FEW_OBJECTS": (
        _WARNING,
        "Classes with fewer than {minimum} objects will hardly be learned. Add images of them.",
    ),
    "OBJECT_IMBALANCE": (
        _WARNING,
        "The most frequent class has {ratio} times the objects of the rarest, which will be found "
        "less well. Add images of rare classes.",
    ),
    "OBJECTS_TINY": (
        _WARNING,
        "Objects are smaller than {minimum_px} pixels once their image is resized to {size_px}, "
        "and will hardly be found. Raise training_config.image_size_px, or cut the images into "
        "tiles.",
    ),
    "OBJECTS_OF_UNKNOWN_CLASSES": (
        _WARNING,
        "Objects of classes that the model does not know were left out. To measure them, train a "
        "model with these classes.",
    ),
    # Good to know.
    "IMAGES_WITHOUT_OBJECT": (
        _INFO,
        "Images are labeled as showing no object. They teach what is none.",
    ),
    "OBJECTS_TRUNCATED": (
        _INFO,
        "Objects are marked as reaching out of their image (truncated). They are trained on and "
        "measured like all others.",
    ),
    "OBJECTS_DIFFICULT": (
        _INFO,
        "Objects are marked as hard to recognize (difficult). They are trained on, but whether "
        "they are found does not count.",
    ),
    "OBJECTS_CROWD": (
        _INFO,
        "Objects stand for many that were not told apart (iscrowd). They are not trained on, and "
        "what is found inside of them does not count.",
    ),
    "CROWDED_IMAGES": (
        _INFO,
        "Images show more than 100 objects, up to {most}. If so many are of one class, evaluation "
        "looks at as many detections of it in an image, instead of 100, and says so.",
    ),
    "CATEGORY_IDS_DIFFER": (
        _INFO,
        "Annotation files number their categories differently. They were told apart by name.",
    ),
    "AREAS_OF_BOXES": (
        _INFO,
        "Objects have an outline, but the area that is given for them is that of their box. Sizes "
        "of objects are those of boxes then.",
    ),
    "BOXES_TURNED": (
        _INFO,
        "Boxes were drawn on images as they are stored, turned or mirrored, and were turned "
        "upright with them.",
    ),
    "SPLIT_FILES_IGNORED": (
        _INFO,
        "Files that list the images of a split were not used, since another source says the split, "
        "or they list no image.",
    ),
    "ANNOTATION_FILES_IGNORED": (
        _INFO,
        "JSON files without boxes, such as captions or panoptic segments, were not read; nor were "
        "key points, if other files have boxes.",
    ),
}
