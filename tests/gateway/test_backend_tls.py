"""Mutual TLS between the gateway and the services."""

import asyncio

import pytest

from common.rpc import tls
from common.settings import ServerSettings
from nocode.vision.v1 import job_pb2_grpc
from tests.certificates import Authority
from tests.gateway.calls import error_info, failure, get
from tests.gateway.conftest import until_health
from tests.gateway.remote import SERVING


def _mutual(files):
    credentials = tls.server_credentials(ServerSettings(**files.settings()))
    assert credentials is not None
    return credentials


async def test_the_gateway_proves_itself_to_services(start_gateway, start_remote, tmp_path):
    authority = Authority(tmp_path)
    remote = await start_remote(_mutual(authority.files("service")))
    settings = authority.files("gateway").towards_backends()

    channel = await start_gateway(settings=settings, classification=remote)

    assert await job_pb2_grpc.JobServiceStub(channel).GetJob(get("fine"))


@pytest.mark.parametrize("fault", ["no certificate", "of a stranger", "expired", "of the service"])
async def test_without_trust_a_backend_is_unavailable(start_gateway, start_remote, tmp_path, fault):
    """And what is wrong is for the gateway's log."""
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    remote = await start_remote(
        _mutual(authority.files("service", expired=fault == "of the service"))
    )
    files = authority.files("gateway", expired=fault == "expired")
    settings = files.towards_backends()
    if fault == "no certificate":
        settings = {"backend_ca_file": authority.file}
    elif fault == "of a stranger":
        files.write(stranger.issue())
    channel = await start_gateway(settings=settings, ready=False, classification=remote)

    error = await failure(job_pb2_grpc.JobServiceStub(channel).GetJob(get("fine")))

    assert error_info(error).reason == "BACKEND_UNAVAILABLE"
    assert "ertificate" not in error.details()


async def test_new_certificates_are_used_without_a_restart(start_gateway, start_remote, tmp_path):
    """A call under way goes on, on the connection that it has."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    service, mine = old.files("service"), old.files("gateway")
    remote = await start_remote(_mutual(service))
    channel = await start_gateway(settings=mine.towards_backends(), classification=remote)
    jobs = job_pb2_grpc.JobServiceStub(channel)
    under_way = jobs.GetJob(get("slow"))
    await remote.begun.wait()
    (backend,) = channel.gateway._backends
    before = backend._link

    for files in (service, mine):
        files.write(new.issue())
    new.file.replace(old.file)
    async with asyncio.timeout(30):
        while backend._link is before:  # noqa: ASYNC110 - the files are looked at each second
            await asyncio.sleep(0.02)
    await until_health(channel, "classification", SERVING)

    assert await jobs.GetJob(get("fine"))
    remote.released.set()
    assert (await under_way).name
    async with asyncio.timeout(30):
        while backend._retiring:  # noqa: ASYNC110 - closed once its last call has ended
            await asyncio.sleep(0.02)
