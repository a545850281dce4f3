"""Tables of Open Images, as published."""

import numpy as np

from tests.common.data.pictures import encode

ONE, TWO = "0a1b2c3d4e5f6071", "0a1b2c3d4e5f6072"
IMAGES = (f"train/{ONE}.jpg", f"train/{TWO}.jpg")
CAT, DOG = "/m/01yrx", "/m/0bt9lr"
NAMES = f"{CAT},Cat\n{DOG},Dog\n/m/04_sv,Motorcycle\n".encode()
BOX_COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside\n"
)
MASK_COLUMNS = (
    "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
)
MASK = np.zeros((40, 50), bool)
MASK[8:16, 5:20] = True
MASK_FILE = f"{ONE}_m01yrx_5a6b7c8d.png"
BOX = (0.1, 0.2, 0.4, 0.4)


def box_table(*rows):
    """`…-annotations-bbox.csv`, of (image, class, marks)."""
    lines = (
        f"{image},xclick,{label},1,0.100000,0.400000,0.200000,0.400000,{marks}\n"
        for image, label, marks in rows
    )
    return (BOX_COLUMNS + "".join(lines)).encode()


def label_table(*rows):
    """`…-imagelabels.csv`, of (image, source, class, confidence)."""
    return ("ImageID,Source,LabelName,Confidence\n" + "".join(
        f"{','.join(row)}\n" for row in rows
    )).encode()  # fmt: skip


def mask_table(*files, label=CAT, image=ONE):
    """`…-annotations-object-segmentation.csv`; all masks have the same box."""
    lines = (f"{file},{image},{label},5a6b7c8d,0.1,0.4,0.2,0.4,0.9,\n" for file in files)
    return (MASK_COLUMNS + "".join(lines)).encode()


BOXES = box_table((ONE, CAT, "0,0,0,0,0"), (ONE, DOG, "0,1,1,0,0"), (TWO, DOG, "-1,-1,-1,-1,-1"))
PUBLISHED = {
    "train-annotations-bbox.csv": BOXES,
    "class-descriptions-boxable.csv": NAMES,
    "train-annotations-object-segmentation.csv": mask_table(MASK_FILE),
    f"train-masks/{MASK_FILE}": encode(MASK, "PNG"),
    "train-annotations-human-imagelabels-boxable.csv": label_table(
        (ONE, "verification", CAT, "1"), (ONE, "verification", DOG, "0")
    ),
}
