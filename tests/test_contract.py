"""The contract as a whole: implemented, routable, and true about its error reasons."""

import importlib
import pkgutil
import re
from pathlib import Path

import grpc
import pytest

from common.data.findings import FINDINGS
from common.reasons import Reason
from common.rpc import contract
from common.serving import servicers
from nocode.vision.v1 import (
    dataset_pb2_grpc,
    job_pb2_grpc,
    model_pb2_grpc,
    pipeline_pb2_grpc,
    prediction_pb2_grpc,
)

ROOT = Path(__file__).parent.parent
PROTOS = sorted((ROOT / "protos").rglob("*.proto"))
SOURCES = [
    path for part in ("common", "gateway", "services") for path in (ROOT / part).rglob("*.py")
]
STUBS = (
    dataset_pb2_grpc,
    pipeline_pb2_grpc,
    model_pb2_grpc,
    job_pb2_grpc,
    prediction_pb2_grpc,
)

by_path = pytest.mark.parametrize("method", contract.METHODS.values(), ids=contract.METHODS)
of_lists = pytest.mark.parametrize(
    "method",
    [method for method in contract.METHODS.values() if method.name.startswith("List")],
    ids=lambda method: method.name,
)


def generated(service):
    """Return the generated base class of a service's servicers."""
    name = f"{service.name}Servicer"
    return next(getattr(module, name) for module in STUBS if hasattr(module, name))


@by_path
def test_a_servicer_implements_it(method):
    """One servicer a service, in `common`, for all tasks."""
    for module in pkgutil.iter_modules(servicers.__path__):
        importlib.import_module(f"{servicers.__name__}.{module.name}")
    base = generated(method.containing_service)

    (servicer,) = (
        kind for kind in base.__subclasses__() if kind.__module__.startswith(servicers.__name__)
    )

    assert getattr(servicer, method.name) is not getattr(base, method.name)


@by_path
def test_field_1_of_the_request_is_its_name_or_parent(method):
    """It is all that the gateway reads."""
    field = method.input_type.fields_by_number[1]

    assert field.name in {"name", "parent"}
    assert field.type == field.TYPE_STRING


@of_lists
def test_lists_have_one_shape(method):
    """The gateway merges the pages of several services without knowing what is on them."""
    asked = {field.name: field.number for field in method.input_type.fields}
    answered = {field.name: field.number for field in method.output_type.fields}

    assert asked == {"parent": 1, "page_size": 2, "page_token": 3}
    assert sorted(answered.values()) == [1, 2]
    assert method.output_type.fields_by_number[1].is_repeated
    assert answered["next_page_token"] == 2


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_names_in_the_comments_exist(path):
    """Reasons, findings, codes and states that a comment names are ones that can be sent."""
    named = set(re.findall(r"`([A-Z][A-Z_0-9]+)`", path.read_text()))
    contract_text = "".join(proto.read_text() for proto in PROTOS)
    enums = set(re.findall(r"^ +([A-Z_0-9]+) = \d+;$", contract_text, re.MULTILINE))

    assert named <= set(Reason) | set(FINDINGS) | set(grpc.StatusCode.__members__) | enums


def test_reasons_that_are_used_are_listed_and_the_other_way_round():
    """A name that is not listed would fail when the error is raised, which may be never."""
    used = {
        name
        for path in SOURCES
        for name in re.findall(r"\bReason\.([A-Z][A-Z_0-9]+)\b", path.read_text())
    }

    assert used - set(Reason) == set()
    assert set(Reason) - used == set()
