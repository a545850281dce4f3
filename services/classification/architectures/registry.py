"""The registry that the families add to."""

from common.architectures import Registry

classifiers = Registry()
