"""Serves object detection: `python -m services.detection`."""

from common import chassis
from services.detection.task import DetectionTask

if __name__ == "__main__":
    chassis.main([DetectionTask()])
