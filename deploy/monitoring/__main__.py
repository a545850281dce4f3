"""`python -m deploy.monitoring`: a Prometheus beside `make run`, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import time
from pathlib import Path

from deploy.local.process import REPOSITORY, ProcessFailed
from deploy.local.stack import GATEWAY, SERVICES
from deploy.monitoring.prometheus import Prometheus


def main() -> int:
    """Find what runs, scrape it, and wait."""
    parser = argparse.ArgumentParser(description="Watch what `make run` has started.")
    parser.add_argument(
        "--run-dir", type=Path, default=REPOSITORY / ".run", help="NOCODE_RUN_DIR of `make run`"
    )
    parser.add_argument("--port", type=int, default=9090, help="where Prometheus listens")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        targets = running(options.run_dir)
        folder = options.run_dir / "prometheus"
        with Prometheus(folder, targets, port=options.port) as prometheus:
            _say(
                f"Prometheus watches {', '.join(targets)}: {prometheus.url}/alerts\n"
                "Grafana shows deploy/monitoring/dashboards/nocode-vision.json with it as the data "
                "source. Ctrl-C ends it."
            )
            while True:
                prometheus.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    except ProcessFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


def running(run_dir: Path) -> dict[str, str]:
    """Return where each part of a local stack shows its metrics.

    Raises:
        ProcessFailed: There is none.
    """
    targets = {}
    for part in (GATEWAY, *SERVICES):
        ready = run_dir / f"{part}.ready.json"
        if ready.exists():
            port = json.loads(ready.read_text())["metrics_port"]
            if _listens(port):  # the file of a stack that has ended is still there
                targets[part] = f"127.0.0.1:{port}"
    if not targets:
        raise ProcessFailed(
            f"Nothing runs in {run_dir}. Start it with `make run`, in another shell."
        )
    return targets


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
