"""Splits: which images of a data set are trained on, validated on and tested on.

Made once, when a pipeline is created, and kept: every later evaluation of the pipeline's models
uses the same held-out images.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import json_format

from common.data import grouping
from common.data.findings import Report
from common.data.manifest import SUBSETS
from common.data.stratify import TEST, TRAIN, VAL, stratify
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from nocode.vision.v1 import finding_pb2, pipeline_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from common.data.manifest import Entry

    Ints = NDArray[np.int64]
    Fractions = tuple[float, float, float]

DEFAULT_FRACTIONS = (0.7, 0.15, 0.15)
MAX_SEED = 2**32 - 1
"""What every library of random numbers takes."""

_GIVEN_NOWHERE = -1
# A side whose share is further than this from what was asked for is named in a finding.
_SHARE_TOLERANCE = 0.02


def resolve(config: pipeline_pb2.SplitConfig, *, prefix: str) -> pipeline_pb2.SplitConfig:
    """Return the settings with the fractions that are in force filled in.

    Args:
        config: As sent.
        prefix: Where it is in the request, e.g. `pipeline.split_config.`.

    Raises:
        InvalidInput: A value is outside its range, or the fractions do not sum to 1.
    """
    resolved = pipeline_pb2.SplitConfig()
    resolved.CopyFrom(config)
    fields = [f"{subset}_fraction" for subset in SUBSETS]
    fractions = [getattr(config, name) for name in fields]
    for name, fraction in zip(fields, fractions, strict=True):
        if not 0 <= fraction <= 1:  # NaN is not, either
            raise InvalidInput(
                Reason.FIELD_OUT_OF_RANGE,
                f"{prefix}{name} is {fraction}. Send a fraction from 0 to 1.",
                field=prefix + name,
                value=fraction,
                minimum=0,
                maximum=1,
            )
    if not any(fractions):
        for name, default in zip(fields, DEFAULT_FRACTIONS, strict=True):
            setattr(resolved, name, default)
    elif abs(math.fsum(fractions) - 1) > 1e-6:
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"{prefix}train_fraction, val_fraction and test_fraction are "
            f"{', '.join(f'{f:g}' for f in fractions)}, which sum to {math.fsum(fractions):g}. "
            "Send fractions that sum to 1, or none for 0.7, 0.15 and 0.15.",
            field=f"{prefix}train_fraction",
            sum=math.fsum(fractions),
        )
    elif config.train_fraction == 0:
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"{prefix}train_fraction is 0, which leaves nothing to train on. Send more, e.g. 0.7.",
            field=f"{prefix}train_fraction",
        )
    if not 0 <= config.seed <= MAX_SEED:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"{prefix}seed is {config.seed}. Send a whole number from 0 to {MAX_SEED}.",
            field=f"{prefix}seed",
            value=config.seed,
            minimum=0,
            maximum=MAX_SEED,
        )
    if config.group_by:
        grouping.parse_group_by(config.group_by, field=f"{prefix}group_by")
    return resolved


@dataclass(frozen=True)
class Images:
    """What a split needs of a data set's images, in little memory.

    N images, P pairs of an image and a class in it.

    Attributes:
        files: Paths, to name in findings.
        image_P: The image of each pair.
        class_P: The class of each pair.
        weight_P: How much of the class the image shows, where that counts for the split.
        given_N: The side that the data itself puts an image on, an index of `SUBSETS`, or -1.
        duplicate_N: The group of images that look the same, or `grouping.ALONE`.
        key_N: The group that `group_by` gives, or `grouping.ALONE`.
        columns: Names of the data set's further columns.
    """

    files: list[str]
    image_P: Ints
    class_P: Ints
    weight_P: Ints | None
    given_N: Ints
    duplicate_N: Ints
    key_N: Ints
    columns: frozenset[str]

    @classmethod
    def collect(
        cls,
        entries: Iterable[Entry],
        classes_of: Callable[[Mapping[str, Any]], Mapping[int, int]],
        group_by: str = "",
        *,
        weighted: bool = False,
        field: str = "group_by",
    ) -> Images:
        """Go once through a manifest.

        Args:
            entries: The images.
            classes_of: Returns the classes in an annotation, each with how much there is of it.
            group_by: See `grouping.parse_group_by`; may be empty.
            weighted: Sides should have their share of how much there is of each class, not only
                of the images that show it.
            field: Where `group_by` is in the request.
        """
        key_of = grouping.parse_group_by(group_by, field=field) if group_by else None
        files: list[str] = []
        image, label, weight, given, duplicate, key = (array("q") for _ in range(6))
        numbers: dict[str, int] = {}
        columns: set[str] = set()
        for index, entry in enumerate(entries):
            files.append(entry.file)
            for class_index, amount in classes_of(entry.annotation).items():
                image.append(index)
                label.append(class_index)
                weight.append(max(1, amount))
            given.append(SUBSETS.index(entry.split) if entry.split else _GIVEN_NOWHERE)
            duplicate.append(
                grouping.ALONE if entry.duplicate_group is None else entry.duplicate_group
            )
            value = key_of(entry) if key_of else None
            key.append(grouping.ALONE if value is None else numbers.setdefault(value, len(numbers)))
            columns.update(entry.columns)
        return cls(
            files=files,
            image_P=np.array(image),
            class_P=np.array(label),
            weight_P=np.array(weight) if weighted else None,
            given_N=np.array(given),
            duplicate_N=np.array(duplicate),
            key_N=np.array(key),
            columns=frozenset(columns),
        )


def split(
    images: Images,
    config: pipeline_pb2.SplitConfig,
    *,
    classes: Sequence[str],
    dataset_path: str,
    prefix: str = "split_config.",
) -> pipeline_pb2.Splits:
    """Divide a data set's images into train, val and test.

    Every side gets its share of every class, of its pixels too where they count; images that look
    the same, or that `group_by` puts together, stay on one side; what the data itself puts on a
    side stays there, and sides that it lacks are carved from its train part. The same images and
    settings give the same split.

    Args:
        images: The data set's.
        config: Settings as `resolve` returns them.
        classes: Names of the classes, in the order of their indices.
        dataset_path: To be noted in the result.
        prefix: Where the settings are in the request, e.g. `pipeline.split_config.`.

    Returns:
        The split, with findings about what it could not do.

    Raises:
        InvalidInput: The data or `group_by` leave a side without images.
    """
    report = Report()
    _check_keys(images, config.group_by, report, f"{prefix}group_by")
    generator = np.random.default_rng(config.seed)
    given = set(images.given_N[images.given_N != _GIVEN_NOWHERE].tolist())
    unit_N = grouping.unite([images.duplicate_N, images.key_N])
    fractions = (config.train_fraction, config.val_fraction, config.test_fraction)
    if given:
        side_N, wanted = _keep_given(images, unit_N, given, fractions, len(classes), generator)
        method = "given" if given >= set(wanted) else "given+carved"
        _report_leaks(images, side_N, report)
    else:
        side_N = stratify(
            unit_N,
            images.image_P,
            images.class_P,
            class_count=len(classes),
            fractions=fractions,
            generator=generator,
            weight_P=images.weight_P,
        )
        wanted = [side for side in (TRAIN, VAL, TEST) if fractions[side] > 0]
        method = "stratified"
        _report_shares(side_N, fractions, report)
    _report_missing_classes(images, side_N, wanted, classes, report)
    indices = [np.flatnonzero(side_N == side) for side in (TRAIN, VAL, TEST)]
    empty = [side for side in wanted if not len(indices[side])]
    if empty:
        raise _too_few(images, unit_N, [SUBSETS[side] for side in empty], config.group_by, prefix)
    return pipeline_pb2.Splits(
        train=indices[TRAIN].tolist(),
        val=indices[VAL].tolist(),
        test=indices[TEST].tolist(),
        random_seed=config.seed,
        dataset_path=dataset_path,
        method=method,
        findings=report.findings(),
    )


def _keep_given(
    images: Images,
    unit_N: Ints,
    given: set[int],
    fractions: Fractions,
    class_count: int,
    generator: np.random.Generator,
) -> tuple[Ints, list[int]]:
    """Keep the data's own split; carve sides that it lacks, and that are asked for, from train.

    An image that the data puts nowhere counts as one to train on. Images that share a unit with
    one held out by the data stay in train: moving them would spread a leak that is there already.
    """
    carved = [side for side in (VAL, TEST) if side not in given and fractions[side] > 0]
    side_N = np.where(images.given_N == _GIVEN_NOWHERE, TRAIN, images.given_N)
    pool = np.flatnonzero(side_N == TRAIN)
    if carved and len(pool):
        parts = [fractions[s] if s == TRAIN or s in carved else 0.0 for s in (TRAIN, VAL, TEST)]
        train, val, test = (part / math.fsum(parts) for part in parts)
        position_N = np.full(len(side_N), -1)
        position_N[pool] = np.arange(len(pool))
        in_pool_P = position_N[images.image_P] >= 0
        leaking = np.isin(unit_N[pool], unit_N[side_N != TRAIN])
        side_N[pool] = stratify(
            np.unique(unit_N[pool], return_inverse=True)[1],
            position_N[images.image_P[in_pool_P]],
            images.class_P[in_pool_P],
            class_count=class_count,
            fractions=(train, val, test),
            generator=generator,
            pinned_N=leaking,
            weight_P=None if images.weight_P is None else images.weight_P[in_pool_P],
        )
    return side_N, sorted({TRAIN, *given, *carved})


def _too_few(
    images: Images, unit_N: Ints, empty: list[str], group_by: str, prefix: str
) -> InvalidInput:
    sides = " and ".join(empty)
    if "train" in empty:
        advice = "The data itself puts every image in val or test. Import it with a train part."
    elif group_by:
        advice = (
            f"{prefix}group_by {shorten(group_by)!r} and near-duplicates leave "
            f"{int(unit_N.max(initial=-1)) + 1} groups to divide. Group by something finer."
        )
    else:
        advice = "Add images, or set the fraction to 0."
    return InvalidInput(
        Reason.SPLIT_INVALID,
        f"The data set's {len(images.files)} images leave none for {sides}. {advice}",
        field=f"{prefix}group_by" if group_by else f"{prefix}{empty[0]}_fraction",
        image_count=len(images.files),
        empty=",".join(empty),
    )


# Findings.


def _check_keys(images: Images, group_by: str, report: Report, field: str) -> None:
    if not group_by:
        return
    without = np.flatnonzero(images.key_N == grouping.ALONE)
    if len(without) == len(images.files):
        columns = ", ".join(sorted(images.columns)[:20]) or "none"
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"{field} is {shorten(group_by)!r}, which fits none of the data set's images. Its "
            f"first path is {shorten(images.files[0])!r}, and its table's further columns are: "
            f"{columns}.",
            field=field,
            value=shorten(group_by),
        )
    report.add("GROUP_UNKNOWN", (images.files[i] for i in without[:20]), count=len(without))


def _report_leaks(images: Images, side_N: Ints, report: Report) -> None:
    """Name held-out images whose group has images on another side, too."""
    for finding_id, group_N in (
        ("DUPLICATES_ACROSS_SPLITS", images.duplicate_N),
        ("GROUPS_ACROSS_SPLITS", images.key_N),
    ):
        grouped = np.flatnonzero(group_N != grouping.ALONE)
        _, dense = np.unique(group_N[grouped], return_inverse=True)
        sides = np.zeros((int(dense.max(initial=-1)) + 1, 3), dtype=bool)
        sides[dense, side_N[grouped]] = True
        leaks = grouped[(sides.sum(axis=1) > 1)[dense] & (side_N[grouped] != TRAIN)]
        report.add(finding_id, (images.files[i] for i in leaks[:20]), count=len(leaks))


def _report_shares(side_N: Ints, fractions: Fractions, report: Report) -> None:
    shares = np.bincount(side_N, minlength=3) / max(1, len(side_N))
    if (np.abs(shares - fractions) > max(_SHARE_TOLERANCE, 1 / max(1, len(side_N)))).any():
        report.add(
            "SPLIT_SHARES_MISSED",
            SUBSETS,
            shares=", ".join(f"{share:.3f}" for share in shares),
            fractions=", ".join(f"{fraction:g}" for fraction in fractions),
        )


def _report_missing_classes(
    images: Images, side_N: Ints, wanted: Sequence[int], classes: Sequence[str], report: Report
) -> None:
    present = np.zeros((len(classes), 3), dtype=bool)
    present[images.class_P, side_N[images.image_P]] = True
    exists = present.any(axis=1)
    for side in wanted:
        missing = np.flatnonzero(exists & ~present[:, side])
        finding_id = f"CLASS_NOT_IN_{SUBSETS[side].upper()}"
        report.add(finding_id, (classes[i] for i in missing[:20]), count=len(missing))


# As JSON in the bucket.


def to_json(splits: pipeline_pb2.Splits) -> bytes:
    """Write what `dataset_splits.json` holds: indices as numbers, so that any program reads it."""
    return json.dumps(
        {
            "train": list(splits.train),
            "val": list(splits.val),
            "test": list(splits.test),
            "random_seed": splits.random_seed,
            "dataset_path": splits.dataset_path,
            "method": splits.method,
            "findings": [
                json_format.MessageToDict(finding, preserving_proto_field_name=True)
                for finding in splits.findings
            ],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def from_json(data: bytes) -> pipeline_pb2.Splits:
    """Read what `to_json` wrote."""
    content = json.loads(data)
    return pipeline_pb2.Splits(
        train=content["train"],
        val=content["val"],
        test=content["test"],
        random_seed=content["random_seed"],
        dataset_path=content["dataset_path"],
        method=content.get("method", ""),
        findings=[
            json_format.ParseDict(finding, finding_pb2.Finding())
            for finding in content.get("findings", [])
        ],
    )
