"""Masks as answers have them."""

import io

import numpy as np
from PIL import Image
from pycocotools import mask as pycoco


def masked(mask, size):
    """Return the pixels of a mask in an answer, bool (H, W)."""
    if mask.WhichOneof("encoding") == "png":
        return np.asarray(Image.open(io.BytesIO(mask.png))) > 0
    assert (mask.rle.width, mask.rle.height) == size
    encoded_rle = {"size": [mask.rle.height, mask.rle.width], "counts": mask.rle.counts.encode()}
    return pycoco.decode(encoded_rle) > 0
