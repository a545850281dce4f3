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
        "Images that nobody has labeled were left out, since they are not the same as images that "
        "show no object. Label them; for those that show none, add an empty annotation.",
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
    "OBJECTS_WITHOUT_OUTLINE": (
        _ERROR,
        "Objects of which only a box is known, or nothing, were left out: a mask cannot be learned "
        "from a box. Outline them, or use the images for detection.",
    ),
    "OUTLINES_UNREADABLE": (
        _ERROR,
        "Objects whose outline is neither polygons nor runs of pixels (RLE) of its own size were "
        "left out. Correct them, or export the file anew.",
    ),
    "POLYGONS_TOO_SHORT": (
        _ERROR,
        "Polygons of fewer than three points were left out, and their objects too if nothing else "
        "outlines these. Draw them anew.",
    ),
    "POLYGONS_TOO_LONG": (
        _ERROR,
        "Objects whose outline is longer than {maximum} pixels were left out. Check that the "
        "points are in order around each object.",
    ),
    "POLYGONS_NOT_FINITE": (
        _ERROR,
        "Polygons with a point that is infinite or no number (NaN) were left out, and their "
        "objects too if nothing else outlines these. Correct them.",
    ),
    "POLYGONS_OUTSIDE_IMAGE": (
        _ERROR,
        "Polygons that lie wholly outside of their image were left out, and their objects too if "
        "nothing else outlines these. If they are many, they may have been drawn on images of "
        "another size.",
    ),
    "OBJECT_MASKS_EMPTY": (
        _ERROR,
        "Objects whose mask has no pixel were left out. Draw them anew, or remove them.",
    ),
    "OBJECT_MASKS_OF_OTHER_SIZE": (
        _ERROR,
        "Objects whose mask has another shape than their image were left out. Check that they "
        "belong to these images.",
    ),
    # Something looks wrong.
    "OBJECT_MASKS_REPEATED": (
        _WARNING,
        "Objects with the mask of another of the same class in the same image were left out. "
        "Remove them.",
    ),
    "OBJECT_MASKS_SCALED": (
        _WARNING,
        "Masks of objects have another size than their image, but the same shape, so that they "
        "were scaled to it, each pixel from the nearest. Check some of them.",
    ),
    "POLYGONS_CLIPPED": (
        _WARNING,
        "Polygons that reach out of their image were cut at its border. If they do by far, check "
        "that they were drawn on images of this size.",
    ),
    "BOXES_NOT_OF_MASKS": (
        _WARNING,
        "Objects have a box that is not around their mask, and were given the one that is. Check "
        "that box and mask belong to the same object.",
    ),
    "BOXES_REPEATED": (
        _WARNING,
        "Boxes that repeat another of the same class in the same image were left out. Remove them.",
    ),
    "IMAGES_LEFT_WITHOUT_OBJECT": (
        _WARNING,
        "Images of which every object was left out are now taken to show none. Correct the "
        "objects, or remove the images.",
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
        "and polygons were scaled to it. Check some of them.",
    ),
    "ANNOTATED_SIZE_DIFFERS": (
        _WARNING,
        "Images have another size than their annotations say, which does not show how to scale "
        "boxes and polygons, so that they were taken as they are. Check that they belong to these "
        "images.",
    ),
    "BOXES_MAYBE_TURNED": (
        _WARNING,
        "Images are stored turned or mirrored, with a note (EXIF) of how to show them, and nothing "
        "says whether their objects were drawn before or after that. They were taken to fit the "
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
        "Classes that are named, but that no image shows, were left out. If a model should know "
        "them, add images that show them.",
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
        "Images show more than 100 objects. If so many are of one class, evaluation "
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
    "AREAS_NOT_OF_MASKS": (
        _INFO,
        "Objects are given an area that is not that of their mask, most often that of their box. "
        "Sizes of objects are those of masks.",
    ),
    "BOXES_TURNED": (
        _INFO,
        "Boxes and polygons were drawn on images as they are stored, turned or mirrored, and were "
        "turned upright with them.",
    ),
    "OBJECT_MASKS_TURNED": (
        _INFO,
        "Masks of objects were drawn on images as they are stored, turned or mirrored, and were "
        "turned upright with them.",
    ),
    "SPLIT_FILES_IGNORED": (
        _INFO,
        "Files that list the images of a split were not used, since another source says the split, "
        "or they list no image.",
    ),
    "ANNOTATION_FILES_IGNORED": (
        _INFO,
        "JSON files without boxes or, for masks, outlines, such as captions or panoptic segments, "
        "were not read; nor were key points, if other files have objects.",
    ),
}
