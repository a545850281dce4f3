"""The classes of Cityscapes by the numbers that its masks have.

Facts of https://www.cityscapes-dataset.com/dataset-overview/.
"""

from __future__ import annotations

from common.data.formats.class_lines import ClassRow
from common.data.formats.class_tables import ClassTable

_NAMES = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic"),
    *("ground", "road", "sidewalk", "parking", "rail track", "building", "wall", "fence"),
    *("guard rail", "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan"),
    *("trailer", "train", "motorcycle", "bicycle"),
)
# Those that a model is trained on and measured by; the place of each is its number in `trainIds`.
_COUNTED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_FIRST_OBJECT = 24
_VOID = "void"

OBJECTS = {value: _NAMES[value] for value in range(_FIRST_OBJECT, len(_NAMES))}
"""The classes that have single objects."""


def table(masks: str, *, every: bool = False) -> ClassTable:
    """Return the classes of a set of masks.

    Args:
        masks: Its name; `trainIds` in it say that classes are numbered as they are trained on.
        every: All classes; else those that are neither trained on nor measured are void.
    """
    if "trainids" in masks.lower():
        rows = [ClassRow(_NAMES[value], number) for number, value in enumerate(_COUNTED)]
    else:
        rows = [
            ClassRow(name if every or value in _COUNTED else _VOID, value)
            for value, name in enumerate(_NAMES)
        ]
    return ClassTable("the classes of Cityscapes", tuple(rows))
