"""What can be noticed about masks: a part of the table of findings.

`common.data.findings` says how the table is read; it has these ids too.
"""

from __future__ import annotations

from nocode.vision.v1 import finding_pb2

_INFO = finding_pb2.Finding.SEVERITY_INFO
_WARNING = finding_pb2.Finding.SEVERITY_WARNING
_ERROR = finding_pb2.Finding.SEVERITY_ERROR

MASK_FINDINGS: dict[str, tuple[finding_pb2.Finding.Severity.ValueType, str]] = {
    # Something was left out.
    "MASKS_UNREADABLE": (
        _ERROR,
        "Masks that cannot be read were left out, with their images. Save them anew, as PNG.",
    ),
    "MASK_SIZE_DIFFERS": (
        _ERROR,
        "Masks of another shape than their image were left out, with their images. Check that they "
        "belong together, and cut both alike.",
    ),
    "IMAGES_WITHOUT_MASK": (
        _ERROR,
        "Images without a mask were left out: nothing says what they show, which is not the same "
        "as showing background only. Add their masks.",
    ),
    "MASKS_WITHOUT_IMAGE": (
        _ERROR,
        "Masks without an image of the same name were left out. Add the images, or remove the "
        "masks.",
    ),
    "MASKS_ALL_VOID": (
        _ERROR,
        "Masks in which no pixel has a class were left out, with their images. Check the values of "
        "their pixels against the names of the classes, and against void_index.",
    ),
    "MASKS_OF_TOO_MANY_CLASSES": (
        _ERROR,
        "Masks with more than {maximum} classes were left out, with their images. Check that "
        "values of pixels are numbers of classes.",
    ),
    # Something looks wrong.
    "MASKS_REPEATED": (
        _WARNING,
        "Images have more than one mask. The first was read, these were not. Keep one for each "
        "image.",
    ),
    "PIXELS_OF_UNKNOWN_CLASSES": (
        _WARNING,
        "Pixels of classes that the model does not know are not measured. To measure them, train a "
        "model with these classes.",
    ),
    "REGIONS_TINY": (
        _WARNING,
        "Classes have fewer than {minimum_px} pixels in an image once it is resized to {size_px}, "
        "and will hardly be found there. Raise training_config.image_size_px.",
    ),
    "VALUES_OUTSIDE_CLASSES": (
        _WARNING,
        "Masks have values that are no number of a class. These pixels are void: neither trained "
        "on nor measured. Name the missing classes, or correct the masks.",
    ),
    "COLOURS_OUTSIDE_CLASSES": (
        _WARNING,
        "Masks have colours that are none of a class. These pixels are void: neither trained on "
        "nor measured. Add the colours to the table of classes, or correct the masks.",
    ),
    "MASKS_SCALED": (
        _WARNING,
        "Masks have another size than their image, but the same shape, so that they were scaled to "
        "it, each pixel from the nearest. Check some of them.",
    ),
    "MASKS_MAYBE_TURNED": (
        _WARNING,
        "Images are stored turned or mirrored, with a note (EXIF) of how to show them, and nothing "
        "says whether their masks were drawn before or after that. They were taken to fit the "
        "upright image. Check some of them.",
    ),
    "MASKS_LOSSY": (
        _WARNING,
        "Masks have values between those of classes, as JPEG and resizing leave them. Each pixel "
        "was given the nearest class. Save masks as PNG, resized by the nearest pixel.",
    ),
    "MASK_CLASSES_GUESSED": (
        _WARNING,
        "Nothing names these classes, so they are called by the values or colours of their pixels, "
        "and what is not 0 in masks of two values, foreground. Add a classes.txt beside the masks, "
        "with a line for each class: its value and its name, for colours its name and red, green "
        "and blue.",
    ),
    "CLASS_TABLES_UNREADABLE": (
        _WARNING,
        "Files that seem to name the classes cannot be read. Save them as classes.txt, with a line "
        "for each class: its value and its name.",
    ),
    "FEW_PIXELS": (
        _WARNING,
        "Classes of fewer than {minimum} pixels will hardly be learned. Add images of them.",
    ),
    "PIXEL_IMBALANCE": (
        _WARNING,
        "The most frequent class has {ratio} times the pixels of the rarest, which will be "
        "recognized less well. Add images of rare classes.",
    ),
    "MOSTLY_VOID": (
        _WARNING,
        "Nothing says what {percent} % of the pixels show. They are neither trained on nor "
        "measured. If they do show something, give them a class.",
    ),
    # Good to know.
    "MASKS_TURNED": (
        _INFO,
        "Masks were drawn on images as they are stored, turned or mirrored, and were turned "
        "upright with them.",
    ),
    "MASK_SETS_IGNORED": (
        _INFO,
        "There is more than one set of masks. Those in {chosen} were read, these were not.",
    ),
    "IMAGES_ALL_BACKGROUND": (
        _INFO,
        "Images show nothing but background. They teach what is none of the other classes.",
    ),
    # Objects that are drawn in pictures.
    "OBJECT_MASKS_UNREADABLE": (
        _ERROR,
        "Pictures of single objects that cannot be read were left out; what else their images show "
        "was kept. Save them anew, as PNG.",
    ),
    "IMAGES_WITHOUT_OBJECT_MASK": (
        _ERROR,
        "Images without a mask were left out, since they are not the same as images that show no "
        "object. Add their masks; for those that show none, one that is all black.",
    ),
    "NUMBERS_NOT_LISTED": (
        _ERROR,
        "Regions that are drawn in a picture, but that its file does not list, were left out. List "
        "them, or draw them black.",
    ),
    "NUMBERS_NOT_DRAWN": (
        _ERROR,
        "Objects that are listed, but not drawn in their picture, were left out. Draw them, or "
        "remove them.",
    ),
    "OBJECT_CLASSES_UNNAMED": (
        _WARNING,
        "Nothing says the classes of objects, so that all are of one. If there are more, name them "
        "as the format wants it.",
    ),
    "OBJECT_BORDERS_VOID": (
        _INFO,
        "The value 255 was taken for the border around objects, since there is no 254. If it is an "
        "object, save the masks with 16 bits.",
    ),
    "REGIONS_WITHOUT_OBJECTS": (
        _INFO,
        "Regions of classes of which no single object is drawn, such as the sky, were left out.",
    ),
}
