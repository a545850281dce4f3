"""What must stay on one side of a split: near-duplicates, and what `group_by` puts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import re2
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from common.data.manifest import Entry

    Ints = NDArray[np.int64]

ALONE = -1
"""The group of an image that shares none."""

MAX_GROUP_BY_LENGTH = 1000


def parse_group_by(group_by: str, *, field: str) -> Callable[[Entry], str | None]:
    r"""Parse `column:{name}` or `path:{regex}` to what gives an image's key, None if it has none.

    The regular expression is of RE2, which takes time linear in the path whatever the pattern:
    a caller cannot make the server hang with one.

    Raises:
        InvalidInput: It is neither, or not a regular expression with a group.
    """
    kind, _, rest = group_by.partition(":")
    if len(group_by) > MAX_GROUP_BY_LENGTH:
        raise InvalidInput(
            Reason.FIELD_TOO_LONG,
            f"{field} has {len(group_by)} characters, but at most {MAX_GROUP_BY_LENGTH} are "
            "allowed.",
            field=field,
            maximum=MAX_GROUP_BY_LENGTH,
        )
    if kind == "column" and rest:
        return lambda entry: entry.columns.get(rest) or None
    if kind == "path" and rest:
        return _key_of_path(rest, field)
    raise InvalidInput(
        Reason.SPLIT_INVALID,
        f"{field} is {shorten(group_by)!r}. Send column:{{name}} or path:{{regex}}, e.g. "
        r"path:patient_(\d+).",
        field=field,
        value=shorten(group_by),
    )


def _key_of_path(pattern: str, field: str) -> Callable[[Entry], str | None]:
    options = re2.Options()
    options.log_errors = False  # the caller is told; the server's log need not be
    try:
        expression = re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0]
        what = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"{field} is {shorten('path:' + pattern)!r}, which RE2 does not take as a regular "
            f"expression: {what}. Its syntax has no look-around and no back-references.",
            field=field,
            value=shorten(pattern),
        ) from None
    if expression.groups == 0:
        raise InvalidInput(
            Reason.SPLIT_INVALID,
            f"{field} is {shorten('path:' + pattern)!r}, which has no group. Put parentheses "
            r"around the part that names what belongs together, e.g. path:patient_(\d+).",
            field=field,
            value=shorten(pattern),
        )

    def key_of(entry: Entry) -> str | None:
        match = expression.search(entry.file)
        key: str | None = match.group(1) if match else None
        return key

    return key_of


def unite(groupings: Sequence[Ints]) -> Ints:
    """Number the units that must stay together, from 0.

    Two images are in one unit if any grouping puts them in the same group, directly or by way
    of other images: a near-duplicate of patient 1's image that lies with patient 2 joins both
    patients.

    Args:
        groupings: For each the group of every image, `ALONE` or a number of at least 0.

    Returns:
        The unit of every image.
    """
    image_count = len(groupings[0])
    images, nodes = [], []
    node_count = image_count
    for group_N in groupings:
        grouped = np.flatnonzero(group_N != ALONE)
        _, dense = np.unique(group_N[grouped], return_inverse=True)
        images.append(grouped)
        nodes.append(node_count + dense)
        node_count += int(dense.max(initial=-1)) + 1
    # A graph of images and groups, with an edge where an image is in a group.
    ends: tuple[Any, Any] = (np.concatenate(images), np.concatenate(nodes))
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(node_count, node_count))
    _, component = connected_components(graph, directed=False)
    _, unit_N = np.unique(component[:image_count], return_inverse=True)
    return unit_N.astype(np.int64)
