"""Image classification: one class for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.data.exporting.image_folder import ImageFolderExporter
from common.data.formats.ade_scenes import AdeScenes
from common.data.formats.csv_table import CsvTable
from common.data.formats.cvat import Cvat
from common.data.formats.datumaro import Datumaro
from common.data.formats.image_folder import ImageFolder
from common.data.formats.label_studio import LabelStudio
from common.data.formats.labelme import LabelMe
from common.data.formats.open_images import OpenImages
from common.data.formats.pictures import Tagged
from common.data.formats.supervisely import Supervisely
from common.data.formats.via import Via
from common.data.hugging_face.reader import HuggingFace
from common.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.exporting import DatasetExporter
    from common.data.formats import Format
    from common.training.learner import Learner


class ClassificationTask(Task):
    """An annotation is `{"label": index}`."""

    name = "classification"
    least_class_count = 2

    @property
    def formats(self) -> Sequence[Format]:
        """Folders, a table, or tags of images as tools export them."""
        return (
            ImageFolder(),
            CsvTable(),
            Tagged(AdeScenes()),
            Tagged(Cvat()),
            Tagged(Datumaro()),
            Tagged(LabelMe()),
            Tagged(LabelStudio()),
            Tagged(OpenImages()),
            Tagged(Supervisely()),
            Tagged(Via()),
            Tagged(HuggingFace()),
        )

    def classes_of(self, annotation: Mapping[str, Any]) -> Mapping[int, int]:
        """An image shows its one class, once."""
        return {annotation["label"]: 1}

    def renumber(
        self, annotation: Mapping[str, Any], index_of: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """Replace the label; without it, nothing is known of the image."""
        label = index_of.get(annotation["label"])
        return None if label is None else {"label": label}

    @property
    def exporters(self) -> Sequence[DatasetExporter]:
        """Folders."""
        return (ImageFolderExporter(),)

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        from services.classification.learner import (  # noqa: PLC0415 - brings torch with it
            ClassificationLearner,
        )

        return ClassificationLearner()
