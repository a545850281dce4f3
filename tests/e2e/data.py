"""Small labeled images, made so that a network learns them in seconds."""

import io
import json
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
    image, objects = masked_scene(rng, size=size, most=most)
    return image, [(kind, box) for kind, box, _ in objects]


def masked_scene(rng, *, size=96, most=3):
    """Do the same; return the image with (kind, box, pixels) of each, these bool (H, W)."""
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
        pixels_HW = np.zeros((size, size), dtype=bool)
        pixels_HW[y : y + cell, x : x + cell] = np.asarray(drawn)[..., 3] > 0
        objects.append((kind, (box[0] + x, box[1] + y, box[2] + x, box[3] + y), pixels_HW))
    return image, objects


def labels_of(objects, *, size=96):
    """Return the class of each pixel of a scene: 0 on the ground, then as in `CLASSES`."""
    labels_HW = np.zeros((size, size), np.uint8)
    for kind, _, pixels_HW in objects:
        labels_HW[pixels_HW] = CLASSES.index(kind) + 1
    return labels_HW


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


def masks_archive(count, *, size=96, seed=0):
    """Return a zip of scenes, each with a PNG of the class of its pixels."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("scenes/classes.txt", "\n".join(["ground", *CLASSES]))
        for number in range(count):
            image, objects = masked_scene(rng, size=size)
            labels = Image.fromarray(labels_of(objects, size=size))
            packed.writestr(f"scenes/images/{number:03}.jpg", encoded(image))
            packed.writestr(f"scenes/masks/{number:03}.png", encoded(labels, "PNG"))
    return file.getvalue()


def coco_archive(count, *, seed=0):
    """Return a zip of scenes in the layout of COCO, with the pixels of each object."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    listed = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
    }
    with zipfile.ZipFile(file, "w") as packed:
        for number in range(count):
            image, objects = masked_scene(rng)
            name = f"{number:03}.jpg"
            packed.writestr(f"scenes/{name}", encoded(image))
            width, height = image.size
            listed["images"].append(
                {"id": number, "file_name": name, "width": width, "height": height}
            )
            for kind, (xmin, ymin, xmax, ymax), pixels_HW in objects:
                listed["annotations"].append(
                    {
                        "id": len(listed["annotations"]) + 1,
                        "image_id": number,
                        "category_id": CLASSES.index(kind),
                        "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                        "area": int(pixels_HW.sum()),
                        "iscrowd": 0,
                        "segmentation": {"size": [height, width], "counts": _runs(pixels_HW)},
                    }
                )
        packed.writestr("scenes/annotations.json", json.dumps(listed))
    return file.getvalue()


def _runs(pixels_HW):
    """Count pixels down the columns, those outside first."""
    flat = np.concatenate([[False], pixels_HW.ravel(order="F"), [not pixels_HW[-1, -1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(ends, prepend=0).tolist()


def _yolo_line(kind, box, size):
    (xmin, ymin, xmax, ymax), (width, height) = box, size
    centre = (xmin + xmax) / 2 / width, (ymin + ymax) / 2 / height
    return " ".join(
        f"{value:.6f}" if isinstance(value, float) else str(value)
        for value in (
            CLASSES.index(kind), *centre, (xmax - xmin) / width, (ymax - ymin) / height,
        )
    )  # fmt: skip
