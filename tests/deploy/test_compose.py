"""The Compose files: what they promise, as far as it can be seen without an engine."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from common.settings import ServiceSettings
from gateway.settings import TASKS_OF, GatewaySettings
from tests.deploy.dockerfile import DOCKERFILE, ROOT, stages
from tests.deploy.k8s import PARTS, SERVICES, build, named

COMPOSE = ROOT / "deploy" / "compose"
FILES = sorted(path.name for path in COMPOSE.glob("*.yaml"))
# Of https://github.com/compose-spec/compose-spec: those that are of use here.
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "env_file", "environment",
    "healthcheck", "image", "init", "logging", "networks", "ports", "pull_policy", "read_only",
    "restart", "secrets", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
TOP_KEYS = {"name", "services", "networks", "volumes", "secrets"}


def read(name):
    """Return a file, with its anchors resolved."""
    return yaml.safe_load((COMPOSE / name).read_text())


def services(name):
    return read(name)["services"]


def published(service):
    """Return the addresses on the machine that ports of a service are published at."""
    return [port.rsplit(":", 1)[0] for port in service.get("ports", ())]


@pytest.mark.parametrize("name", FILES)
def test_keys_are_those_of_the_specification(name):
    """A misspelled one would be refused by the engine, at the operator's."""
    assert {key for key in read(name) if not key.startswith("x-")} <= TOP_KEYS
    for service in services(name).values():
        assert set(service) <= SERVICE_KEYS


@pytest.mark.parametrize("name", ["development.yaml", "production.yaml"])
def test_all_parts_are_there(name):
    assert set(services(name)) >= set(PARTS)


def test_development_has_what_a_developer_looks_at():
    assert set(services("development.yaml")) >= {"s3", "prometheus", "grafana", "mlflow"}


