"""Settings of the gateway."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from common.settings import OptionalPath, ServerSettings

TASKS_OF = {
    "classification": ("classification",),
    "detection": ("detection",),
    "segmentation": ("semantic-segmentation", "instance-segmentation"),
}
"""The services behind the gateway, each with its tasks."""

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


class GatewaySettings(ServerSettings):
    """The gateway."""

    backends: dict[str, str] = Field(
        description='Address of each service, as JSON, e.g. {"classification": "host:50051"}; '
        f"the services are {', '.join(TASKS_OF)}."
    )

    backend_ca_file: OptionalPath = Field(
        None, description="Authorities of the services' certificates, PEM. Not set means no TLS."
    )
    backend_cert_file: OptionalPath = Field(
        None,
        validate_default=True,
        description="Certificate that the gateway proves itself to services with, PEM.",
    )
    backend_key_file: OptionalPath = Field(
        None, validate_default=True, description="Its private key, PEM."
    )
    tokens_file: OptionalPath = Field(
        None, description="Tokens of programs, YAML; see `python -m gateway.tokens --help`."
    )
    oidc_issuer: str = Field("", description="OpenID Connect provider whose JWTs are accepted.")
    oidc_audience: str = Field(
        "", validate_default=True, description="What these must name as their audience."
    )
    oidc_jwks_url: str = Field(
        "", validate_default=True, description="Where its keys are; empty to ask the provider."
    )
    oidc_roles_claim: str = Field(
        "roles", min_length=1, description="Claim that holds roles, e.g. realm_access.roles."
    )
    rate_limit: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Calls a second of one caller; 0: any number."
    )
    rate_burst: int = Field(
        0, ge=0, description="Calls of one caller at once after a pause; 0: those of a second."
    )
    concurrent_calls: int = Field(
        0, ge=0, description="Calls of one caller at the same time; 0: any number."
    )

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked for a token."""
        return self.tokens_file is None and not self.oidc_issuer

    def missing_protection(self) -> list[str]:
        """Return what must be set, with its use, before a public server protects its calls."""
        missing = []
        if self.tls_cert_file is None:
            missing.append("NOCODE_TLS_CERT_FILE and NOCODE_TLS_KEY_FILE (encryption)")
        if self.is_open:
            missing.append("NOCODE_TOKENS_FILE or NOCODE_OIDC_ISSUER (who may call)")
        return missing

    @field_validator("backend_cert_file")
    @classmethod
    def _check_backend_cert(cls, cert: Path | None, info: ValidationInfo) -> Path | None:
        if cert and info.data.get("backend_ca_file") is None:
            raise ValueError("is of use only with NOCODE_BACKEND_CA_FILE")
        return cert

    @field_validator("backend_key_file")
    @classmethod
    def _check_backend_key(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("backend_cert_file") is None):
            raise ValueError("a certificate and its key are needed, or none of them")
        return key

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url and not is_safe_url(url):
            raise ValueError(f"is {url!r}, and must start with https:// (or be on this machine)")
        return url

    @field_validator("oidc_audience")
    @classmethod
    def _check_audience(cls, audience: str, info: ValidationInfo) -> str:
        if bool(audience) != bool(info.data.get("oidc_issuer", audience)):
            raise ValueError("is needed with NOCODE_OIDC_ISSUER, and of use only with it")
        return audience

    @field_validator("oidc_jwks_url")
    @classmethod
    def _check_jwks_url(cls, url: str, info: ValidationInfo) -> str:
        if url and not info.data.get("oidc_issuer", url):
            raise ValueError("is of use only with NOCODE_OIDC_ISSUER")
        return url

    @field_validator("rate_burst")
    @classmethod
    def _check_burst(cls, burst: int, info: ValidationInfo) -> int:
        if burst and not info.data.get("rate_limit", burst):
            raise ValueError("is of use only with NOCODE_RATE_LIMIT")
        return burst

    @field_validator("backends")
    @classmethod
    def _check_backends(cls, backends: dict[str, str]) -> dict[str, str]:
        if not backends:
            raise ValueError("names no service, and needs at least one")
        for name, address in backends.items():
            if name not in TASKS_OF:
                raise ValueError(f"names {name!r}, which is no service")
            match = _ADDRESS.fullmatch(address)
            if match is None or not 0 < int(match[2]) < 65536:
                raise ValueError(f"gives {name} the address {address!r}, which is not host:port")
        # In one order, whatever the order of the variable: lists follow it.
        return {name: backends[name] for name in TASKS_OF if name in backends}


def is_safe_url(url: str) -> bool:
    """Return whether what is read from an address is what its owner wrote."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return True
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return parts.scheme == "http" and is_loopback
