"""Every reason that an error can carry, in one place: stable names for programs.

Reasons may be added; one is never given another meaning.
"""

from enum import StrEnum, auto


class Reason(StrEnum):
    """`google.rpc.ErrorInfo.reason`, in the domain `nocode.vision`."""

    @staticmethod
    def _generate_next_value_(name: str, _start: int, _count: int, _last: list[str]) -> str:
        return name

    # Any request.
    FIELD_REQUIRED = auto()
    FIELD_OUT_OF_RANGE = auto()
    FIELD_TOO_LONG = auto()
    FIELD_NOT_A_CHOICE = auto()
    FIELD_NOT_ALLOWED = auto()
    NAME_INVALID = auto()
    TASK_UNKNOWN = auto()
    PAGE_TOKEN_INVALID = auto()
    REQUEST_UNREADABLE = auto()
    REQUEST_ID_REUSED = auto()
    RESOURCE_NOT_FOUND = auto()
    RESOURCE_EXISTS = auto()
    RESOURCE_CHANGED = auto()
    INTERNAL = auto()

    # Storage.
    STORAGE_UNAVAILABLE = auto()
    STORAGE_MISCONFIGURED = auto()
    BUCKET_NOT_ALLOWED = auto()
    URI_INVALID = auto()
    OBJECT_NOT_FOUND = auto()

    # Uploads and imports.
    CHECKSUM_MISMATCH = auto()
    ARCHIVE_TOO_LARGE = auto()
    ARCHIVE_CORRUPT = auto()
    ARCHIVE_UNSAFE_PATH = auto()
    ARCHIVE_BOMB = auto()
    ARCHIVE_KIND_UNKNOWN = auto()
    FORMAT_UNKNOWN = auto()
    FORMAT_AMBIGUOUS = auto()
    SOURCE_UNSUPPORTED = auto()
    UPLOAD_NOT_FOUND = auto()
    DATASET_INVALID = auto()
    DATASET_IN_USE = auto()
    TOO_FEW_CLASSES = auto()
    NO_USABLE_IMAGE = auto()
    DISK_FULL = auto()
    HUB_UNAVAILABLE = auto()

    # Pipelines and models.
    ARCHITECTURE_UNKNOWN = auto()
    IMAGE_SIZE_NOT_A_MULTIPLE = auto()
    SPLIT_INVALID = auto()
    PIPELINE_BUSY = auto()
    PIPELINE_NOT_TRAINED = auto()
    PRETRAINED_UNAVAILABLE = auto()
    TRACKING_OFF = auto()
    CLASSES_DIFFER = auto()

    # Jobs.
    QUEUE_FULL = auto()
    OUT_OF_MEMORY = auto()
    WORKER_CRASHED = auto()
    WORKER_LOST = auto()
    DIVERGED = auto()

    # Prediction.
    IMAGE_INVALID = auto()
    IMAGE_TOO_LARGE = auto()
    TOO_MANY_IMAGES = auto()
    MODEL_TOO_LARGE = auto()
    MODEL_DAMAGED = auto()
    OPTION_UNSUPPORTED = auto()
    DEADLINE_TOO_SHORT = auto()
    SERVER_STOPPING = auto()

    # Gateway.
    BACKEND_UNAVAILABLE = auto()
    TOKEN_MISSING = auto()
    TOKEN_INVALID = auto()
    ROLE_MISSING = auto()
    RATE_LIMITED = auto()
    TOO_MANY_CALLS = auto()
    IDENTITY_PROVIDER_UNAVAILABLE = auto()
