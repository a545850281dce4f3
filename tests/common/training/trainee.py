"""Does a TRAIN job in a process of its own, so that a test can kill it.

Prints a line for each report; settings come from the environment.
"""

from __future__ import annotations

import sys

from common.jobs.context import JobContext
from common.settings import ServiceSettings, load
from common.storage import resources
from common.storage.bucket import Bucket
from common.training.run import run_train
from services.classification.task import ClassificationTask


class Printing(JobContext):
    """Says where it is."""

    def progress(self, **values: object) -> None:
        """Print epoch and step."""
        super().progress(**values)
        if values.get("step") and values.get("epoch"):
            line = f"epoch {values['epoch']} step {values['step']}\n"
            sys.stdout.write(line)
            sys.stdout.flush()


def main(job: str) -> None:
    """Do it."""
    settings = load(ServiceSettings)
    bucket = Bucket(settings)
    run_train(
        Printing(
            resources.jobs(bucket).get(job),
            task=ClassificationTask(),
            bucket=bucket,
            settings=settings,
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
