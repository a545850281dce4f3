"""What tasks that find objects have in common."""

from __future__ import annotations

from common.data.findings import Report
from common.data.images import ImageInfo
from common.masks import rle
from common.masks.outlines import Outline, polygon
from common.objects.drafts import Draft, DraftObject
from common.objects.task import ObjectTask

INFO = ImageInfo("PNG", 20, 10, 1, "RGB", 8, has_alpha=False)
SQUARE = polygon([2, 3, 6, 3, 6, 8, 2, 8])


class _Task(ObjectTask):
    """What is needed to be one."""

    name = "boxes"
    formats = ()

    def learner(self):
        raise NotImplementedError  # a data set is imported without it


class _Masks(_Task):
    """The same with masks."""

    masks = True


def draft():
    return Draft(
        "a.json",
        [
            DraftObject(1, (2, 3, 25, 8), "object 1"),
            DraftObject(0, (2, 3, 6, 8), "object 2", outline=Outline((SQUARE,))),
        ],
    )


def test_with_boxes_all_objects_are_kept():
    """And outlines are not."""
    made = _Task().complete(draft(), "a.png", INFO, Report())

    assert made == {
        "objects": [{"label": 1, "box": [2, 3, 20, 8]}, {"label": 0, "box": [2, 3, 6, 8]}]
    }


def test_with_masks_each_object_has_one():
    """Of the size of the image, with its area; what has none is left out."""
    report = Report()

    (one,) = _Masks().complete(draft(), "a.png", INFO, report)["objects"]

    mask_HW = rle.decode(rle.from_text(one.pop("mask"), 10, 20))
    assert one == {"label": 0, "box": [2, 3, 6, 8], "area": 20}
    assert mask_HW[3:8, 2:6].all()
    assert mask_HW.sum() == 20
    assert [finding.id for finding in report.findings()] == ["OBJECTS_WITHOUT_OUTLINE"]


def test_images_with_very_many_objects_are_named():
    """Since evaluation looks at as many detections."""
    report = Report()
    for count in (100, 101):
        boxes = [DraftObject(0, (0, 0, 1 + i / 10, 5), f"object {i}") for i in range(count)]
        _Task().complete(Draft("a.json", boxes), f"{count}.png", INFO, report)

    (finding,) = report.findings()
    assert (finding.id, list(finding.examples)) == ("CROWDED_IMAGES", ["101.png: 101"])


def test_renumbering_keeps_masks():
    annotation = {"objects": [{"label": 1, "box": [0, 0, 5, 5], "mask": "06"}]}

    assert _Masks().renumber(annotation, {1: 0}) == {
        "objects": [{"label": 0, "box": [0, 0, 5, 5], "mask": "06"}]
    }
    assert _Masks().renumber(annotation, {0: 0}) == {"objects": []}
