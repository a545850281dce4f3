"""A project of VIA 2, as its program saves it, with all kinds of shapes."""

import json

from tests.common.data.formats.samples import Counts, images

ATTRIBUTES = {
    "region": {
        "animal": {
            "type": "dropdown", "description": "", "options": {"1": "dog", "2": "cat"},
            "default_options": {},
        },
        "note": {"type": "text", "description": "", "default_value": ""},
    },
    "file": {
        "caption": {"type": "text", "description": "", "default_value": ""},
        "light": {
            "type": "radio", "description": "", "options": {"night": "", "day": ""},
            "default_options": {},
        },
    },
}  # fmt: skip


def region(animal, name, note="", **measures):
    return {
        "shape_attributes": {"name": name} | measures,
        "region_attributes": {"animal": animal, "note": note},
    }


DRAWN = [
    region("1", "rect", x=1, y=2, width=29, height=38),
    region("2", "polygon", all_points_x=[10, 40, 40, 10], all_points_y=[20, 20, 60, 60]),
    region("2", "circle", note="small", cx=70, cy=20, r=5),
    region("1", "point", cx=5, cy=6),
]


def make(task):
    drawn = [] if task == "classification" else DRAWN
    metadata = {
        f"{name}{size}": {
            "filename": name,
            "size": size,
            "regions": regions,
            "file_attributes": {"caption": "", "light": light},
        }
        for name, size, regions, light in (
            ("1.jpg", 2101, drawn, "night"),
            ("2.jpg", 2222, [], "day"),
        )
    }
    project = {
        "_via_settings": {
            "ui": {"annotation_editor_height": 25, "image": {"region_label": "__via_region_id__"}},
            "core": {"buffer_size": 18, "filepath": {}, "default_filepath": "images/"},
            "project": {"name": "animals"},
        },
        "_via_img_metadata": metadata,
        "_via_attributes": ATTRIBUTES,
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(metadata),
    }
    return images("images/1.jpg", "images/2.jpg") | {
        "via_project.json": json.dumps(project).encode()
    }


def expected(task):
    if task == "classification":
        return Counts(2, {"night": 1, "day": 1}, {}, {"CLASS_ATTRIBUTE_GUESSED"})
    noticed = {
        *("CLASS_ATTRIBUTE_GUESSED", "ATTRIBUTES_NOT_READ", "SHAPES_UNUSABLE"),
        "IMAGES_WITHOUT_OBJECT",
    }
    if task == "detection":
        return Counts(2, {"dog": 1, "cat": 2}, {}, noticed | {"BOXES_AROUND_OUTLINES"})
    noticed.add("OBJECTS_WITHOUT_OUTLINE")
    if task == "instance-segmentation":
        return Counts(2, {"cat": 2}, {}, noticed)
    # The circle has an area of 79; drawn, it has 80 pixels.
    cat = 30 * 40 + 80
    return Counts(2, {"background": 2 * 8000 - cat, "cat": cat}, {}, noticed)
