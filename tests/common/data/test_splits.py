"""Splits of data sets: what is kept, what is carved, what is refused and what is noticed."""

import json
from dataclasses import replace

import pytest

from common.data import splits
from common.data.manifest import Entry
from common.errors import InvalidInput
from common.reasons import Reason
from nocode.vision.v1 import pipeline_pb2 as pb

PATH = "s3://bucket/tasks/classification/datasets/digits/"
CLASSES = ["zero", "one", "two"]


def entries(*rows):
    """Make a manifest of (label, split, duplicate group) rows, or just labels."""
    made = []
    for index, row in enumerate(rows):
        label, split, group = row if isinstance(row, tuple) else (row, None, None)
        made.append(
            Entry(
                f"{split or 'all'}/{index:03}.png",
                "00000.tar",
                index,
                1,
                f"{index:064x}",
                8,
                8,
                {"label": label},
                split=split,
                duplicate_group=group,
                columns={"site": f"site-{index // 5}"} if index < 40 else {},
            )
        )
    return made


def split(manifest, **config):
    resolved = splits.resolve(pb.SplitConfig(**config), prefix="split_config.")
    images = splits.Images.collect(
        manifest, lambda annotation: {annotation["label"]: 1}, resolved.group_by
    )
    return splits.split(images, resolved, classes=CLASSES, dataset_path=PATH)


def ids(made):
    return {finding.id: finding for finding in made.findings}


def test_a_split_is_stratified_and_says_how_it_was_made():
    """Every image is on one side, ascending; the seed and the data set are noted."""
    made = split(entries(*[index % 3 for index in range(120)]), seed=5)

    assert (len(made.train), len(made.val), len(made.test)) == (84, 18, 18)
    assert sorted([*made.train, *made.val, *made.test]) == list(range(120))
    for side in (made.train, made.val, made.test):
        assert list(side) == sorted(side)
    assert [sum(index % 3 == k for index in made.test) for k in range(3)] == [6, 6, 6]
    assert (made.method, made.random_seed, made.dataset_path) == ("stratified", 5, PATH)
    assert not made.findings


@pytest.mark.parametrize("given", [None, "train"])
def test_a_split_shares_out_how_much_there_is_of_a_class_where_that_counts(given):
    """Images of 1000 pixels are on each side as often as those of 10, carved sides included."""
    manifest = entries(*[(0, given, None)] * 100)
    pixels = {entry.file: 1000 if index % 2 else 10 for index, entry in enumerate(manifest)}
    rows = [replace(entry, annotation={"pixels": pixels[entry.file]}) for entry in manifest]
    config = splits.resolve(
        pb.SplitConfig(train_fraction=0.6, val_fraction=0.2, test_fraction=0.2), prefix=""
    )

    images = splits.Images.collect(rows, lambda said: {0: said["pixels"]}, weighted=True)
    made = splits.split(images, config, classes=CLASSES, dataset_path=PATH)

    for side, size in ((made.train, 60), (made.val, 20), (made.test, 20)):
        assert len(side) == size
        assert sum(index % 2 for index in side) == size / 2


