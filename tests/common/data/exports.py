"""Archives of images with boxes as programs and publishers make them, with few images in each.

Images are 100 × 80 pixels; each shows something else.
"""

import json

from tests.common.data.pictures import encode, picture

BOX = "0 0.5 0.5 0.5 0.25\n"
"""A line of YOLO: 25, 30 to 75, 50 in pixels."""
OTHER = "1 0.25 0.25 0.1 0.1\n"

Files = dict[str, bytes]


def images(*paths: str) -> Files:
    return {
        path: encode(picture(100, 80, seed), "PNG" if path.lower().endswith("png") else "JPEG")
        for seed, path in enumerate(paths)
    }


def texts(**of_path: str) -> Files:
    return {path: text.encode() for path, text in of_path.items()}


def coco(names: list[str], boxes: list[tuple[int, int]], categories: dict[int, str]) -> str:
    """Images by their order, and for each box its image and category."""
    return json.dumps(
        {
            "info": {"year": "2024"},
            "licenses": [{"id": 1, "url": "", "name": "CC BY 4.0"}],
            "categories": [
                {"id": id_, "name": name, "supercategory": "none"}
                for id_, name in categories.items()
            ],
            "images": [
                {"id": id_, "license": 1, "file_name": name, "height": 80, "width": 100}
                for id_, name in enumerate(names)
            ],
            "annotations": [
                {"id": id_, "image_id": image, "category_id": category, "bbox": [id_, 2, 30, 40]}
                | {"area": 1200, "segmentation": [], "iscrowd": 0}
                for id_, (image, category) in enumerate(boxes)
            ],
        }
    )


def xml(filename: str, name: str, database: str = "Unknown", more: str = "") -> str:
    """An annotation of one object, indented and ordered as LabelImg and Roboflow do."""
    return (
        f"<annotation>\n\t<folder></folder>\n\t<filename>{filename}</filename>\n"
        f"\t<path>C:\\Users\\me\\{filename}</path>\n"
        f"\t<source>\n\t\t<database>{database}</database>\n\t</source>\n"
        "\t<size>\n\t\t<width>100</width>\n\t\t<height>80</height>\n\t\t<depth>3</depth>\n\t</size>"
        f"\n\t<segmented>0</segmented>\n\t<object>\n\t\t<name>{name}</name>\n"
        "\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>11</xmin>\n"
        "\t\t\t<xmax>40</xmax>\n\t\t\t<ymin>21</ymin>\n\t\t\t<ymax>60</ymax>\n"
        f"\t\t</bndbox>\n{more}\t</object>\n</annotation>\n"
    )


ROBOFLOW = texts(
    **{
        "README.dataset.txt": "# BCCD > v1\nhttps://universe.roboflow.com/x\n",
        "README.roboflow.txt": "\nBCCD - v1\n==============\n\n1 image of 3\n",
    }
)
CELLS = {0: "cells", 1: "RBC", 2: "WBC"}


def roboflow_coco() -> Files:
    """With a supercategory that no object has, and a test split without an object."""
    return (
        ROBOFLOW
        | images(*(f"{part}_jpg.rf.1.jpg" for part in ("train/a", "train/b", "valid/c", "test/a")))
        | texts(
            **{
                "train/_annotations.coco.json": coco(
                    ["a_jpg.rf.1.jpg", "b_jpg.rf.1.jpg"], [(0, 1), (0, 2), (1, 1)], CELLS
                ),
                "valid/_annotations.coco.json": coco(["c_jpg.rf.1.jpg"], [(0, 2)], CELLS),
                "test/_annotations.coco.json": coco(["a_jpg.rf.1.jpg"], [], CELLS),
            }
        )
    )


def roboflow_yolo() -> Files:
    """The same name in train and test; paths that lead out of the archive."""
    data = (
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
        "names: ['RBC', 'WBC']\n\nroboflow:\n  workspace: w\n  project: p\n  version: 1\n"
    )
    parts = {"train/{}/a": BOX + OTHER, "valid/{}/c": OTHER.strip(), "test/{}/a": ""}
    return (
        ROBOFLOW
        | images(*(part.format("images") + "_jpg.rf.1.jpg" for part in parts))
        | texts(**{part.format("labels") + "_jpg.rf.1.txt": text for part, text in parts.items()})
        | texts(**{"data.yaml": data})
    )


