"""The light half of the classification task."""

import subprocess
import sys

from common.training.learner import Learner
from services.classification.task import ClassificationTask

TASK = ClassificationTask()


def test_the_likeliest_formats_come_first():
    assert [entry.name for entry in TASK.formats][:2] == ["image_folder", "csv"]


def test_an_image_shows_its_one_class():
    assert TASK.classes_of({"label": 3}) == {3: 1}
    assert TASK.renumber({"label": 3}, {3: 0}) == {"label": 0}


def test_one_class_is_too_few():
    assert TASK.least_class_count == 2


def test_torch_comes_with_the_learner_only():
    """An import must not pay for it."""
    code = (
        "import sys; import common.data.importing; "
        "from services.classification.task import ClassificationTask; ClassificationTask().formats;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_learner():
    assert isinstance(TASK.learner(), Learner)
