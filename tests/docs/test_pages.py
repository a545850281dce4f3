"""What the pages for operators name is there: pages, settings, commands, reasons."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys

import grpc
import pytest
import typer

from client.cli import app
from common.data.findings import FINDINGS
from common.reasons import Reason
from common.settings import ServiceSettings
from common.tracking import sender
from deploy.local.__main__ import RunSettings
from deploy.local.process import REPOSITORY
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens

PAGES = [
    *(REPOSITORY / "docs" / f"{name}.md" for name in ("access", "operations", "runbooks")),
    REPOSITORY / "deploy/k8s/README.md",
]
COMMAND = typer.main.get_command(app)


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return request.param


def anchors(path):
    """Return what GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text):
    """Return the commands of the blocks for a console, those over several lines joined."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]


def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_settings_exist(page):
    """Those of servers, and the variables of the client."""
    kinds = (ServiceSettings, GatewaySettings, RunSettings)
    known = {f"NOCODE_{name.upper()}" for kind in kinds for name in kind.model_fields}
    known |= {option.envvar for option in COMMAND.params if option.envvar}

    assert set(re.findall(r"\bNOCODE_[A-Z0-9_]+", page.read_text())) <= known


def test_reasons_exist(page):
    """Of errors and findings, and the codes of calls."""
    known = {*Reason, *FINDINGS, sender.INCOMPLETE, *grpc.StatusCode.__members__}
    words = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", page.read_text()))

    # Environment variables are tested above, or are other programs'.
    prefixes = ("NOCODE_", "RCLONE_", "MLFLOW_", "OTEL_", "SSL_")
    assert {word for word in words if not word.startswith(prefixes)} <= known


def parse(words):
    """Let the client take a command line, without doing what it says."""
    (at,) = [index for index, word in enumerate(words) if word in COMMAND.commands][:1]
    context = COMMAND.make_context("nocode-vision", words[: at + 1])
    COMMAND.commands[words[at]].make_context(words[at], words[at + 1 :], parent=context)


def test_commands_of_the_client_are_taken(page, monkeypatch):
    """With the options that they have there; files are named as from the repository's root."""
    monkeypatch.chdir(REPOSITORY)
    for name in re.findall(r"`nocode-vision (\w+)", page.read_text()):
        assert name in COMMAND.commands
    for line in commands(page.read_text()):
        words = shlex.split(line.partition(" > ")[0], comments=True)
        if words[0] == "nocode-vision":
            parse(words[1:])


def test_a_wrong_option_would_be_found():
    """The check above is one."""
    with pytest.raises(Exception, match="No such option: --wrong"):
        parse(["--json", "jobs", "--wrong"])


def test_modules_targets_and_folders_exist(page):
    text = page.read_text()
    makefile = (REPOSITORY / "Makefile").read_text()

    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), module
    for target in re.findall(r"[`$] ?make ([\w-]+)", text):
        assert f"\n{target}:" in makefile, target
    for folder in re.findall(r"--kustomize (\S+?)[`\s]", text):
        assert (REPOSITORY / folder / "kustomization.yaml").exists(), folder


def test_python_in_the_shell_is_python():
    """The drill starts an S3 server by a line of it."""
    found = [
        words[2]
        for words in map(shlex.split, commands(PAGES[1].read_text()))
        if words[0] == ".venv/bin/python" and words[1] == "-c"
    ]

    assert found
    for line in found:
        for node in ast.walk(ast.parse(line)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_tokens_that_are_made_as_told_are_taken(tmp_path):
    """The file of the first installation: its first line, and an entry by the program."""
    lines = [line for line in commands(PAGES[-1].read_text()) if line.endswith("> tokens.yaml")]
    script = "\n".join(lines).replace(".venv/bin/python", sys.executable)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    made = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )

    caller = Tokens(tmp_path / "tokens.yaml").caller(
        re.search(r"^ncv_.*$", made.stderr, re.MULTILINE)[0]
    )
    assert caller.name == "token:ci"
