"""The README: every command in it works as printed, in the order in which it is printed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path

import pytest

from client import Client
from deploy.local.__main__ import RunSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:50050"
GRPCURL = Path(sys.executable).with_name("grpcurl")

# Runs this very test, or the checks around it; or is run by a test of its own below.
DEMOS = {"make demo", "make demo-detection", "make demo-segmentation"}
NOT_HERE = {"make test", "make check", "make fix"} | DEMOS


def blocks(language):
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands():
    """What stands after each `$ `, with its continuation lines and without its comment."""
    found = []
    for block in blocks("console"):
        found += re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [re.sub(r" {2,}# .*$", "", command, flags=re.MULTILINE).strip() for command in found]


@pytest.fixture
def address(tmp_path):
    """Where `make run`, started as the README says, can be called until the test ends.

    Its port is any free one: whoever runs the tests may have one of their own at the usual place.
    """
    log = tmp_path / "run.log"
    ready = tmp_path / "data" / "gateway.ready.json"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ
            | {
                "NOCODE_RUN_DIR": str(tmp_path / "data"),
                "NOCODE_PORT": "0",
                # Threads that wait for cores which other tests are using take many times as long.
                "NOCODE_TRAIN_THREADS": "1",
            },
        )
    try:
        deadline = time.monotonic() + 120
        while "Ctrl-C" not in log.read_text():
            assert process.poll() is None, f"make run ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"make run is not ready:\n{log.read_text()}"
            time.sleep(0.2)
        yield f"127.0.0.1:{json.loads(ready.read_text())['port']}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like the repository; what commands write stays out of the real one."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name != "pictures":
            (folder / entry.name).symlink_to(entry)
    return folder


def test_the_address_it_names_is_the_usual_one():
    """Of `make run` and of the client, so that the commands need no setting."""
    assert f"127.0.0.1:{RunSettings.model_fields['port'].default}" == ADDRESS
    assert signature(Client).parameters["address"].default == ADDRESS
    assert ADDRESS in README


def test_the_targets_it_names_exist():
    """`make demo` and the like are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    targets = {word for line in README.splitlines() for word in re.findall(r"make ([a-z-]+)", line)}

    assert {f"make {t}" for t in targets} >= NOT_HERE
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.skipif(not GRPCURL.exists(), reason="there is no grpcurl for this machine")
@pytest.mark.timeout(1200)
def test_every_command_works_as_printed(address, checkout):
    """All of them in one shell, stopping at the first that fails; then the Python block."""
    script = ["set -euo pipefail", "exec 2>&1"]
    for command in commands():
        if command.split("\n")[0] in NOT_HERE | {"make run"}:
            continue
        script += [f"echo {_quoted('$ ' + command)}", command]
    script += [f"python3 - <<'END'\n{block}END" for block in blocks("python")]

    result = subprocess.run(
        ["bash", "-c", "\n".join(script).replace(ADDRESS, address)],
        cwd=checkout,
        env=os.environ | {"NOCODE_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=1180,
        check=False,
    )

    assert result.returncode == 0, result.stdout[-6000:]
    assert "PipelineService" in result.stdout  # reflection lists the contract
    assert result.stdout.count("STATE_SUCCEEDED") >= 3  # import, training, evaluation by grpcurl
    assert '"class_name"' in result.stdout or '"className"' in result.stdout
    assert (checkout / "pictures" / "digits.onnx").stat().st_size > 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("demo", "figure", "promised"),
    [
        ("make demo", "accuracy", 0.90),
        ("make demo-detection", "AP50", 0.60),
        ("make demo-segmentation", "mean IoU", 0.20),
    ],
)
def test_a_demo_keeps_its_promise(demo, figure, promised):
    """It ends by itself, with the figure that it promises and the pictures that it names."""
    result = subprocess.run(
        demo.split(), cwd=ROOT, capture_output=True, text=True, timeout=3580, check=False
    )

    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    reached = re.search(rf"Held-out {figure}: (0\.\d+|1\.0+)", result.stdout)
    assert reached is not None
    assert float(reached[1]) >= promised
    named = re.findall(r"\S+\.png", result.stdout + result.stderr)
    assert len(named) >= 7
    for picture in named:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG"), picture


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"
