"""Archives in which objects are drawn, imported as a whole."""

import numpy as np
import pytest

from services.segmentation.instance.task import InstanceTask
from tests.common.data.packing import pack_zip
from tests.common.data.pictures import encode, picture


def mask(*columns: int, width: int = 64) -> bytes:
    """A PNG, 48 pixels high, in which each of these columns is an object."""
    values = np.zeros((48, width), np.uint8)
    values[:, list(columns)] = np.arange(1, len(columns) + 1)
    return encode(values, "PNG")


@pytest.fixture
def import_objects(import_archive):
    import_archive.task = InstanceTask()
    return import_archive


def test_what_is_left_out_is_named_and_counted(import_objects):
    """Images without a mask or with a broken one, masks without an image or of another shape."""
    files = {f"images/{number}.jpg": encode(picture(64, 48, seed=number)) for number in range(5)}
    files |= {f"instances/{number}.png": mask(1, 5, 9) for number in (0, 1)}
    files |= {
        "instances/2.png": mask(1)[:50],
        "instances/3.png": mask(1, 5, width=48),
        "instances/9.png": mask(2),
    }

    imported = import_objects(pack_zip(files))

    assert imported.dataset.format == "instance_index"
    objects = {entry.file: len(entry.annotation["objects"]) for entry in imported.entries}
    assert objects == {"images/0.jpg": 3, "images/1.jpg": 3, "images/3.jpg": 0}
    found = imported.findings
    assert found["IMAGES_WITHOUT_OBJECT_MASK"] == ["images/4.jpg"]
    assert found["MASKS_WITHOUT_IMAGE"] == ["instances/9.png"]
    assert [one.partition(":")[0] for one in found["MASKS_UNREADABLE"]] == ["instances/2.png"]
    assert found["OBJECT_MASKS_OF_OTHER_SIZE"] == [
        f"instances/3.png, number {number}: 48 × 48, its image 64 × 48" for number in (1, 2)
    ]
    assert found["IMAGES_LEFT_WITHOUT_OBJECT"] == ["images/3.jpg"]
    assert imported.dataset.skipped_count == 3
