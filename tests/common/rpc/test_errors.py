"""Every error that a caller can see, as a status."""

import importlib
import logging
import pkgutil

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import common
from common import errors as domain
from common.reasons import Reason
from common.rpc import errors

TRAILER_LIMIT_BYTES = 8 * 1024


def all_subclasses(kind: type) -> set[type]:
    return {found for sub in kind.__subclasses__() for found in {sub, *all_subclasses(sub)}}


def detail(status: status_pb2.Status, kind: type):
    """The status's one detail of a kind, or None."""
    message = None
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            assert message is None
            message = kind()
            packed.Unpack(message)
    return message


def test_no_error_class_is_missing_from_the_table():
    """A class of `common.errors` has a code of its own; one defined elsewhere, that of its base."""
    for module in pkgutil.walk_packages(common.__path__, "common."):
        importlib.import_module(module.name)
    classes = all_subclasses(domain.DomainError)

    assert {kind for kind in classes if kind.__module__ == domain.__name__} == set(errors.CODE_OF)
    assert all(set(kind.__mro__) & set(errors.CODE_OF) for kind in classes)


def test_status_says_reason_field_and_details():
    """What the message says to a person, the details say to a program."""
    error = domain.InvalidInput(
        Reason.IMAGE_SIZE_NOT_A_MULTIPLE,
        "training_config.image_size_px is 500.",
        field="training_config.image_size_px",
        value=500,
        multiple_px=32,
    )

    status = errors.to_status(error)

    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == "training_config.image_size_px is 500."
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info.reason == "IMAGE_SIZE_NOT_A_MULTIPLE"
    assert info.domain == "nocode.vision"
    assert dict(info.metadata) == {"value": "500", "multiple_px": "32"}
    (violation,) = detail(status, error_details_pb2.BadRequest).field_violations
    assert violation.field == "training_config.image_size_px"
    assert violation.description == status.message
    assert violation.reason == "IMAGE_SIZE_NOT_A_MULTIPLE"
    assert detail(status, error_details_pb2.RetryInfo) is None


def test_status_says_when_to_try_again():
    error = domain.Exhausted(Reason.QUEUE_FULL, "The queue is full.", retry_after_s=2.5)

    status = errors.to_status(error)

    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    delay = detail(status, error_details_pb2.RetryInfo).retry_delay
    assert delay.ToMilliseconds() == 2500
    assert detail(status, error_details_pb2.BadRequest) is None


@pytest.mark.parametrize("letter", ["a", "é", "漢", "🦉", "\ud800"])
def test_a_long_error_fits_in_metadata(letter):
    """Whatever a caller sent and we repeat: a status over 8 KiB might never arrive."""
    error = domain.InvalidInput(
        Reason.NAME_INVALID,
        letter * 50_000,
        field=letter * 5_000,
        **{f"detail_{i}": letter * 5_000 for i in range(50)},
    )

    status = errors.to_status(error)

    # grpc-message is percent-encoded, the details are in base64
    percent_encoded = 3 * len(status.message.encode())
    assert percent_encoded + status.ByteSize() * 4 / 3 < TRAILER_LIMIT_BYTES
    assert status.message.endswith("…")


def test_an_unexpected_error_is_told_to_the_log_only(caplog):
    """The text of an exception may hold a key; the caller gets an id to find it in the log."""
    with caplog.at_level(logging.ERROR):
        try:
            raise RuntimeError("secret-key-123")
        except RuntimeError as error:
            status = errors.unexpected(error, doing="Predict")

    info = detail(status, error_details_pb2.ErrorInfo)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert info.reason == "INTERNAL"
    assert b"secret" not in status.SerializeToString()
    assert info.metadata["incident"] in status.message
    assert info.metadata["incident"] in caplog.text
    assert "secret-key-123" in caplog.text
    assert "test_an_unexpected_error" in caplog.text
