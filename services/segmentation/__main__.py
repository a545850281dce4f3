"""Serves semantic and instance segmentation: `python -m services.segmentation`."""

from common import chassis
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask

if __name__ == "__main__":
    chassis.main([SemanticTask(), InstanceTask()])
