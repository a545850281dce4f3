"""The sample of COCO, laid out flat."""

from tests.common.data.formats.samples import Counts
from tests.common.data.formats.samples.coco import make

__all__ = ["expected", "make"]


def expected(task):
    covered = {"dog": 30 * 40, "cat": 10 * 80}
    background = 2 * 8000 - 30 * 40 - 10 * 80
    findings = {"IMAGES_WITHOUT_OBJECT", "OBJECTS_WITHOUT_OUTLINE"}
    return Counts(2, {"background": background} | covered, {}, findings)
