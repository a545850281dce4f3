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
    drawn, _ = _alone(kind, rng, size, most_radius=14)
    image.paste(drawn, (0, 0), drawn)
    return image


def scene(rng, *, size=96, most=3):
    """Draw one to three shapes that do not touch; return the image with (kind, box) of each."""
    image = Image.fromarray(rng.integers(0, 60, (size, size, 3), dtype=np.uint8))
    cell = size // 2
    corners = [(x, y) for x in (0, cell) for y in (0, cell)]
    objects = []
    for place in rng.permutation(4)[: rng.integers(1, most + 1)]:
        kind = CLASSES[rng.integers(len(CLASSES))]
        # What is drawn on a ground of its own fills a cell, so that cells do not overlap.
        drawn, box = _alone(kind, rng, cell, most_radius=cell // 2 - 3)
        x, y = corners[place]
        image.paste(drawn, (x, y), drawn)
        objects.append((kind, (box[0] + x, box[1] + y, box[2] + x, box[3] + y)))
    return image, objects


def _alone(kind, rng, size, *, most_radius):
    """Draw a shape of about its class's colour on nothing; return it and its bounds."""
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    radius = int(rng.integers(8, most_radius))
    x, y = (int(v) for v in rng.integers(radius + 2, size - radius - 2, 2))
    colour = (*(int(v) for v in COLOURS[kind] + rng.integers(-25, 25, 3)), 255)
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "circle":
        draw.ellipse(box, fill=colour)
    elif kind == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.line((box[0], box[1], box[2], box[3]), fill=colour, width=5)
        draw.line((box[0], box[3], box[2], box[1]), fill=colour, width=5)
    return image, image.getbbox()


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


def scenes_archive(count, *, seed=0):
    """Return a zip of scenes in the layout of YOLO, with a data.yaml."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("scenes/data.yaml", f"names: [{', '.join(CLASSES)}]\n")
        for number in range(count):
            image, objects = scene(rng)
            packed.writestr(f"scenes/images/{number:03}.jpg", encoded(image))
            lines = [_yolo_line(kind, box, image.size) for kind, box in objects]
            packed.writestr(f"scenes/labels/{number:03}.txt", "\n".join(lines))
    return file.getvalue()


def _yolo_line(kind, box, size):
    (xmin, ymin, xmax, ymax), (width, height) = box, size
    centre = (xmin + xmax) / 2 / width, (ymin + ymax) / 2 / height
    return " ".join(
        f"{value:.6f}" if isinstance(value, float) else str(value)
        for value in (
            CLASSES.index(kind), *centre, (xmax - xmin) / width, (ymax - ymin) / height,
        )
    )  # fmt: skip
