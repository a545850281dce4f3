"""Open Images as downloaded: images and tables of two splits, with masks."""

import numpy as np

from tests.common.data.formats.samples import Counts, images
from tests.common.data.pictures import encode

IDS = ("000a1249af2bc5f0", "000b6d36c73ec8c4", "000c4d66ce89aa69")
CAT, DOG = "/m/01yrx", "/m/0bt9lr"
MASK_FILE = f"{IDS[0]}_m01yrx_b6c2f3e4.png"
# Of the image's half size.
MASK = np.zeros((40, 50), bool)
MASK[10:20, 5:20] = True
BOX_COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside\n"
)
LABEL_COLUMNS = "ImageID,Source,LabelName,Confidence\n"
MASK_COLUMNS = (
    "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
)


def make(task):
    one, two, three = IDS
    files = images(f"train/{one}.jpg", f"train/{two}.jpg", f"validation/{three}.jpg")
    files["class-descriptions.csv"] = f"{CAT},Cat\n{DOG},Dog\n/m/04_sv,Motorcycle\n".encode()
    for split, labels in {
        "train": ((one, CAT, 1), (one, DOG, 0), (two, DOG, 1)),
        "validation": ((three, DOG, 1),),
    }.items():
        lines = [f"{image},verification,{label},{sure}\n" for image, label, sure in labels]
        files[f"{split}-annotations-human-imagelabels.csv"] = (
            LABEL_COLUMNS + "".join(lines)
        ).encode()
    if task == "classification":
        return files
    return files | {
        "train-annotations-bbox.csv": (
            BOX_COLUMNS
            + f"{one},xclick,{CAT},1,0.100000,0.400000,0.250000,0.500000,0,0,0,0,0\n"
            + f"{two},xclick,{DOG},1,0.000000,0.250000,0.100000,1.000000,0,1,0,0,0\n"
            + f"{two},xclick,{DOG},1,0.300000,0.950000,0.100000,0.900000,0,0,1,0,0\n"
        ).encode(),
        "validation-annotations-bbox.csv": (
            BOX_COLUMNS + f"{three},xclick,{DOG},1,0.1,0.2,0.1,0.3,1,0,0,0,0\n"
        ).encode(),
        "train-annotations-object-segmentation.csv": (
            MASK_COLUMNS
            + f"{MASK_FILE},{one},{CAT},b6c2f3e4,0.100000,0.400000,0.250000,0.500000,0.9,\n"
        ).encode(),
        f"train-masks-0/{MASK_FILE}": encode(MASK, "PNG"),
    }


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "classification":
        return Counts(3, {"Cat": 1, "Dog": 2}, splits, {"LABELS_ABSENT"})
    noticed = {"LABELS_ABSENT", "TAGS_NOT_READ"}
    if task == "detection":
        return Counts(3, {"Cat": 1, "Dog": 3}, splits, noticed)
    noticed |= {"OBJECTS_WITHOUT_OUTLINE", "OBJECT_MASKS_SCALED", "IMAGES_LEFT_WITHOUT_OBJECT"}
    if task == "instance-segmentation":
        return Counts(3, {"Cat": 1}, splits, noticed)
    cat = 30 * 20
    return Counts(3, {"background": 3 * 8000 - cat, "Cat": cat}, splits, noticed)
