"""The real processes with TLS at the gateway, mutual TLS behind it, tokens and a provider.

Nothing is trained: an allowed call may well answer that there is no such model.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import CallFailed, Client, Security
from deploy.local.stack import LocalStack
from nocode.vision.v1 import dataset_source_pb2, job_pb2, job_pb2_grpc
from tests.certificates import Authority, Files
from tests.client.command import Command
from tests.gateway.callers import entry
from tests.gateway.issuer import AUDIENCE, Issuer

TOKENS = {
    "viewer": ["viewer"],
    "predictor": ["predictor"],
    "trainer": ["trainer"],
    "admin": ["admin"],
    "elsewhere": ["admin:detection"],
}
ANOTHER = "tasks/classification/{}/absent"


def secret(name):
    return f"ncv_secret-of-{name}"


@dataclass
class Guarded:
    """A running stack, and what gets one into it."""

    stack: LocalStack
    public: Authority
    inner: Authority
    certificate: Files
    tokens: Path
    issuer: Issuer
    known: dict = field(default_factory=lambda: dict(TOKENS))

    def write_tokens(self):
        entries = [entry(name, secret(name), roles) for name, roles in self.known.items()]
        new = self.tokens.with_suffix(".new")
        new.write_text(yaml.safe_dump({"tokens": entries}))
        new.replace(self.tokens)

    def client(self, token="", ca=None):
        return Client(self.stack.address, Security(ca=ca or self.public.file, token=token))

    def code(self, act, token="", ca=None):
        """Let a client with a token do something; return the code that it ends with."""
        with self.client(token, ca) as client:
            try:
                act(client)
            except CallFailed as failure:
                return failure.code
        return "OK"


def _env(files: Files, prefixes: dict) -> dict:
    return {
        f"NOCODE_{variable}_FILE": str(getattr(files, part)) for part, variable in prefixes.items()
    }


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    public, inner = Authority(folder / "public"), Authority(folder / "inner")
    certificate = public.files("gateway")
    server = {"cert": "TLS_CERT", "key": "TLS_KEY"}
    with Issuer() as issuer:
        env = {
            "classification": {
                **_env(inner.files("classification"), server | {"ca": "TLS_CLIENT_CA"}),
                "NOCODE_HEALTH_PORT": "0",
                "NOCODE_WEIGHTS_URL": "",
            },
            "gateway": {
                **_env(certificate, server),
                **_env(
                    inner.files("gateway"),
                    {"cert": "BACKEND_CERT", "key": "BACKEND_KEY", "ca": "BACKEND_CA"},
                ),
                "NOCODE_TOKENS_FILE": str(folder / "tokens.yaml"),
                "NOCODE_OIDC_ISSUER": issuer.url,
                "NOCODE_OIDC_AUDIENCE": AUDIENCE,
                "NOCODE_LOG_LEVEL": "WARNING",
            },
        }
        stack = LocalStack(folder / "stack", services=["classification"], env=env)
        guarded = Guarded(stack, public, inner, certificate, folder / "tokens.yaml", issuer)
        guarded.write_tokens()
        with stack:
            yield guarded


def until(is_so, within_s=60.0):
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def look(client):
    client.list("models", "classification")


def predict(client):
    client.predict(ANOTHER.format("models"), [b"x"])


def train(client):
    client.import_dataset(
        "classification", dataset_source_pb2.DatasetSource(upload="uploads/" + "0" * 64)
    )


def delete(client):
    client.delete(ANOTHER.format("models"))


DENIED = "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("token", "codes"),
    [
        ("viewer", ["OK", DENIED, DENIED, DENIED]),
        ("predictor", ["OK", "NOT_FOUND", DENIED, DENIED]),
        ("trainer", ["OK", "NOT_FOUND", "NOT_FOUND", DENIED]),
        ("admin", ["OK", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]),
        ("elsewhere", [DENIED] * 4),
        ("stranger", ["UNAUTHENTICATED"] * 4),
    ],
)
@pytest.mark.parametrize("kind", ["token", "jwt"])
def test_each_role_may_do_what_it_should(guarded, token, codes, kind):
    """Look, predict, import, delete: by a token of the file and by a JWT alike."""
    sent = secret(token)
    if kind == "jwt":
        claims = {"iss": "https://stranger"} if token == "stranger" else {}
        sent = guarded.issuer.token(token, TOKENS.get(token, []), **claims)

    assert [guarded.code(act, sent) for act in (look, predict, train, delete)] == codes


def test_an_upload_without_the_role_is_refused(guarded, tmp_path):
    """While it is being sent."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(bytes(3_000_000))

    def upload(client):
        client.upload("classification", archive)

    assert guarded.code(upload, secret("viewer")) == DENIED
    assert guarded.code(upload, secret("trainer")) == "OK"


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": "another"}, id="wrong audience"),
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"iss": "https://evil.example.com"}, id="wrong issuer"),
    ],
)
def test_a_jwt_that_is_not_for_here_and_now_is_refused(guarded, claims):
    token = guarded.issuer.token("alice", ["admin"], **claims)

    assert guarded.code(look, token) == "UNAUTHENTICATED"


