"""The README: every command in it works as printed, in the order in which it is printed."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:50050"

# Runs this very test, or the checks around it; or is run by a test of its own below.
NOT_HERE = {"make test", "make check", "make fix", "make demo"}


def blocks(language):
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands():
    """What stands after each `$ `, with its continuation lines and without its comment."""
    found = []
    for block in blocks("console"):
        found += re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [re.sub(r" {2,}# .*$", "", command, flags=re.MULTILINE).strip() for command in found]


def listening():
    """Whether something listens at the README's address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", 50050)) == 0


@pytest.fixture
def running(tmp_path):
    """`make run`, as the README says, until the test ends."""
    if listening():
        pytest.fail(f"Something listens at {ADDRESS} already, which the README's commands use.")
    log = tmp_path / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"NOCODE_RUN_DIR": str(tmp_path / "data")},
        )
    try:
        deadline = time.monotonic() + 90
        while not listening():
            assert process.poll() is None, f"make run ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"make run is not ready:\n{log.read_text()}"
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def test_the_targets_it_names_exist():
    """`make demo` and the like are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    targets = {word for line in README.splitlines() for word in re.findall(r"make ([a-z-]+)", line)}

    assert {f"make {t}" for t in targets} >= NOT_HERE
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_works_as_printed(running, tmp_path):
    """All of them in one shell, stopping at the first that fails; then the Python block."""
    script = ["set -euo pipefail", "exec 2>&1"]
    for command in commands():
        if command.split("\n")[0] in NOT_HERE | {"make run"}:
            continue
        script += [f"echo {_quoted('$ ' + command)}", command]
    script += [f"python3 - <<'END'\n{block}END" for block in blocks("python")]

    result = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1180,
        check=False,
    )

    assert result.returncode == 0, result.stdout[-6000:]
    assert "PipelineService" in result.stdout  # reflection lists the contract
    assert result.stdout.count("STATE_SUCCEEDED") >= 3  # import, training, evaluation by grpcurl
    assert '"class_name"' in result.stdout or '"className"' in result.stdout
    assert (ROOT / "pictures" / "digits.onnx").stat().st_size > 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_keeps_its_promise():
    """It ends by itself, with the accuracy that it promises and the pictures that it names."""
    result = subprocess.run(
        ["make", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=1180, check=False
    )

    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    accuracy = re.search(r"Held-out accuracy: (0\.\d+|1\.0+)", result.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.90
    named = re.findall(r"\S+\.png", result.stdout + result.stderr)
    assert len(named) >= 10
    for picture in named:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG"), picture


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"
