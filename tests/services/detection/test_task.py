"""The half of detection that needs no torch."""

import subprocess
import sys

from common.data.findings import Report
from common.data.images import ImageInfo
from common.objects.drafts import Draft, DraftObject
from services.detection.task import DetectionTask

TASK = DetectionTask()
ANNOTATION = {
    "objects": [
        {"label": 2, "box": [0, 0, 5, 5]},
        {"label": 0, "box": [1, 1, 3, 3], "crowd": True},
        {"label": 2, "box": [2, 2, 9, 9]},
    ]
}


def test_the_likeliest_formats_come_first():
    assert [entry.name for entry in TASK.formats][:4] == ["coco", "yolo", "voc", "csv_boxes"]


def test_classes_are_those_of_the_objects():
    assert TASK.classes_of(ANNOTATION) == {0: 1, 2: 2}
    assert TASK.classes_of({"objects": []}) == {}


def test_renumbering_keeps_all_else():
    assert TASK.renumber(ANNOTATION, {0: 4, 2: 1})["objects"][:2] == [
        {"label": 1, "box": [0, 0, 5, 5]},
        {"label": 4, "box": [1, 1, 3, 3], "crowd": True},
    ]


def test_objects_of_other_classes_are_gone_and_the_image_stays():
    assert TASK.renumber(ANNOTATION, {0: 0})["objects"] == [
        {"label": 0, "box": [1, 1, 3, 3], "crowd": True}
    ]
    assert TASK.renumber(ANNOTATION, {}) == {"objects": []}


def test_a_draft_becomes_what_the_manifest_holds():
    """Boxes are cut at the border of the image, and it is said."""
    info = ImageInfo("PNG", 20, 10, 1, "RGB", 8, has_alpha=False)
    draft = Draft("a.xml", [DraftObject(1, (2, 3, 25, 8), "object 1", truncated=True)])
    report = Report()

    made = TASK.complete(draft, "a.png", info, report)

    assert made == {"objects": [{"label": 1, "box": [2, 3, 20, 8], "truncated": True}]}
    assert [finding.id for finding in report.findings()] == ["BOXES_CLIPPED"]


def test_it_needs_no_torch_until_it_learns():
    """An import runs in a process that does not pay for it."""
    code = (
        "import sys;"
        "from services.detection.task import DetectionTask; DetectionTask().formats;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