def test_a_rotated_signing_key(guarded):
    """The new one is fetched when it is first seen, and the one taken back counts no more."""
    old = guarded.issuer.token("alice", ["viewer"])
    until(lambda: guarded.code(look, old) == "OK")

    guarded.issuer.rotate()

    until(lambda: guarded.code(look, guarded.issuer.token("alice", ["viewer"])) == "OK")
    assert guarded.code(look, old) == "UNAUTHENTICATED"


def test_a_revoked_token(guarded):
    """Within seconds, without a restart."""
    guarded.known["guest"] = ["viewer"]
    guarded.write_tokens()
    until(lambda: guarded.code(look, secret("guest")) == "OK")

    del guarded.known["guest"]
    guarded.write_tokens()

    until(lambda: guarded.code(look, secret("guest")) == "UNAUTHENTICATED")
    assert guarded.code(look, secret("viewer")) == "OK"


def test_a_rotated_server_certificate(guarded, tmp_path):
    """A new connection meets it at once; a call on an old one goes on."""
    new = Authority(tmp_path / "new")
    with guarded.client(secret("viewer")) as connected:
        look(connected)

        guarded.certificate.write(new.issue())
        try:
            assert guarded.code(look, secret("viewer"), ca=new.file) == "OK"
            assert guarded.code(look, secret("viewer")) == "UNAVAILABLE"
            look(connected)
        finally:
            guarded.certificate.write(guarded.public.issue())
    assert guarded.code(look, secret("viewer")) == "OK"


def test_an_expired_server_certificate_is_not_trusted(guarded):
    guarded.certificate.write(guarded.public.issue(expired=True))
    try:
        assert guarded.code(look, secret("viewer")) == "UNAVAILABLE"
    finally:
        guarded.certificate.write(guarded.public.issue())


def _code_at_the_service(guarded, credentials):
    address = guarded.stack.address_of("classification")
    connect = grpc.secure_channel if credentials else grpc.insecure_channel
    with connect(address, *([credentials] if credentials else [])) as channel:
        stub = job_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetJob(job_pb2.GetJobRequest(name=ANOTHER.format("jobs")), timeout=60)
        return raised.value.code().name


def test_a_service_answers_those_with_a_certificate_only(guarded, tmp_path):
    """A token does not matter there: the gateway alone may call."""
    inner, stranger = guarded.inner, Authority(tmp_path)

    shown = {
        "plain": None,
        "no certificate": inner.credentials(),
        "expired": inner.credentials(inner.issue(expired=True)),
        "of a stranger": inner.credentials(stranger.issue()),
        "known": inner.credentials(inner.issue()),
    }
    codes = {who: _code_at_the_service(guarded, given) for who, given in shown.items()}

    assert codes.pop("known") == "NOT_FOUND"
    assert set(codes.values()) == {"UNAVAILABLE"}


def test_probes_reach_a_service_without_a_certificate(guarded):
    ready = guarded.stack._ports["classification"]
    with grpc.insecure_channel(f"127.0.0.1:{ready['health_port']}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=60
        )

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_command_takes_the_authority_and_the_token(guarded):
    command = Command(guarded.stack.address)
    command.env |= {"NOCODE_CA_FILE": str(guarded.public.file), "NOCODE_TOKEN": secret("viewer")}

    assert "held-out" in command.run("models", "--task", "classification").stdout
    refused = command.run("delete", ANOTHER.format("models"), status=1).stderr
    assert "ROLE_MISSING" in refused


def test_the_audit_log_tells_who_changed_what(guarded):
    """One line a change, whatever the level of the log; and no token anywhere."""
    with guarded.client(secret("trainer")) as client, pytest.raises(CallFailed):
        client.cancel(ANOTHER.format("jobs"))
    log = guarded.stack.log("gateway")
    until(lambda: "JobService/CancelJob" in log.read_text())  # a refused caller is told first
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if '"logger": "audit"' in line]
    (line,) = [line for line in lines if line["method"] == "JobService/CancelJob"]

    assert line["caller"] == "token:trainer"
    assert line["resource"] == ANOTHER.format("jobs")
    assert line["code"] == "NOT_FOUND"
    assert line["time"]
    assert len(line["request_id"]) == 32
    everything = text + guarded.stack.log("classification").read_text()
    assert "ncv_secret" not in everything
    assert "eyJ" not in everything  # how each JWT begins
