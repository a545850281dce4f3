"""Settings: environment variables, read once, checked at start.

Each field is read from `NOCODE_` and its name in capitals, e.g. `NOCODE_S3_ENDPOINT`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

MIB = 1024**2
GIB = 1024**3


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="NOCODE_", frozen=True, extra="ignore")


class StorageSettings(_Settings):
    """The bucket. These four are all that another S3 server needs."""

    s3_endpoint: str = Field(description="E.g. http://127.0.0.1:9000 or https://s3.example.com.")
    s3_access_key: str = Field(description="Access key.", repr=False)
    s3_secret_key: str = Field(description="Secret key.", repr=False)
    s3_bucket: str = Field(description="Name of the bucket; it must exist.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")


class ServerSettings(_Settings):
    """What every server process has."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, ge=0, le=65535, description="gRPC port; 0 means any free one.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Prometheus port; 0 means any.")
    max_message_bytes: int = Field(64 * MIB, ge=MIB, description="Largest gRPC message.")
    max_connection_age_s: float = Field(
        300.0, gt=0, description="Clients reconnect after so long, and find new replicas."
    )
    drain_s: float = Field(20.0, ge=0, description="Seconds that calls have to end at a stop.")
    ready_file: Path | None = Field(
        None, description="Where to write the ports, as JSON, once the server listens."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR."
    )


class ServiceSettings(StorageSettings, ServerSettings):
    """A task service."""

    allowed_buckets: tuple[str, ...] = Field(
        (), description="Other buckets that s3:// addresses may name, as a JSON list."
    )
    work_dir: Path = Field(
        Path(tempfile.gettempdir()) / "nocode-vision",
        description="Scratch space: archives being imported, caches of decoded images.",
    )
    max_image_pixels: int = Field(64_000_000, ge=1, description="Larger images are refused.")
    max_archive_bytes: int = Field(64 * GIB, ge=1, description="Largest archive.")
    max_unpacked_bytes: int = Field(256 * GIB, ge=1, description="Largest unpacked archive.")
    max_archive_members: int = Field(4_000_000, ge=1, description="Most files in an archive.")
    upload_keep_s: float = Field(
        7 * 86400.0, gt=0, description="An upload that is not imported is deleted after so long."
    )
    job_slots: int = Field(0, ge=0, description="Jobs at once; 0 means one for each device.")
    job_queue_size: int = Field(100, ge=1, description="Jobs that may wait.")
    job_lease_s: float = Field(30.0, gt=0, description="A worker silent for longer is lost.")
    job_attempts: int = Field(3, ge=1, description="Times a job whose worker died is started.")
    predict_queue_size: int = Field(
        0, ge=0, description="Images that may wait for a model; 0 means 2 to 4 batches."
    )
    predict_batch_size: int = Field(0, ge=0, description="Largest batch; 0 means by device.")
    predict_delay_ms: float = Field(0.0, ge=0, description="Wait for a batch to fill.")
    predict_decode_threads: int = Field(0, ge=0, description="Decoders; 0 means by cores.")
    predict_precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto, fp32 or bf16."
    )
    model_cache_bytes: int = Field(2 * GIB, ge=1, description="Memory for loaded models.")
    torch_threads: int = Field(1, ge=1, description="Threads of one torch operation on a CPU.")
    train_threads: int = Field(0, ge=0, description="The same in training; 0 means all cores.")
    image_cache_bytes: int = Field(
        64 * GIB, ge=0, description="Disk for resized images that trainings share."
    )
    weights_url: str = Field(
        "https://download.pytorch.org/models",
        description="Where torchvision's published weights come from if the bucket lacks them; "
        "others come from their own publishers. Empty for nowhere, also for these.",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )


S = TypeVar("S", bound=_Settings)


def load(kind: type[S]) -> S:
    """Read settings from the environment; if they are wrong, say so and exit with status 2."""
    try:
        return kind()
    except ValidationError as error:
        print("The settings are wrong:", file=sys.stderr)  # noqa: T201 - before logging is set up
        for problem in error.errors():
            variable = "NOCODE_" + "_".join(str(part) for part in problem["loc"]).upper()
            field = kind.model_fields.get(str(problem["loc"][0]))
            help_line = f" {field.description}" if field and field.description else ""
            print(f"  {variable}: {problem['msg']}.{help_line}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    except SettingsError as error:  # a list or an object that is not JSON
        print(f"The settings are wrong:\n  {error}: {error.__cause__}.", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
