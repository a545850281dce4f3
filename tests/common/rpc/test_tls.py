"""TLS of a server: who gets in, and what happens when certificates are replaced."""

import os

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.health import SERVING
from common.rpc.server import Server
from common.settings import ServerSettings, ServiceSettings, load
from tests.certificates import Authority

CHECK = health_pb2.HealthCheckRequest()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def start():
    """Start servers with the given settings; all are closed at the end."""
    servers = []

    async def start(**settings):
        server = Server(ServerSettings(**{"drain_s": 0.0, **settings}))
        servers.append(server)
        await server.start()
        server.health.set("", serving=True)
        return server

    yield start
    for server in servers:
        await server.drain()


async def check(server, credentials=None, port=None):
    """Ask a server for its health over a new connection; return the status, or the code."""
    address = f"127.0.0.1:{port or server.port}"
    channel = (
        grpc.aio.secure_channel(address, credentials)
        if credentials
        else grpc.aio.insecure_channel(address)
    )
    async with channel:
        try:
            return (await health_pb2_grpc.HealthStub(channel).Check(CHECK, timeout=60)).status
        except grpc.aio.AioRpcError as error:
            return error.code()


async def test_with_a_certificate_a_server_takes_encrypted_calls_only(start, authority):
    server = await start(**authority.files("server").settings(mutual=False))

    assert await check(server, authority.credentials()) == SERVING
    assert await check(server) is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls_takes_clients_of_its_authority_only(start, authority, tmp_path):
    server = await start(**authority.files("server").settings())
    stranger = Authority(tmp_path / "stranger").issue()

    assert await check(server, authority.credentials(authority.issue())) == SERVING
    assert await check(server, authority.credentials()) is grpc.StatusCode.UNAVAILABLE
    assert await check(server, authority.credentials(stranger)) is grpc.StatusCode.UNAVAILABLE
    expired = authority.credentials(authority.issue(expired=True))
    assert await check(server, expired) is grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_counts_from_the_next_connection_on(start, tmp_path):
    """Without a restart, and a connection that exists goes on."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    files = old.files("server")
    server = await start(**files.settings(mutual=False))
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", old.credentials()) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        await stub.Check(CHECK)

        files.write(new.issue())

        assert await check(server, new.credentials()) == SERVING
        assert await check(server, old.credentials()) is grpc.StatusCode.UNAVAILABLE
        assert (await stub.Check(CHECK)).status == SERVING


async def test_new_authorities_of_clients_count_too(start, tmp_path):
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    files = old.files("server")
    server = await start(**files.settings())
    client = old.credentials(new.issue())

    before = await check(server, client)
    os.replace(new.file, old.file)  # noqa: PTH105
    after = await check(server, client)

    assert (before, after) == (grpc.StatusCode.UNAVAILABLE, SERVING)


async def test_a_certificate_without_its_new_key_is_not_used(start, authority, tmp_path):
    """Between the two writes of a rotation, the old pair goes on."""
    files = authority.files("halfway")
    server = await start(**files.settings(mutual=False))

    files.cert.write_bytes(authority.issue().cert_chain_pems[0].bytes())

    assert await check(server, authority.credentials()) == SERVING


@pytest.mark.parametrize("damage", ["no PEM", "of another key", "missing"])
async def test_files_that_cannot_be_used_are_one_clear_line(start, authority, damage):
    files = authority.files("wrong")
    if damage == "missing":
        files.key.unlink()
    else:
        other = authority.issue().private_key_pem.bytes()
        files.key.write_bytes(b"nonsense" if damage == "no PEM" else other)

    with pytest.raises(SystemExit, match="NOCODE_TLS_") as raised:
        await start(**files.settings())

    assert str(files.key) in raised.value.code
    assert "\n" not in raised.value.code


async def test_the_health_port_answers_health_alone_and_without_tls(start, authority):
    """The probes of Kubernetes know no TLS."""
    server = await start(**authority.files("server").settings(), health_port=0)
    port = server.health_port

    assert await check(server, port=port) == SERVING
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channelz_pb2_grpc.ChannelzStub(channel).GetServers(
                channelz_pb2.GetServersRequest()
            )
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "10.1.2.3", "vision.example.com"])
async def test_a_server_refuses_to_be_open_to_other_machines(start, host):
    with pytest.raises(SystemExit) as raised:
        await start(host=host)

    for needed in ("NOCODE_TLS_CERT_FILE", "NOCODE_TLS_CLIENT_CA_FILE", "NOCODE_ALLOW_OPEN=true"):
        assert needed in raised.value.code
    assert host in raised.value.code


async def test_tls_without_certificates_of_clients_is_open_too(start, authority):
    with pytest.raises(SystemExit, match="NOCODE_TLS_CLIENT_CA_FILE") as raised:
        await start(host="0.0.0.0", **authority.files("server").settings(mutual=False))

    assert "NOCODE_TLS_CERT_FILE" not in raised.value.code


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_this_machine_alone_is_not_public(host):
    assert not ServerSettings(host=host).is_public


def test_the_settings_of_tls_must_fit_together(monkeypatch, capsys):
    monkeypatch.setenv("NOCODE_TLS_KEY_FILE", "key")
    monkeypatch.setenv("NOCODE_TLS_CLIENT_CA_FILE", "ca")

    with pytest.raises(SystemExit) as raised:
        load(ServerSettings)

    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert "NOCODE_TLS_KEY_FILE: Value error, a certificate and its key" in said
    assert "NOCODE_TLS_CLIENT_CA_FILE: Value error, is of use only with" in said


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch):
    """Compose files pass what they have, be it empty."""
    for name in ("CERT", "KEY", "CLIENT_CA"):
        monkeypatch.setenv(f"NOCODE_TLS_{name}_FILE", "")

    settings = load(ServerSettings)

    assert settings.tls_cert_file is settings.tls_key_file is settings.tls_client_ca_file is None


def test_a_worker_may_have_a_services_settings_without_its_certificates():
    """It serves nothing, so its address and files do not matter."""
    settings = ServiceSettings(
        host="0.0.0.0", s3_endpoint="http://s3", s3_access_key="a", s3_secret_key="b", s3_bucket="c"
    )

    assert settings.is_public
