"""A Prometheus on this machine, with the rules of this folder, for `make run` and the tests."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local.process import REPOSITORY, Process, ProcessFailed, Startable

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent
TOOLS = REPOSITORY / "build" / "tools"

_LOOPBACK = "127.0.0.1"
_LISTENS = re.compile(r'msg="Listening on" address=[\d.]+:(\d+)')
_READY_S = 60.0


def tool(name: str) -> Path:
    """Return where `prometheus` or `promtool` is: on the PATH, or where `make tools` puts it.

    Raises:
        ProcessFailed: It is nowhere; the message says what to do.
    """
    for found in (shutil.which(name), TOOLS / name):
        if found and Path(found).exists():
            return Path(found)
    raise ProcessFailed(
        f"{name} is neither on the PATH nor in {TOOLS}. Install the package `prometheus` of Debian "
        "or Ubuntu, or run `make tools`, which fetches it from there."
    )


class Prometheus(Startable):
    """A context manager that starts a Prometheus and ends it.

    Args:
        directory: Where configuration, data and log are kept.
        targets: What to scrape, by its part: `{"gateway": "127.0.0.1:9090"}`.
        port: Where it listens; 0 means any free one.
        interval_s: How often it scrapes and evaluates rules.
        rules: The folder of the rules.
    """

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, str],
        *,
        port: int = 0,
        interval_s: int = 15,
        rules: Path = FOLDER / "rules",
    ) -> None:
        self._directory = directory.resolve()
        self._targets = targets
        self._port = port
        self._interval_s = interval_s
        self._rules = rules.resolve()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{_LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start it and return once it answers.

        Raises:
            ProcessFailed: It is not installed, or does not come up.
        """
        config = self._write_config()
        self._process = Process(
            "Prometheus",
            [
                str(tool("prometheus")),
                f"--config.file={config}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address={_LOOPBACK}:{self._port}",
            ],
            log=self._directory / "prometheus.log",
        )
        give_up = time.monotonic() + _READY_S
        while time.monotonic() < give_up:
            self.check()
            found = _LISTENS.search(self._process.tail(1000))
            if found:
                self._port = int(found[1])
                if self._is_ready():
                    return
            time.sleep(0.05)
        raise ProcessFailed(f"Prometheus did not answer in {_READY_S:g} s. {self._process.tail()}")

    def check(self) -> None:
        """Raise `ProcessFailed` if it has ended by itself."""
        if self._process:
            self._process.check()

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.stop()
            self._process = None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what a query gives now: a `metric` and a `value` each."""
        asked = urllib.parse.urlencode({"query": expression})
        found: list[dict[str, Any]] = self.api(f"query?{asked}")["result"]
        return found

    def api(self, path: str) -> Any:
        """Return the data of an answer of its HTTP API, e.g. of `alerts`."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=30) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def _write_config(self) -> Path:
        """Write the configuration of this folder, with other targets."""
        targets = [
            {"targets": [address], "labels": {"job": part}}
            for part, address in self._targets.items()
        ]
        folder = self._directory / "targets"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "local.json").write_text(json.dumps(targets))
        text = (FOLDER / "prometheus.yaml").read_text()
        text = text.replace("15s", f"{self._interval_s}s")
        text = text.replace("targets/*.yaml", "targets/*.json")
        text = text.replace("rules/*.yaml", f"{self._rules}/*.yaml")
        config = self._directory / "prometheus.yaml"
        config.write_text(text)
        return config
