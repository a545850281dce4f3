"""Files of the VGG Image Annotator, as its versions write them."""

import csv
import io
import json

RECT = {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}
POLYGON = {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [2, 2, 7]}
BOX = (10, 20, 40, 60)
HEADER = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\r\n"
)


def region(shape=RECT, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def image(name, *regions, **attributes):
    return {"filename": name, "size": 123, "regions": list(regions), "file_attributes": attributes}


def export(*images):
    """`via_region_data.json`."""
    return {f"{one['filename']}{one['size']}": one for one in images}


def project(*images, **declared):
    """`via_project.json` of version 2."""
    return {
        "_via_settings": {"ui": {}, "core": {"default_filepath": ""}, "project": {"name": "p"}},
        "_via_img_metadata": export(*images),
        "_via_attributes": {"region": {}, "file": {}} | declared,
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": [],
    }


def project_3(metadata, attribute, names=("1.jpg", "2.jpg")):
    """`via_project.json` of version 3."""
    numbers = range(1, len(names) + 1)
    return {
        "project": {"pid": "p", "data_format_version": "3.1.1", "vid_list": ["1", "2"]},
        "config": {},
        "attribute": attribute,
        "file": {
            str(n): {"fid": n, "fname": name, "type": 2, "loc": 1, "src": ""}
            for n, name in zip(numbers, names, strict=True)
        },
        "metadata": {
            f"{vid}_{n}": {"vid": vid, "flg": 0, "z": [], "xy": xy, "av": av}
            for n, (vid, xy, av) in enumerate(metadata)
        },
        "view": {str(n): {"fid_list": [n]} for n in numbers},
    }


def table(*images):
    """`via_region_data.csv`."""
    text = io.StringIO()
    writer = csv.writer(text)
    text.write(HEADER)
    for one in images:
        start = [one["filename"], one["size"], json.dumps(one["file_attributes"])]
        count = len(one["regions"])
        for n, drawn in enumerate(one["regions"]):
            cells = (drawn["shape_attributes"], drawn["region_attributes"])
            writer.writerow([*start, count, n, *map(json.dumps, cells)])
        if not count:
            writer.writerow([*start, 0, 0, "{}", "{}"])
    return text.getvalue().encode()


IMAGES = (
    image("1.jpg", region(**{"class": "cat"}), region(POLYGON, **{"class": "dog"}), weather="sun"),
    image("2.jpg"),
)
# Version 1: an object of regions by their numbers, and a polygon that ends where it begins.
IMAGES_1 = {
    "1.jpg123": {
        "fileref": "", "size": 123, "filename": "1.jpg", "base64_img_data": "",
        "file_attributes": {"weather": "sun"},
        "regions": {
            "0": region(**{"class": "cat"}),
            "1": region(
                {"name": "polygon", "all_points_x": [1, 9, 9, 1], "all_points_y": [2, 2, 7, 2]},
                **{"class": "dog"},
            ),
        },
    },
    "2.jpg9": {"filename": "2.jpg", "size": 9, "file_attributes": {}, "regions": {}},
}  # fmt: skip
IMAGES_3 = project_3(
    [
        ("1", [2, 10, 20, 30, 40], {"1": "0"}),
        ("1", [7, 1, 2, 9, 2, 9, 7], {"1": "1"}),
        ("1", [], {"2": "sun"}),
    ],
    {
        "1": {
            "aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 4,
            "options": {"0": "cat", "1": "dog"}, "default_option_id": "",
        },
        "2": {"aname": "weather", "anchor_id": "FILE1_Z0_XY0", "type": 1, "options": {}},
    },
)  # fmt: skip


def tree_with(tree_of, content, name="via.json", images=("1.jpg", "2.jpg")):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return tree_of(*images, **{name: data})
