"""Architectures as a client lists them, over a real channel."""

import grpc
import pytest

from nocode.vision.v1 import pipeline_pb2 as pb
from services.classification.task import ClassificationTask

from .calls import PARENT, failure

ARCHITECTURES = [
    "resnet18",
    "resnet50",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "vgg16",
]


@pytest.mark.parametrize("parent", [PARENT, "tasks/-"])
async def test_architectures_are_listed_with_recipe_and_settings(service, parent):
    """Each says all that is needed to choose it and to set it up."""
    response = await service.pipelines.ListArchitectures(pb.ListArchitecturesRequest(parent=parent))

    assert sorted(a.name for a in response.architectures) == sorted(ARCHITECTURES)
    assert not response.next_page_token
    fields = [field.name for field in pb.TrainingConfig.DESCRIPTOR.fields]
    for architecture in response.architectures:
        assert architecture.task == PARENT
        assert architecture.display_name
        assert architecture.paper_uri.startswith("https://")
        assert architecture.parameter_count > 1_000_000
        assert architecture.parameter_count_class_count == 2
        assert architecture.pretrained_weights
        assert [setting.field for setting in architecture.settings] == fields
        for setting in architecture.settings:
            value = getattr(architecture.recipe, setting.field)
            default = setting.default_value
            assert value == (default.string_value or default.number_value)


async def test_architectures_are_listed_in_pages(service):
    """Every architecture is on one page, in the order in which we would try them."""
    listed, token = [], ""
    while token or not listed:
        response = await service.pipelines.ListArchitectures(
            pb.ListArchitecturesRequest(parent=PARENT, page_size=4, page_token=token)
        )
        assert 0 < len(response.architectures) <= 4
        listed += [architecture.name for architecture in response.architectures]
        token = response.next_page_token

    whole = await service.pipelines.ListArchitectures(
        pb.ListArchitecturesRequest(parent=PARENT, page_size=5000)
    )
    assert listed == [architecture.name for architecture in whole.architectures]
    assert listed == [entry.name for entry in ClassificationTask().learner().registry]


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        ({"parent": PARENT, "page_size": -1}, "FIELD_OUT_OF_RANGE", "page_size"),
        ({"parent": PARENT, "page_token": "nonsense"}, "PAGE_TOKEN_INVALID", "page_token"),
        ({"parent": "tasks/detection"}, "TASK_UNKNOWN", "parent"),
        ({"parent": "tasks/cooking"}, "TASK_UNKNOWN", "parent"),
        ({"parent": ""}, "FIELD_REQUIRED", "parent"),
        ({"parent": "pipelines"}, "NAME_INVALID", "parent"),
    ],
)
async def test_lists_refuse_what_is_no_page(service, request_, reason, field):
    """Architectures and pipelines alike."""
    for call in (
        service.pipelines.ListArchitectures(pb.ListArchitecturesRequest(**request_)),
        service.pipelines.ListPipelines(pb.ListPipelinesRequest(**request_)),
    ):
        failed = await failure(call)

        assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (failed.reason, failed.field) == (reason, field)


async def test_a_page_token_is_bound_to_its_parent(service):
    """A token of `tasks/-` says nothing about another parent's pages."""
    response = await service.pipelines.ListArchitectures(
        pb.ListArchitecturesRequest(parent="tasks/-", page_size=1)
    )

    failed = await failure(
        service.pipelines.ListArchitectures(
            pb.ListArchitecturesRequest(parent=PARENT, page_token=response.next_page_token)
        )
    )

    assert failed.reason == "PAGE_TOKEN_INVALID"
