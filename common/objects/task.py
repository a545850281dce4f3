"""What tasks that find objects have in common, as far as no torch is needed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from common.objects import annotation as notes
from common.objects import drafts
from common.objects.checks import MANY_OBJECTS, check_objects
from common.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.findings import Report
    from common.data.images import ImageInfo


class ObjectTask(Task):
    """An annotation is what `common.objects.annotation` says."""

    masks: ClassVar[bool] = False
    """Whether each object has a mask."""

    def complete(
        self, annotation: drafts.Draft, file: str, info: ImageInfo, report: Report
    ) -> dict[str, Any]:
        """Put objects into the image; those that cannot be used are left out and named.

        An image with very many objects is named, too.
        """
        objects = drafts.complete(annotation, file, info, report, masks=self.masks)
        if len(objects) > MANY_OBJECTS:
            report.add("CROWDED_IMAGES", f"{file}: {len(objects)}")
        return notes.write(objects)

    def check(
        self, classes: Sequence[str], annotations: Sequence[Mapping[str, Any]], report: Report
    ) -> None:
        """Report classes with few objects, and objects that are marked."""
        check_objects(classes, annotations, report)

    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """Count the objects of each class."""
        return Counter(one["label"] for one in annotation["objects"])

    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """Replace labels; objects of other classes are gone, the image stays."""
        return {
            "objects": [
                one | {"label": index_of[one["label"]]}
                for one in annotation["objects"]
                if one["label"] in index_of
            ]
        }
