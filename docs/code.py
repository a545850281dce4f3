"""The picture of the code: what each service holds beside `common/`, in lines.

`python -m docs.code` draws `docs/code.png` anew and prints the figures. A line counts if it has
code on it: not blank, not a comment, not a docstring.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "code.png"
SERVICES = {
    "classification": "services/classification",
    "detection": "services/detection",
    "semantic segmentation": "services/segmentation/semantic",
    "instance segmentation": "services/segmentation/instance",
}
_ARCHITECTURES = "architectures"
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> dict[int, str]:
    """Return the lines with code on them, stripped, by their number from 1."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            numbers.update(range(token.start[0], token.end[0] + 1))
    lines = source.splitlines()
    return {number: lines[number - 1].strip() for number in sorted(numbers - docstrings)}


def count(folder: Path) -> int:
    """Return the lines of code of a folder and all below it."""
    return sum(len(code_lines(path.read_text())) for path in folder.rglob("*.py"))


def parts() -> list[tuple[str, int, int]]:
    """Return each bar of the picture: its name, its lines, and how many are architectures."""
    bars = []
    for name, folder in SERVICES.items():
        inside = ROOT / folder
        bars.append((name, count(inside), count(inside / _ARCHITECTURES)))
    shared = ROOT / "common"
    folders = sorted(path for path in shared.iterdir() if any(path.rglob("*.py")))
    sizes = sorted(((count(path), path.name) for path in folders if path.is_dir()), reverse=True)
    rest = count(shared) - sum(size for size, _ in sizes)
    bars += [(f"common/{name}", size, 0) for size, name in sizes]
    return [*bars, ("common/*.py", rest, 0)]


def draw(bars: list[tuple[str, int, int]]) -> None:
    """Draw the bars, services on top."""
    figure = Figure(figsize=(9, 0.32 * len(bars) + 1.4), layout="constrained")
    axes = figure.subplots()
    places = range(len(bars), 0, -1)
    for place, (name, lines, architectures) in zip(places, bars, strict=True):
        is_shared = name.startswith("common")
        axes.barh(place, lines, color="#9ecae1" if is_shared else "#e6550d")
        axes.barh(place, architectures, color="#fdae6b")
        axes.text(lines, place, f" {lines:,}", va="center", fontsize=8)
    axes.set_yticks(list(places), [name for name, *_ in bars], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("Lines of code, without blank lines, comments and docstrings", fontsize=8)
    shared = sum(lines for name, lines, _ in bars if name.startswith("common"))
    own = sum(lines for name, lines, _ in bars if not name.startswith("common"))
    axes.set_title(
        f"What differs between tasks: {own:,} lines (light: architectures); what is written once: "
        f"{shared:,}",
        loc="left",
        fontsize=10,
    )
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    """Print the figures and draw them."""
    bars = parts()
    for name, lines, architectures in bars:
        note = f"  of which architectures {architectures:,}" if architectures else ""
        print(f"{name:24}{lines:7,}{note}")
    draw(bars)
    print(f"Drawn: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
