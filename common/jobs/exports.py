"""EXPORT jobs: of a model, which needs torch, or of a data set, which does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.jobs.context import JobContext
    from nocode.vision.v1 import job_pb2


def run_export(context: JobContext) -> job_pb2.Export:
    """Do an EXPORT job.

    Raises:
        DomainError: What is to be exported is gone or damaged.
    """
    if context.job.export_spec.dataset:
        from common.data import exporting  # noqa: PLC0415 - each brings what the other needs not

        return exporting.run(context)
    from common.evaluation import export  # noqa: PLC0415

    return export.run_export(context)
