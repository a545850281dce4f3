"""What all our pictures share: size, colours, type, and the way to PNG.

Figures are made without `pyplot`, whose figures are global and so neither safe in threads nor
freed. The bytes of a picture depend on nothing but its content and the version of matplotlib.
"""

from __future__ import annotations

import functools
import io
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from common.palette import SERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

DPI = 110
MAX_SIDE_IN = 30.0
"""3,300 pixels: more than a screen shows and less than a viewer refuses."""

BLUE, ORANGE, GREEN, VERMILION = SERIES[:4]
GREY = "#7F7F7F"

_BASE_FAMILY = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew, …
# Used where the machine has them, for what the first lacks.
_MORE_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans",
)
_MISSING = "□"


def figure(width_in: float, height_in: float) -> Figure:
    """Make an empty figure, no larger than a viewer can take, that lays itself out."""
    size = (min(width_in, MAX_SIDE_IN), min(height_in, MAX_SIDE_IN))
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    made = Figure(figsize=size, dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(made)
    return made


def png(made: Figure) -> bytes:
    """Render a figure; the same figure gives the same bytes, whenever and wherever."""
    set_families(made)
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def set_families(made: Figure) -> None:
    """Let every text of a figure fall back on the fonts that this machine has."""
    for text in made.findobj(Text):
        text.set_fontfamily(list(_families()))


def plain(axes: Axes) -> None:
    """Leave only the left and the lower edge."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)


def title(axes: Axes, heading: str, below: str = "") -> None:
    """Put a heading over axes, and what it means under it in small type."""
    if below:
        axes.annotate(
            below, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
            fontsize=9, color="#444444", va="bottom", parse_math=False,
        )  # fmt: skip
    axes.set_title(heading, loc="left", fontsize=13, fontweight="bold", pad=22 if below else 8)


def label(name: str, index: int | None = None, *, limit: int = 22) -> str:
    """Make a name fit for a picture: one line, of at most `limit` characters, and drawable.

    A long name loses its middle, since names often differ at the end. What no font of this
    machine can draw becomes □, and the class's index goes before it to tell classes apart.
    """
    one_line = "".join(
        " " if unicodedata.category(character).startswith(("C", "Z")) else character
        for character in unicodedata.normalize("NFC", name)
    ).strip()
    drawable = "".join(c if ord(c) in _drawable() else _MISSING for c in one_line)
    if len(drawable) > limit:
        end = (limit - 1) // 3
        drawable = drawable[: limit - 1 - end] + "…" + drawable[-end:]
    if index is not None and (_MISSING in drawable or not drawable):
        drawable = f"{index}: {drawable}".strip()
    return drawable


def labels(names: Sequence[str], *, limit: int = 22) -> list[str]:
    """Make class names fit for a picture; those that would look alike get their index."""
    made = [label(name, index, limit=limit) for index, name in enumerate(names)]
    times = Counter(made)
    return [text if times[text] == 1 else f"{index}: {text}" for index, text in enumerate(made)]


@functools.cache
def _families() -> tuple[str, ...]:
    installed = set(font_manager.get_font_names())
    return (_BASE_FAMILY, *(family for family in _MORE_FAMILIES if family in installed))


@functools.cache
def _drawable() -> frozenset[int]:
    """The characters that some font of ours has."""
    return frozenset(
        code
        for family in _families()
        for code in FT2Font(font_manager.findfont(family)).get_charmap()
    )