def roboflow_voc() -> Files:
    """XML beside the images."""
    parts = ("train/a", "valid/b", "test/c")
    return (
        ROBOFLOW
        | images(*(f"{part}.jpg" for part in parts))
        | texts(**{f"{p}.xml": xml(f"{p[-1]}.jpg", "RBC", "roboflow.com") for p in parts})
    )


def ultralytics(data: str = "", **more: str) -> Files:
    """As coco8.zip: the YAML file, if there is one, beside the folder."""
    parts = ["train/0", "train/1", "val/0"]
    files = {f"coco8/labels/{part}.txt": BOX.replace("0", "45", 1) for part in parts}
    files |= {"coco8/LICENSE": "AGPL", "coco8/README.md": "# COCO8"} | more
    return images(*(f"coco8/images/{part}.jpg" for part in parts)) | texts(
        **files | ({"coco8.yaml": data} if data else {})
    )


COCO8 = (
    "# COCO8\npath: coco8 # dataset root dir\ntrain: images/train # 4 images\nval: images/val\n"
    "test: # test images (optional)\n\nnames:\n  0: person\n  45: bowl\n\n"
    "download: https://ultralytics.com/assets/coco8.zip\n"
)
COCO8_LISTS = COCO8.replace("images/train #", "train.txt #").replace("images/val", "val.txt")
LISTS = {
    "coco8/train.txt": "./images/train/0.jpg\r\n./images/train/1.jpg\r\n./images/train/9.jpg\r\n",
    "coco8/val.txt": "\ufeffC:\\data\\coco8\\images\\val\\0.jpg\r\n",
}


def labelimg_yolo() -> Files:
    """By the Windows editor: capitals, spaces, letters of Windows-1252, CRLF; one not labeled."""
    return (
        images("pics/IMG_1.JPG", "pics/Bild ä.JPG", "pics/IMG_3.JPG")
        | texts(**{"pics/IMG_1.txt": BOX + OTHER, "pics/Bild ä.txt": OTHER.replace("\n", "\r\n")})
        | {"pics/classes.txt": "Straße\r\nAmpel\r\n".encode("cp1252")}
    )


def labelimg_voc() -> Files:
    """With the paths of another machine, a byte order mark, and CRLF."""
    marked = "\ufeff" + xml("2.jpeg", "Straße").replace("\n", "\r\n")
    return images("images/Bild ä 1.JPG", "images/2.jpeg") | texts(
        **{"annotations/Bild ä 1.xml": xml("Bild ä 1.JPG", "Ampel"), "annotations/2.xml": marked}
    )


def cvat_yolo() -> Files:
    """YOLO 1.1: a subset has a folder and a list; paths begin with a folder that is not there."""
    return images("obj_train_data/f.PNG", "obj_train_data/s/f.PNG", "obj_valid_data/g.PNG") | texts(
        **{
            "obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n"
            "names = data/obj.names\nbackup = backup/\n",
            "obj.names": "dog\ncat\n",
            "train.txt": "data/obj_train_data/f.PNG\ndata/obj_train_data/s/f.PNG\n",
            "valid.txt": "data/obj_valid_data/g.PNG\n",
            "obj_train_data/f.txt": BOX + OTHER,
            "obj_train_data/s/f.txt": OTHER,
            "obj_valid_data/g.txt": "",
        }
    )


def cvat_ultralytics() -> Files:
    """Ultralytics YOLO Detection 1.0, with subsets called as they are in CVAT."""
    return images("images/Train/f.PNG", "images/Validation/f.PNG") | texts(
        **{
            "data.yaml": "names:\n  0: dog\n  1: cat\npath: .\ntrain: Train.txt\n"
            "val: Validation.txt\n",
            "Train.txt": "data/images/Train/f.PNG\n",
            "Validation.txt": "data/images/Validation/f.PNG\n",
            "labels/Train/f.txt": BOX,
            "labels/Validation/f.txt": OTHER,
        }
    )