@pytest.mark.parametrize("name", FILES)
def test_what_is_named_is_there(name):
    """Volumes, networks, secrets, other services, and files beside ours."""
    file = read(name)
    for service in file["services"].values():
        assert set(service.get("networks", ())) <= set(file.get("networks", ()))
        assert set(service.get("secrets", ())) <= set(file.get("secrets", ()))
        assert set(service.get("depends_on", ())) <= set(file["services"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), source
            else:
                assert source in file["volumes"]
        for value in service.get("environment", {}).values():
            if str(value).startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    used = [v.split(":")[0] for s in file["services"].values() for v in s.get("volumes", ())]
    assert set(file.get("volumes", ())) <= set(used)
    secrets = [secret for s in file["services"].values() for secret in s.get("secrets", ())]
    assert set(file.get("secrets", ())) == set(secrets)


@pytest.mark.parametrize("name", FILES)
def test_every_setting_is_one(name):
    """A misspelled variable would be ignored without a word."""
    for part, service in services(name).items():
        settings = GatewaySettings if part == "gateway" else ServiceSettings
        known = {f"NOCODE_{field.upper()}" for field in settings.model_fields}
        given = {key for key in service.get("environment", {}) if key.startswith("NOCODE_")}
        assert given <= known, part


@pytest.mark.parametrize("name", ["development.yaml", "production.yaml"])
def test_settings_are_accepted(name, monkeypatch):
    """They are enough, and protect what others may reach."""
    files = {"NOCODE_S3_ENDPOINT": "https://s3.example.com", "NOCODE_S3_BUCKET": "bucket"}
    files |= {"NOCODE_S3_ACCESS_KEY": "key", "NOCODE_S3_SECRET_KEY": "secret"}
    for part in PARTS:
        service = services(name)[part]
        variables = {"NOCODE_HOST": "0.0.0.0", **service["environment"]}
        if "env_file" in service:
            variables |= files
        with monkeypatch.context() as patched:
            for key, value in variables.items():
                patched.setenv(key, value)
            settings = (GatewaySettings if part == "gateway" else ServiceSettings)()
        assert settings.allow_open == (name == "development.yaml")
        assert settings.allow_open or settings.missing_protection() == []


@pytest.mark.parametrize("name", ["development.yaml", "production.yaml"])
def test_the_gateway_finds_the_services(name):
    backends = json.loads(services(name)["gateway"]["environment"]["NOCODE_BACKENDS"])

    assert backends == {service: f"{service}:50051" for service in TASKS_OF}


@pytest.mark.parametrize("name", ["development.yaml", "production.yaml"])
def test_our_containers_may_do_little(name):
    """As in Kubernetes: nothing is written to the root, and no rights can be had."""
    for part in PARTS:
        service = services(name)[part]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert any(path.startswith("/tmp") for path in service["tmpfs"])
        assert "user" not in service


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", ["development.yaml", "production.yaml"])
def test_services_have_room(name, service):
    """For data loaders, and for scratch files."""
    assert services(name)[service]["shm_size"].endswith("gb")
    assert services(name)[service]["volumes"] == [f"{service}-work:/work"]


def test_development_is_seen_from_this_machine_alone():
    for name, service in services("development.yaml").items():
        for address in published(service):
            assert address.startswith("127.0.0.1:"), name


def test_production_shows_the_gateway_alone():
    """By TLS; Prometheus is seen from this machine."""
    assert published(services("production.yaml")["gateway"]) == ["443"]
    for name, service in services("production.yaml").items():
        if name != "gateway":
            assert all(address.startswith("127.0.0.1:") for address in published(service)), name
        if name in SERVICES:
            assert published(service) == []
            assert service["networks"] == ["inside"]


def test_production_restarts_and_is_limited():
    for name, service in services("production.yaml").items():
        assert service["restart"] == "unless-stopped", name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["logging"]["options"]["max-size"], name


def test_production_has_no_secret_in_the_file():
    """Keys come from files that the repository does not have."""
    text = (COMPOSE / "production.yaml").read_text()
    for service in services("production.yaml").values():
        for key in service.get("environment", {}):
            assert not re.search(r"(SECRET|ACCESS)_KEY$|PASSWORD|TOKEN$", key)
    for secret in read("production.yaml")["secrets"].values():
        assert secret["file"].startswith("secrets/")
        # The comment at the top says how to make each.
    for part in ("settings.env", "secrets/s3.env", "secrets/tokens.yaml", "secrets/ca.crt"):
        assert f"#   {part}" in text


def test_production_speaks_tls_inside():
    """Each service by a certificate of its own, and only to who has one."""
    for service in SERVICES:
        environment = services("production.yaml")[service]["environment"]
        assert environment["NOCODE_TLS_CERT_FILE"] == f"/run/secrets/{service}.crt"
        assert environment["NOCODE_TLS_KEY_FILE"] == f"/run/secrets/{service}.key"
        assert environment["NOCODE_TLS_CLIENT_CA_FILE"] == "/run/secrets/ca.crt"


def test_images_are_pinned():
    """Others' by digest or by release; ours by the release that is asked for."""
    for name in ("development.yaml", "production.yaml"):
        for part, service in services(name).items():
            image = service["image"]
            if part not in PARTS:
                assert re.search(r":v?\d+\.\d+[\w.]*(@sha256:[0-9a-f]{64})?$", image), image
            elif name == "production.yaml":
                assert image.endswith(
                    f"nocode-vision-{part}:${{NOCODE_VERSION:?the release to run}}"
                )


def test_mlflow_is_as_new_as_its_client():
    """A server may not understand a client that is newer."""
    lock = (ROOT / "requirements.lock").read_text()
    client = re.search(r"^mlflow-skinny==(\S+)", lock, re.MULTILINE)[1]

    assert services("development.yaml")["mlflow"]["image"].endswith(f":v{client}")


def test_development_builds_our_images():
    """From the targets that there are."""
    for part in PARTS:
        made = services("development.yaml")[part]["build"]
        assert (COMPOSE / made["context"] / made["dockerfile"]).resolve() == DOCKERFILE
        assert made["target"] == part
        assert part in stages()


def test_gpus_go_to_the_services():
    for service in SERVICES:
        made = services("gpu.yaml")[service]
        assert made["environment"] == {"NOCODE_DEVICE": "cuda"}
        (device,) = made["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
    assert set(services("gpu.yaml")) == set(SERVICES)


def test_the_bucket_is_served_as_in_kubernetes():
    """By the same server, with the same options."""
    (container,) = named(build("local"), "StatefulSet", "s3")["spec"]["template"]["spec"][
        "containers"
    ]
    here = services("development.yaml")["s3"]

    assert here["image"] == container["image"]
    assert here["command"] == container["args"]


def test_images_have_the_names_that_they_are_built_with():
    """Here, in Kubernetes, and in bake.hcl, in the same registry."""
    made = re.search(
        r'"\$\{REGISTRY\}(.*)\$\{part\}:', (ROOT / "deploy/docker/bake.hcl").read_text()
    )
    for part in PARTS:
        name = made[1] + part
        (container,) = named(build("production"), "Deployment", part)["spec"]["template"]["spec"][
            "containers"
        ]
        registry, _, rest = container["image"].rpartition("/")
        assert rest.split(":")[0] == name
        image = services("production.yaml")[part]["image"]
        assert image.startswith(f"${{NOCODE_REGISTRY:-{registry}/}}{name}:")
        assert services("development.yaml")[part]["image"] == f"{name}:dev"