def test_duplicates_stay_on_one_side():
    """Images of a duplicate group are together, whatever their labels."""
    made = split(entries(*[(index % 3, None, index // 4) for index in range(120)]))

    for side in (made.train, made.val, made.test):
        assert {index // 4 for index in side} == {index // 4 for index in side if index % 4 == 0}
        assert len(side) % 4 == 0


def test_group_by_keeps_a_column_together_and_names_images_without():
    """Images with the same value stay on one side; the others are divided one by one."""
    made = split(entries(*[index % 3 for index in range(60)]), group_by="column:site")

    for side in (made.train, made.val, made.test):
        grouped = [index for index in side if index < 40]
        assert len(grouped) % 5 == 0
        assert len({index // 5 for index in grouped}) == len(grouped) // 5
    assert ids(made)["GROUP_UNKNOWN"].count == 20


def test_a_group_by_that_fits_nothing_is_refused():
    """The message shows a path and the columns that there are."""
    with pytest.raises(InvalidInput, match=r"all/000\.png.*site") as caught:
        split(entries(0, 1, 2), group_by="column:patient")

    assert caught.value.reason is Reason.SPLIT_INVALID
    assert caught.value.field == "split_config.group_by"


def test_a_group_by_that_leaves_a_side_empty_is_refused():
    """One group cannot be on two sides."""
    with pytest.raises(InvalidInput, match="1 groups to divide") as caught:
        split(entries(*[index % 3 for index in range(30)]), group_by="path:^(all)/")

    assert caught.value.reason is Reason.SPLIT_INVALID
    assert caught.value.field == "split_config.group_by"


def test_a_complete_given_split_is_kept():
    """Fractions and seed have no say in it."""
    sides = ["train"] * 10 + ["val"] * 30 + ["test"] * 20

    made = split(entries(*[(i % 3, side, None) for i, side in enumerate(sides)]), seed=3)

    assert list(made.train) == list(range(10))
    assert list(made.val) == list(range(10, 40))
    assert list(made.test) == list(range(40, 60))
    assert made.method == "given"


def test_a_missing_val_is_carved_from_train_alone():
    """Its size is what the fractions of train and val say; given test images stay."""
    rows = [(i % 3, "train", i // 2) for i in range(120)] + [
        (i % 3, "test", None) for i in range(9)
    ]

    made = split(entries(*rows))

    assert list(made.test) == list(range(120, 129))
    assert abs(len(made.val) - 120 * 0.15 / 0.85) <= 2
    assert sorted([*made.train, *made.val]) == list(range(120))
    assert all((index ^ 1) in set(made.val) for index in made.val)  # pairs are whole
    assert [sum(i % 3 == k for i in made.val) // 6 for k in range(3)] == [1, 1, 1]
    assert made.method == "given+carved"


def test_only_train_given_means_both_others_are_carved():
    """As if nothing was given, but named as it is."""
    made = split(entries(*[(i % 3, "train", None) for i in range(100)]))

    assert (len(made.train), len(made.val), len(made.test)) == (70, 15, 15)
    assert made.method == "given+carved"


def test_images_that_the_data_puts_nowhere_are_trained_on():
    """A table that names the test images only leaves the others to train and val."""
    rows = [(i % 3, None, None) for i in range(85)] + [(i % 3, "test", None) for i in range(9)]

    made = split(entries(*rows))

    assert list(made.test) == list(range(85, 94))
    assert (len(made.train), len(made.val)) == (70, 15)


def test_a_given_split_without_train_images_is_refused():
    """There is nothing to train on, and nothing is taken from what is held out."""
    with pytest.raises(InvalidInput, match="Import it with a train part") as caught:
        split(entries(*[(i % 3, "test", None) for i in range(30)]))

    assert caught.value.reason is Reason.SPLIT_INVALID


def test_a_leak_in_the_given_split_is_kept_and_named():
    """The finding counts the held-out images; their mates are not spread further."""
    rows = [(i % 3, "train", i if i < 5 else None) for i in range(60)]
    rows += [(i % 3, "test", i if i < 5 else None) for i in range(12)]

    made = split(entries(*rows))

    leak = ids(made)["DUPLICATES_ACROSS_SPLITS"]
    assert leak.count == 5
    assert list(leak.examples) == [f"test/{60 + i:03}.png" for i in range(5)]
    assert set(range(5)) <= set(made.train)
    assert list(made.test) == list(range(60, 72))


def test_a_group_on_both_sides_of_a_given_split_is_named():
    """Groups of `group_by` have a finding of their own."""
    rows = [(i % 3, "train" if i % 10 < 7 else "test", None) for i in range(40)]

    made = split(entries(*rows), group_by="column:site")

    # Each ten images are two sites of five; the second has images in test, some in train.
    assert ids(made)["GROUPS_ACROSS_SPLITS"].count == 12


def test_classes_too_small_for_all_sides_are_named():
    """A class of two images is in train and test; one of a single image in train only."""
    made = split(entries(*[0] * 30, 1, 1, 2))

    assert list(ids(made)["CLASS_NOT_IN_VAL"].examples) == ["one", "two"]
    assert list(ids(made)["CLASS_NOT_IN_TEST"].examples) == ["two"]
    assert "CLASS_NOT_IN_TRAIN" not in ids(made)


def test_a_class_in_test_alone_is_named():
    """The data's own split may leave a class that nobody can learn."""
    rows = [(i % 2, "train", None) for i in range(30)] + [(i % 3, "test", None) for i in range(9)]

    assert list(ids(split(entries(*rows)))["CLASS_NOT_IN_TRAIN"].examples) == ["two"]


def test_shares_that_groups_make_impossible_are_named():
    """One group of half the images is on one side whole."""
    rows = [(i % 3, None, 0 if i < 60 else None) for i in range(80)]

    finding = ids(split(entries(*rows), train_fraction=0.2, val_fraction=0.4, test_fraction=0.4))

    assert "0.2, 0.4, 0.4" in finding["SPLIT_SHARES_MISSED"].message


def test_too_few_images_are_refused():
    """Two images cannot be on three sides."""
    with pytest.raises(InvalidInput, match="2 images leave none for val") as caught:
        split(entries(0, 1))

    assert caught.value.reason is Reason.SPLIT_INVALID
    assert caught.value.field == "split_config.val_fraction"


def test_a_fraction_of_zero_leaves_its_side_empty():
    """Nobody has to hold out images to test on."""
    made = split(entries(*[i % 3 for i in range(100)]), train_fraction=0.8, val_fraction=0.2)

    assert (len(made.train), len(made.val), len(made.test)) == (80, 20, 0)
    assert not made.findings


@pytest.mark.parametrize(
    ("config", "field", "reason"),
    [
        ({"train_fraction": -0.1}, "train_fraction", Reason.FIELD_OUT_OF_RANGE),
        ({"val_fraction": 1.1}, "val_fraction", Reason.FIELD_OUT_OF_RANGE),
        ({"test_fraction": float("nan")}, "test_fraction", Reason.FIELD_OUT_OF_RANGE),
        ({"train_fraction": 0.7}, "train_fraction", Reason.SPLIT_INVALID),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "train_fraction", Reason.SPLIT_INVALID),
        ({"seed": -1}, "seed", Reason.FIELD_OUT_OF_RANGE),
        ({"seed": 2**32}, "seed", Reason.FIELD_OUT_OF_RANGE),
        ({"group_by": "patient"}, "group_by", Reason.SPLIT_INVALID),
    ],
)
def test_settings_out_of_range_are_refused(config, field, reason):
    """Each is named by its path in the request."""
    with pytest.raises(InvalidInput) as caught:
        splits.resolve(pb.SplitConfig(**config), prefix="pipeline.split_config.")

    assert caught.value.field == f"pipeline.split_config.{field}"
    assert caught.value.reason is reason


def test_fractions_left_out_are_filled_in():
    """What is in force can be read from the pipeline."""
    resolved = splits.resolve(pb.SplitConfig(seed=9), prefix="")

    assert (resolved.train_fraction, resolved.val_fraction, resolved.test_fraction) == (
        *splits.DEFAULT_FRACTIONS,
    )
    assert resolved.seed == 9


def test_json_has_the_promised_keys_and_plain_numbers():
    """`train`, `val`, `test`, `random_seed` and `dataset_path` come first; nothing is lost."""
    made = split(entries(*[0] * 30, 1, 1, 2), seed=2**32 - 1)

    data = splits.to_json(made)

    content = json.loads(data)
    assert list(content)[:5] == ["train", "val", "test", "random_seed", "dataset_path"]
    assert content["random_seed"] == 2**32 - 1
    assert content["train"] == list(made.train)
    assert splits.from_json(data) == made


def test_json_with_the_promised_keys_alone_is_read():
    """A split that somebody else wrote needs no more."""
    made = splits.from_json(
        b'{"train": [0, 2], "val": [1], "test": [], "random_seed": 1, "dataset_path": "s3://b/d/"}'
    )

    assert list(made.train) == [0, 2]
    assert made.random_seed == 1


def test_the_same_images_and_settings_give_the_same_split():
    """And another seed gives another."""
    manifest = entries(*[(i % 3, None, i // 3 if i % 2 else None) for i in range(120)])

    assert split(manifest, seed=1) == split(manifest, seed=1)
    assert split(manifest, seed=1).test != split(manifest, seed=2).test