def cvat_coco() -> Files:
    """COCO 1.0: a name that is in a folder below, too."""
    names = ["f.PNG", "s/f.PNG", "g.PNG"]
    return images(*(f"images/default/{name}" for name in names)) | texts(
        **{
            "annotations/instances_default.json": coco(
                names, [(0, 1), (1, 2)], {1: "dog", 2: "cat"}
            )
        }
    )


def cvat_voc() -> Files:
    """PASCAL VOC 1.1 with subsets, and the same name in a folder below."""
    return images("JPEGImages/f.PNG", "JPEGImages/s/f.PNG") | texts(
        **{
            "Annotations/f.xml": xml("f.PNG", "dog"),
            "Annotations/s/f.xml": xml("s/f.PNG", "cat"),
            "ImageSets/Main/Train.txt": "f\n",
            "ImageSets/Main/Validation.txt": "s/f\n",
            "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:128,0,0::\n",
        }
    )


def label_studio_coco() -> Files:
    """`result.json` with paths of three kinds; categories are numbered from 0."""
    names = ["images/1c2d-a.jpg", "images\\3c-b.jpg", "../../label-studio/media/upload/1/9c-c.jpg"]
    return images("images/1c2d-a.jpg", "images/3c-b.jpg", "images/9c-c.jpg") | texts(
        **{"result.json": coco(names, [(0, 1), (2, 0)], {0: "Car", 1: "Airplane"})}
    )


def label_studio_yolo() -> Files:
    """The names twice, in a text and in a JSON file."""
    return images("images/1c2d-a.jpg", "images/3c-b.jpg") | texts(
        **{
            "classes.txt": "Airplane\nCar",
            "notes.json": '{"categories": [{"id": 0, "name": "Airplane"}, {"id": 1, "name": "Car"}]'
            ', "info": {"year": 2024, "contributor": "Label Studio"}}',
            "labels/1c2d-a.txt": BOX,
            "labels/3c-b.txt": OTHER,
        }
    )


def voc2012() -> Files:
    """A part of the devkit, with all of its lists; one image has masks, and one no XML file."""
    part = (
        "\t\t<part>\n\t\t\t<name>head</name>\n\t\t\t<bndbox>\n\t\t\t\t<xmin>12</xmin>\n"
        "\t\t\t\t<ymin>22</ymin>\n\t\t\t\t<xmax>19</xmax>\n\t\t\t\t<ymax>29</ymax>\n"
        "\t\t\t</bndbox>\n\t\t</part>\n"
    )
    files = images(
        *(f"JPEGImages/2008_00000{number}.jpg" for number in (1, 2, 3, 4)),
        *("SegmentationClass/2008_000001.png", "SegmentationObject/2008_000001.png"),
    ) | texts(
        **{
            f"Annotations/2008_00000{number}.xml": xml(
                f"2008_00000{number}.jpg", name, "The VOC2008 Database", part
            )
            for number, name in ((1, "person"), (2, "dog"), (3, "dog"))
        },
        **{
            "ImageSets/Main/train.txt": "2008_000001\n" + "2008_000998\n" * 30,
            "ImageSets/Main/val.txt": "2008_000002\n2008_000999\n",
            "ImageSets/Main/trainval.txt": "2008_000001\n2008_000002\n",
            "ImageSets/Main/dog_train.txt": "2008_000001 -1\n2008_000998  1\n",
            "ImageSets/Segmentation/train.txt": "2008_000001\n",
            "ImageSets/Layout/val.txt": "2008_000003 1\n",
        },
    )
    return {f"VOCdevkit/VOC2012/{path}": content for path, content in files.items()}


def coco_val2017() -> Files:
    """Without the images of train, and with all annotations."""
    names = {13: "stop sign", 90: "toothbrush"}
    boxes = coco(["000000000139.jpg", "000000000285.jpg"], [(0, 90), (0, 13), (1, 13)], names)
    points = json.loads(boxes) | {"annotations": [{"id": 1, "image_id": 0, "category_id": 13}]}
    points["annotations"][0] |= {"bbox": [1, 2, 3, 4], "keypoints": [0] * 51}
    captions = {"images": [], "annotations": [{"id": 1, "image_id": 0, "caption": "A sign."}]}
    return images("val2017/000000000139.jpg", "val2017/000000000285.jpg") | texts(
        **{
            "annotations/instances_val2017.json": boxes,
            "annotations/instances_train2017.json": coco(["000000000009.jpg"], [(0, 90)], names),
            "annotations/person_keypoints_val2017.json": json.dumps(points),
            "annotations/captions_val2017.json": json.dumps(captions),
        }
    )


