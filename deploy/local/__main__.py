"""`make run`: the whole system on this machine, until Ctrl-C.

Uses the S3 server of the NOCODE_S3_* variables if NOCODE_S3_ENDPOINT is set, else one of its own.
Other NOCODE_* variables are passed on to the services and the gateway. With `--mlflow` there is
an MLflow server, too, which is told of trainings and evaluations.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from pydantic import Field

from common.settings import ServerSettings, StorageSettings, load
from deploy.local.process import REPOSITORY, ProcessFailed
from deploy.local.stack import SERVICES, LocalStack

PACKAGE = "nocode.vision.v1"
ALL_OF_A_TASK = '\'{"parent": "tasks/classification"}\''


class RunSettings(ServerSettings):
    """`make run`: those of the gateway, and where everything is kept."""

    run_dir: Path = Field(REPOSITORY / ".run", description="Where data and logs are kept.")
    port: int = Field(50050, ge=0, le=65535, description="Port of the gateway; 0 means any.")
    mlflow_port: int = Field(5000, ge=0, le=65535, description="Port of MLflow; 0 means any.")


def main() -> int:
    """Start everything, say how to call it, and wait."""
    parser = argparse.ArgumentParser(description="The whole system on this machine.")
    parser.add_argument("--mlflow", action="store_true", help="start an MLflow server, too")
    options = parser.parse_args()
    settings = load(RunSettings)
    storage = load(StorageSettings) if "NOCODE_S3_ENDPOINT" in os.environ else None
    # `kill` ends it like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say("Starting. This takes some seconds.")
    try:
        with LocalStack(
            settings.run_dir.resolve(),
            storage=storage,
            gateway_port=settings.port,
            gateway_metrics_port=settings.metrics_port,
            mlflow_port=settings.mlflow_port if options.mlflow else None,
        ) as stack:
            _say(_directions(stack, settings.run_dir))
            while True:
                stack.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        _say("Stopped.")
        return 0
    except ProcessFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


def grpcurl_calls(address: str) -> list[str]:
    """Return commands that call a gateway with grpcurl."""
    call = ".venv/bin/grpcurl -plaintext"
    return [
        f"{call} {address} list",
        f"{call} {address} describe {PACKAGE}.PipelineService",
        f"{call} -d {ALL_OF_A_TASK} {address} {PACKAGE}.PipelineService/ListArchitectures",
        f"{call} -d {ALL_OF_A_TASK} {address} {PACKAGE}.DatasetService/ListDatasets",
    ]


def buf_calls(address: str) -> list[str]:
    """Return commands that do the same with buf."""
    call = ".venv/bin/buf curl --protocol grpc --http2-prior-knowledge"
    url = f"http://{address}"
    return [
        f"{call} --list-methods {url}",
        f"{call} -d {ALL_OF_A_TASK} {url}/{PACKAGE}.PipelineService/ListArchitectures",
        f"{call} -d {ALL_OF_A_TASK} {url}/{PACKAGE}.DatasetService/ListDatasets",
    ]


def _directions(stack: LocalStack, run_dir: Path) -> str:
    """Say what runs where, with commands to paste."""
    services = "\n".join(
        f"  {name + ' service':24} {stack.address_of(name)}, {stack.metrics_url_of(name)}"
        for name in SERVICES
    )
    # Its package has no program for some machines, such as Linux on ARM.
    has_grpcurl = Path(sys.executable).with_name("grpcurl").exists()
    calls = grpcurl_calls(stack.address) if has_grpcurl else buf_calls(stack.address)
    commands = "\n".join(f"  {call}" for call in calls)
    mlflow = f"\n  {'MLflow':24} {stack.mlflow_url}" if stack.mlflow_url else ""
    return f"""
  {"gateway":24} {stack.address}, {stack.metrics_url_of("gateway")}
{services}
  {"S3 server":24} {stack.storage.s3_endpoint}, bucket {stack.storage.s3_bucket}{mlflow}
  {"data and logs":24} {run_dir}

Try:

{commands}
  .venv/bin/nocode-vision --help

README.md goes on from there, up to a prediction. Ctrl-C stops everything and keeps the data.
"""


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
