"""What may be set of a training: the table, its schema, and what is refused."""

import dataclasses
import math

import pytest

from common.architectures import Architecture, Recipe
from common.errors import InvalidInput
from common.reasons import Reason
from common.training import recipes
from common.training.recipes import CHOICE, INTEGER, NUMBER, SETTINGS
from nocode.vision.v1 import pipeline_pb2 as pb

PREFIX = "pipeline.training_config."

NUMBERS = [field for field, setting in SETTINGS.items() if setting.type != CHOICE]
CHOICES = [field for field, setting in SETTINGS.items() if setting.type == CHOICE]


def build(class_count):
    raise AssertionError("settings are checked without building a network")


ENTRY = Architecture(
    name="network",
    display_name="Network",
    paper="https://example.com",
    parameter_count=1,
    input_multiple_px=32,
    input_minimum_px=32,
    recipe=Recipe(
        epoch_count=40, batch_size=16, image_size_px=224, learning_rate=1e-3, weight_decay=0.07
    ),
    build=build,
)


def schema_of(field):
    return {setting.field: setting for setting in recipes.schema(ENTRY)}[field]


def refusal(**config):
    with pytest.raises(InvalidInput) as caught:
        recipes.validate(ENTRY, pb.TrainingConfig(**config), prefix=PREFIX)
    return caught.value


def test_every_field_of_the_contract_is_in_the_table_in_its_order():
    """A field that the table lacked would be neither checked nor filled in."""
    fields = [field.name for field in pb.TrainingConfig.DESCRIPTOR.fields]

    assert list(SETTINGS) == fields
    assert [setting.field for setting in recipes.schema(ENTRY)] == fields


def test_every_setting_has_one_line_of_help():
    """It is shown beside the field."""
    for setting in SETTINGS.values():
        assert 20 <= len(setting.help) <= 100
        assert "\n" not in setting.help


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_outside_its_range_is_refused(field):
    """On each side, with the field's path and the range."""
    served = schema_of(field)
    below = served.minimum - 1 or -1  # 0 means the recipe where the least value is 1
    above = math.floor(served.maximum) + 1

    for value in (below, above):
        error = refusal(**{field: int(value) if served.type == INTEGER else value})

        assert error.reason is Reason.FIELD_OUT_OF_RANGE
        assert error.field == PREFIX + field
        assert PREFIX + field in error.message
        assert float(error.details["minimum"]) == served.minimum
        assert float(error.details["maximum"]) == served.maximum


@pytest.mark.parametrize("field", NUMBERS)
def test_the_ends_of_a_range_are_allowed(field):
    """Minimum and maximum, as served, are in the range."""
    served = schema_of(field)
    for value in (served.minimum, served.maximum):
        config = pb.TrainingConfig(**{field: int(value) if served.type == INTEGER else value})

        recipes.validate(ENTRY, config, prefix=PREFIX)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", [f for f in NUMBERS if SETTINGS[f].type == NUMBER])
def test_what_is_no_finite_number_is_refused(field, value):
    """NaN is in no range, although it compares as neither less nor more."""
    assert refusal(**{field: value}).reason is Reason.FIELD_OUT_OF_RANGE


@pytest.mark.parametrize("field", CHOICES)
def test_what_is_no_choice_is_refused_with_those_there_are(field):
    """And each one there is, is taken."""
    error = refusal(**{field: "best"})

    assert error.reason is Reason.FIELD_NOT_A_CHOICE
    assert error.field == PREFIX + field
    for choice in schema_of(field).choices:
        assert choice in error.message
        recipes.validate(ENTRY, pb.TrainingConfig(**{field: choice}), prefix=PREFIX)


def test_an_image_size_between_two_multiples_is_refused_with_both():
    """The caller need not compute."""
    error = refusal(image_size_px=225)

    assert error.reason is Reason.IMAGE_SIZE_NOT_A_MULTIPLE
    assert error.field == f"{PREFIX}image_size_px"
    assert "network needs a multiple of 32" in error.message
    assert "The nearest are 224 and 256" in error.message
    assert error.details["nearest"] == "224,256"
    assert schema_of("image_size_px").multiple_of == 32


def test_what_is_left_out_is_filled_in_from_the_recipe():
    """A field at 0 or empty means the recipe, unless it can be told from one left out."""
    config = pb.TrainingConfig(epoch_count=3, optimizer="sgd", weight_decay=0.0)

    resolved = recipes.resolve(ENTRY, config)

    assert (resolved.epoch_count, resolved.optimizer, resolved.weight_decay) == (3, "sgd", 0.0)
    assert resolved.HasField("weight_decay")
    assert (resolved.batch_size, resolved.learning_rate) == (16, 1e-3)
    assert recipes.resolve(ENTRY, pb.TrainingConfig()).weight_decay == 0.07
    for field in SETTINGS:
        expected = getattr(config if field in _SENT else ENTRY.recipe, field)
        assert getattr(resolved, field) == expected


_SENT = {"epoch_count", "optimizer", "weight_decay"}


def test_the_schema_serves_the_recipe_as_defaults():
    """Numbers as numbers, choices as strings."""
    for served in recipes.schema(ENTRY):
        default = getattr(ENTRY.recipe, served.field)
        kind = "string_value" if served.type == CHOICE else "number_value"

        assert served.default_value.WhichOneof("kind") == kind
        assert getattr(served.default_value, kind) == default


def test_every_recipe_is_within_what_may_be_set():
    """A caller who sends back a recipe as served is not refused."""
    from services.classification.task import ClassificationTask

    for entry in ClassificationTask().learner().registry:
        recipes.validate(entry, recipes.resolve(entry, pb.TrainingConfig()), prefix=PREFIX)


# What means nothing for a task.

OTHER = dataclasses.replace(
    ENTRY, without=frozenset({"label_smoothing"}), input_minimum_px=96, name="other"
)


def test_a_setting_that_means_nothing_is_not_offered():
    """It is neither in the schema nor among the settings in force."""
    assert "label_smoothing" not in [setting.field for setting in recipes.schema(OTHER)]
    assert recipes.resolve(OTHER, pb.TrainingConfig()).label_smoothing == 0
    assert recipes.resolve(ENTRY, pb.TrainingConfig()).label_smoothing == 0.1


def test_a_setting_that_means_nothing_is_refused():
    with pytest.raises(InvalidInput) as caught:
        recipes.validate(OTHER, pb.TrainingConfig(label_smoothing=0.2), prefix=PREFIX)

    assert caught.value.reason == Reason.OPTION_UNSUPPORTED
    assert caught.value.field == f"{PREFIX}label_smoothing"
    assert "means nothing for other" in caught.value.message


def test_an_architecture_may_need_a_larger_image_than_one_multiple():
    schema = {setting.field: setting for setting in recipes.schema(OTHER)}
    with pytest.raises(InvalidInput) as caught:
        recipes.validate(OTHER, pb.TrainingConfig(image_size_px=64), prefix=PREFIX)

    assert schema["image_size_px"].minimum == 96
    assert "[96, 2048]" in caught.value.message
    recipes.validate(OTHER, pb.TrainingConfig(image_size_px=96), prefix=PREFIX)