def global_wheat() -> Files:
    """A box in a single cell, and no class; images of the test have no label."""
    return images("train/b6ab77fd7.jpg", "train/a1.jpg", "test/2fd875eaa.jpg") | texts(
        **{
            "train.csv": "image_id,width,height,bbox,source\r\n"
            'b6ab77fd7,100,80,"[34.0, 22.0, 56.0, 36.0]",usask_1\r\n'
            'b6ab77fd7,100,80,"[26.0, 44.0, 24.0, 20.0]",usask_1\r\n'
            'a1,100,80,"[4.0, 5.0, 6.0, 7.0]",arvalis_1\r\n',
            "sample_submission.csv": "image_id,PredictionString\n2fd875eaa,1.0 0 0 50 50\n",
        }
    )


def sku110k() -> Files:
    """Tables without a first line, with the size of the image at the end of each row."""
    parts = ("train", "val", "test")
    return images(*(f"SKU110K/images/{part}_0.jpg" for part in parts)) | texts(
        **{
            f"SKU110K/annotations/annotations_{part}.csv": f"{part}_0.jpg,2,3,30,40,object,100,80\n"
            f"{part}_0.jpg,40,3,60,40,object,100,80\n"
            for part in parts
        }
    )


def kaggle_cars() -> Files:
    """A table without a column for the class, in which a name of Windows is a path."""
    return images("data/training_images/vid_4.jpg", "data/testing_images/vid_5.jpg") | texts(
        **{
            "data/train_solution_bounding_boxes (1).csv": "\ufeffimage,xmin,ymin,xmax,ymax\r\n"
            "D:\\cars\\training_images\\vid_4.jpg,28.1,18.2,32.3,23.4\r\n"
        }
    )


def tensorflow_tables() -> Files:
    """A table for each split, as made of XML files by a script of many tutorials."""
    head = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    return images("images/raccoon-1.jpg", "images/raccoon-2.jpg") | texts(
        **{
            "data/train_labels.csv": f"{head}raccoon-1.jpg,100,80,raccoon,1,2,30,40\n",
            "data/test_labels.csv": f"{head}raccoon-2.jpg,100,80,raccoon,1,2,30,40\n",
        }
    )


def from_a_mac() -> Files:
    """A folder in a folder, with what the system leaves behind; one class, and no name."""
    return (
        images("Archive/set/images/a\u0308.jpg", "Archive/set/images/2.jpg")
        | texts(**{"Archive/set/labels/\u00e4.txt": BOX, "Archive/set/labels/2.txt": BOX * 1})
        | {
            "__MACOSX/Archive/set/images/._2.jpg": b"\0\5\x16\7",
            "__MACOSX/Archive/set/labels/._2.txt": b"\0\5\x16\7",
            "Archive/.DS_Store": b"\0\0\0\1Bud1",
        }
    )


def from_windows() -> Files:
    """Backslashes in the names of the archive itself; capitals throughout."""
    files = images("IMAGES/1.JPG") | texts(**{"LABELS/1.TXT": BOX, "CLASSES.TXT": "a\r\nb\r\n"})
    return {path.replace("/", "\\"): content for path, content in files.items()}


def copies_in_train_and_test() -> Files:
    """The very image in both, and the same name for others."""
    return (
        images("train/images/1.jpg", "test/images/2.jpg")
        | texts(
            **{
                "data.yaml": "train: ../train/images\ntest: ../test/images\nnc: 1\nnames: [a]",
                **{
                    f"{part}.txt": BOX
                    for part in ("train/labels/1", "test/labels/1", "test/labels/2")
                },
            }
        )
        | {"test/images/1.jpg": images("train/images/1.jpg")["train/images/1.jpg"]}
    )
