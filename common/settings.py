"""Settings: environment variables, read once, checked at start.

Each field is read from `NOCODE_` and its name in capitals, e.g. `NOCODE_S3_ENDPOINT`.
"""

from __future__ import annotations

import ipaddress
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

MIB = 1024**2
GIB = 1024**3

OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
"""A path, or nothing: a variable that is set to nothing counts as not set."""


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
    tls_cert_file: OptionalPath = Field(
        None, description="The server's certificate chain, PEM. Not set means no TLS."
    )
    tls_key_file: OptionalPath = Field(
        None, validate_default=True, description="Its private key, PEM."
    )
    tls_client_ca_file: OptionalPath = Field(
        None,
        validate_default=True,
        description="Clients must have a certificate of these authorities, PEM.",
    )
    health_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port that answers health alone, without TLS, for probes that know none.",
    )
    allow_open: bool = Field(
        False, description="Whether other machines may reach a server that protects no call."
    )

    @field_validator("tls_key_file")
    @classmethod
    def _check_key(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_cert_file") is None):
            raise ValueError("a certificate and its key are needed, or none of them")
        return key

    @field_validator("tls_client_ca_file")
    @classmethod
    def _check_client_ca(cls, ca: Path | None, info: ValidationInfo) -> Path | None:
        if ca and info.data.get("tls_cert_file") is None:
            raise ValueError("is of use only with NOCODE_TLS_CERT_FILE and NOCODE_TLS_KEY_FILE")
        return ca

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the server."""
        try:
            return not ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host != "localhost"

    def missing_protection(self) -> list[str]:
        """Return what must be set, with its use, before a public server protects its calls."""
        missing = []
        if self.tls_cert_file is None:
            missing.append("NOCODE_TLS_CERT_FILE and NOCODE_TLS_KEY_FILE (encryption)")
        if self.tls_client_ca_file is None:
            missing.append("NOCODE_TLS_CLIENT_CA_FILE (who may call)")
        return missing


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
    job_slots: int = Field(
        0, ge=0, description="Jobs at once; 0 means one for each device, or 10 on a cluster."
    )
    job_queue_size: int = Field(100, ge=1, description="Jobs that may wait.")
    job_lease_s: float = Field(30.0, gt=0, description="A worker silent for longer is lost.")
    job_attempts: int = Field(3, ge=1, description="Times a job whose worker died is started.")
    launcher: Literal["local", "kubernetes"] = Field(
        "local", description="Where jobs run: local (processes beside the service) or kubernetes."
    )
    kubernetes_job_template: OptionalPath = Field(
        None, description="File with the batch/v1 Job, as YAML, that workers are made from."
    )
    kubernetes_namespace: str = Field(
        "", description="Where workers run; empty for the namespace of the service account."
    )
    kubernetes_nodes: int = Field(
        1, ge=1, description="Machines that a training is spread over, each with all its GPUs."
    )
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
    mlflow_tracking_uri: str = Field(
        "",
        pattern=r"^(https?://[^@\s]+)?$",
        description="Where MLflow answers, e.g. http://mlflow:5000; empty for no tracking. Its "
        "user and password go in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    )
    mlflow_ui_url: str = Field(
        "",
        pattern=r"^(https?://[^@\s]+)?$",
        description="Where browsers find MLflow; empty for the same address.",
    )
    mlflow_model_bytes: int = Field(
        128 * MIB, ge=0, description="Larger weights are not copied to MLflow; it is told where."
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
