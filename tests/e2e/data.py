"""Small labeled images, made so that a network learns them in seconds."""

import io
import zipfile

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "cross", "square")
COLOURS = {"circle": (230, 60, 60), "cross": (60, 230, 60), "square": (60, 60, 230)}


def shape(kind, rng, *, size=48):
    """Draw a shape of about its class's colour somewhere on a dark, noisy ground."""
    pixels = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    radius = int(rng.integers(8, 14))
    x, y = (int(v) for v in rng.integers(radius + 2, size - radius - 2, 2))
    colour = tuple(int(v) for v in COLOURS[kind] + rng.integers(-25, 25, 3))
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "circle":
        draw.ellipse(box, fill=colour)
    elif kind == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.line((box[0], box[1], box[2], box[3]), fill=colour, width=5)
        draw.line((box[0], box[3], box[2], box[1]), fill=colour, width=5)
    return image


def encoded(image, kind="JPEG"):
    """Return an image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, quality=92)
    return file.getvalue()


def archive(images_a_class, *, seed=0):
    """Return a zip of folders, one a class."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for kind in CLASSES:
            for number in range(images_a_class):
                packed.writestr(f"shapes/{kind}/{number:03}.jpg", encoded(shape(kind, rng)))
    return file.getvalue()
