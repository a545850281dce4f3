"""Field 1 of a request, whatever its bytes, and the backend that it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BackendUnavailable, InvalidInput
from common.reasons import Reason
from common.rpc.contract import METHODS
from gateway.routing import Router, first_field
from gateway.settings import TASKS_OF
from nocode.vision.v1 import prediction_pb2


def field(number, value):
    """Return a field of bytes on the wire, with a tag of one byte and a length of one byte."""
    return bytes([number << 3 | 2, len(value)]) + value


NAME = b"tasks/detection/jobs/a"


@pytest.mark.parametrize(
    ("request_bytes", "name"),
    [
        pytest.param(field(1, NAME), NAME, id="alone"),
        pytest.param(field(2, b"x") + field(1, NAME), NAME, id="not first"),
        pytest.param(field(1, b"old") + field(1, NAME), NAME, id="twice: the last counts"),
        pytest.param(b"\x10\x05" + field(1, NAME) + b"\x1d\0\0\0\0", NAME, id="among numbers"),
        pytest.param(b"\x13\x08\x01\x14" + field(1, NAME), NAME, id="after a group"),
        pytest.param(field(2, field(1, b"inner")), b"", id="field 1 of a part is not meant"),
        pytest.param(b"\x08\x05", b"", id="a number in its place"),
        pytest.param(b"", b"", id="empty"),
        pytest.param(b"\x0a\x00", b"", id="empty name"),
        pytest.param(b"\x0a\x96\x80\x00" + NAME, NAME, id="length in more bytes than needed"),
    ],
)
def test_the_first_field_is_read_as_protobuf_reads_it(request_bytes, name):
    assert first_field(request_bytes) == name.decode()


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"\x0a", id="no length"),
        pytest.param(b"\x0a\x05abc", id="shorter than its length"),
        pytest.param(b"\x0a\xff\xff\xff\xff\x0f", id="length of 4 GiB"),
        pytest.param(field(1, b"\xff\xfe"), id="not UTF-8"),
        pytest.param(b"\x0f", id="wire type 7"),
        pytest.param(b"\x00", id="field 0"),
        pytest.param(b"\x13\x08\x01", id="group without an end"),
        pytest.param(b"\x10" + b"\xff" * 11, id="number of 11 bytes"),
        pytest.param(field(1, NAME) + b"\x12\x05", id="cut off later"),
    ],
)
def test_bytes_that_are_no_message_are_refused(request_bytes):
    with pytest.raises(InvalidInput) as raised:
        first_field(request_bytes)

    assert raised.value.reason is Reason.REQUEST_UNREADABLE


@given(
    name=st.text(),
    images=st.lists(st.binary(max_size=300), max_size=4),
    rest=st.binary(max_size=40),
)
def test_the_first_field_is_what_the_backend_will_read(name, images, rest):
    """Whatever else is in the request, and whatever follows, as long as it parses."""
    request_bytes = (
        prediction_pb2.PredictRequest(
            images=[prediction_pb2.Image(content=image) for image in images], name=name
        ).SerializeToString()
        + rest
    )
    try:
        read = first_field(request_bytes)
    except InvalidInput:
        with pytest.raises(Exception, match=r"(?i)pars"):
            prediction_pb2.PredictRequest.FromString(request_bytes)
        return
    try:
        parsed = prediction_pb2.PredictRequest.FromString(request_bytes)
    except Exception:  # noqa: BLE001 - a part of it is malformed, which the backend will say
        return

    assert read == parsed.name


def test_field_1_of_every_request_is_its_name_or_parent():
    """All that the gateway reads, of all methods, in the contract as it is today."""
    firsts = {method.input_type.fields_by_number[1].name for method in METHODS.values()}

    assert firsts == {"name", "parent"}


class _Backend:
    def __init__(self, name):
        self.name = name
        self.tasks = TASKS_OF[name]


@pytest.fixture
def router():
    """Without a backend for detection."""
    return Router([_Backend("classification"), _Backend("segmentation")])


@pytest.mark.parametrize(
    ("name", "field", "backend"),
    [
        ("tasks/classification", "parent", "classification"),
        ("tasks/classification/models/m", "name", "classification"),
        ("tasks/semantic-segmentation/pipelines/p", "name", "segmentation"),
        ("tasks/instance-segmentation", "parent", "segmentation"),
        # what else is wrong with a name is for the backend to say
        ("tasks/classification/nonsense", "name", "classification"),
    ],
)
def test_the_task_decides(router, name, field, backend):
    assert router.backend(router.task(name, field=field)).name == backend


@pytest.mark.parametrize(
    ("name", "field", "reason"),
    [
        ("", "name", Reason.FIELD_REQUIRED),
        ("", "parent", Reason.FIELD_REQUIRED),
        ("tasks/sorting", "parent", Reason.TASK_UNKNOWN),
        ("tasks/sorting/models/m", "name", Reason.TASK_UNKNOWN),
        ("tasks/-/models/m", "name", Reason.NAME_INVALID),
        ("tasks/-", "parent", Reason.NAME_INVALID),
        ("tasks", "parent", Reason.NAME_INVALID),
        ("tasks/", "name", Reason.NAME_INVALID),
        ("tasks/Classification/models/m", "name", Reason.NAME_INVALID),
        ("classification/models/m", "name", Reason.NAME_INVALID),
        ("/tasks/classification/models/m", "name", Reason.NAME_INVALID),
        ("x" * 100_000, "name", Reason.NAME_INVALID),
    ],
)
def test_a_name_without_a_task_that_exists_is_refused(router, name, field, reason):
    with pytest.raises(InvalidInput) as raised:
        router.task(name, field=field)

    assert raised.value.reason is reason
    assert raised.value.field == field
    assert len(raised.value.message) < 500


@pytest.mark.parametrize("name", ["tasks/-/", "tasks/-/jobs", "tasks/-/models/m", "tasks/--"])
def test_what_only_begins_as_all_tasks_is_refused(router, name):
    """By the lists, too, which take `tasks/-`."""
    with pytest.raises(InvalidInput, match="or tasks/-, where") as raised:
        router.task(name, field="parent", wildcard=True)

    assert raised.value.reason is Reason.NAME_INVALID


def test_a_backend_that_is_not_set_up_is_named(router):
    with pytest.raises(BackendUnavailable, match="detection, which is not set up") as raised:
        router.backend(router.task("tasks/detection/models/m", field="name"))

    assert raised.value.details == {"backend": "detection"}
