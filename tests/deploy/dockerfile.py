"""Reads the Dockerfile, for the tests of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"


class Step(NamedTuple):
    """An instruction and what follows it, on one line."""

    instruction: str
    text: str


class Stage(NamedTuple):
    """What is between two FROMs."""

    name: str
    parent: str
    steps: list[Step]


def arguments() -> dict[str, str]:
    """Return the default of each ARG."""
    found = [step.text for step in _steps() if step.instruction == "ARG"]
    return {name: value.strip('"') for name, value in (text.split("=", 1) for text in found)}


def stages() -> dict[str, Stage]:
    """Return all stages by name, in order."""
    found: dict[str, Stage] = {}
    for step in _steps():
        if step.instruction == "FROM":
            parent, _, name = step.text.split()
            found[name] = Stage(name, parent, [])
        elif found:
            found[[*found][-1]].steps.append(step)
    return found


def lineage(name: str) -> list[Step]:
    """Return all steps of a stage, those of the stages that it is built on first."""
    stage = stages().get(name)
    return [] if stage is None else lineage(stage.parent) + stage.steps


def _steps() -> list[Step]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not re.match(r"\s*#", line)]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(None, 1)) for line in text.splitlines() if line.strip()]
