"""Serves image classification: `python -m services.classification`."""

from common import chassis
from services.classification.task import ClassificationTask

if __name__ == "__main__":
    chassis.main([ClassificationTask()])
