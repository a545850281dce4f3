"""What the gateway has for its callers: the server's own services, limits, the log of changes."""

import asyncio
import json
import logging

import grpc
import yaml
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from common import logs
from nocode.vision.v1 import dataset_pb2_grpc, job_pb2, job_pb2_grpc
from tests.gateway.callers import REFLECT, bearer, channelz, entry, reflect, until
from tests.gateway.calls import chunks, error_info, failure, get, watch
from tests.gateway.issuer import AUDIENCE, Issuer
from tests.gateway.remote import SERVING

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED


async def test_health_is_open(guarded):
    answer = await health_pb2_grpc.HealthStub(guarded).Check(health_pb2.HealthCheckRequest())

    assert answer.status == SERVING


async def test_reflection_is_for_viewers_and_channelz_for_admins_of_all(guarded):
    ok = grpc.StatusCode.OK

    assert await reflect(guarded, ()) is UNKNOWN
    assert await reflect(guarded, bearer("viewer")) is ok
    assert await reflect(guarded, bearer("semantic")) is ok
    assert await channelz(guarded, ()) is UNKNOWN
    assert await channelz(guarded, bearer("trainer")) is DENIED
    assert await channelz(guarded, bearer("semantic")) is DENIED
    assert await channelz(guarded, bearer("admin")) is ok


# Tokens come and go.


async def test_a_token_is_revoked_and_another_made_without_a_restart(
    guarded, guarded_jobs, tokens_file
):
    async def answers(token, code):
        call = guarded_jobs.GetJob(get("fine"), metadata=bearer(token))
        return await call.code() is code

    assert await answers("viewer", grpc.StatusCode.OK)
    tokens_file.write_text(yaml.safe_dump({"tokens": [entry("new", "new")]}))

    await until(lambda: answers("viewer", UNKNOWN))
    assert await answers("new", grpc.StatusCode.OK)


async def test_jwts_and_tokens_are_taken_side_by_side(start_gateway, remote, tokens_file):
    with Issuer() as issuer:
        channel = await start_gateway(
            settings={
                "tokens_file": tokens_file,
                "oidc_issuer": issuer.url,
                "oidc_audience": AUDIENCE,
            },
            classification=remote,
        )
        jobs = job_pb2_grpc.JobServiceStub(channel)
        for token, name in ((issuer.token("alice"), "oidc:alice"), ("viewer", "token:viewer")):
            await jobs.GetJob(get("fine"), metadata=bearer(token))
            assert remote.metadata["x-nocode-caller"] == [name]

        wrong = await failure(
            jobs.GetJob(get("fine"), metadata=bearer(issuer.token(aud="another")))
        )
        assert wrong.code() is UNKNOWN


async def test_a_provider_that_is_away_is_no_fault_of_the_callers(start_gateway, remote):
    with Issuer() as issuer:
        issuer.failing = True
        settings = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
        channel = await start_gateway(settings=settings, classification=remote)
        jobs = job_pb2_grpc.JobServiceStub(channel)

        error = await failure(jobs.GetJob(get("fine"), metadata=bearer(issuer.token())))

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "IDENTITY_PROVIDER_UNAVAILABLE"


# Limits.


def retry_delay_s(error):
    """Return after how long the error says to try again."""
    status = status_pb2.Status.FromString(error.trailing_metadata()["grpc-status-details-bin"])
    for detail in status.details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return retry.retry_delay.ToTimedelta().total_seconds()
    return None


async def test_a_caller_that_calls_too_much_is_told_when_to_come_back(
    start_gateway, remote, tokens_file
):
    channel = await start_gateway(
        settings={"tokens_file": tokens_file, "rate_limit": 0.1, "rate_burst": 2},
        classification=remote,
    )
    jobs = job_pb2_grpc.JobServiceStub(channel)
    for _ in range(2):
        await jobs.GetJob(get("fine"), metadata=bearer("viewer"))

    error = await failure(jobs.GetJob(get("fine"), metadata=bearer("viewer")))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(error).reason == "RATE_LIMITED"
    assert 5 < retry_delay_s(error) <= 10
    assert await jobs.GetJob(get("fine"), metadata=bearer("admin"))


async def test_reflection_takes_from_a_callers_share(start_gateway, remote, tokens_file):
    channel = await start_gateway(
        settings={"tokens_file": tokens_file, "concurrent_calls": 1}, classification=remote
    )
    never = asyncio.Event()

    async def endless():
        yield REFLECT
        await never.wait()

    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    running = stub.ServerReflectionInfo(endless(), metadata=bearer("admin"))
    assert await running.read()

    assert await reflect(channel, bearer("admin")) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await channelz(channel, bearer("admin")) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await reflect(channel, bearer("viewer")) is grpc.StatusCode.OK
    running.cancel()

    async def passes():
        return await reflect(channel, bearer("admin")) is grpc.StatusCode.OK

    await until(passes)


async def test_calls_of_one_caller_at_the_same_time_are_limited(start_gateway, remote):
    """Without tokens, a caller is a machine. A place is free again however a call ends."""
    channel = await start_gateway(settings={"concurrent_calls": 1}, classification=remote)
    jobs = job_pb2_grpc.JobServiceStub(channel)
    running = jobs.WatchJob(watch("silent"))
    await running.initial_metadata()

    error = await failure(jobs.GetJob(get("fine")))
    running.cancel()

    assert error_info(error).reason == "TOO_MANY_CALLS"
    await remote.cancelled.wait()

    async def passes():
        return await jobs.GetJob(get("fine")).code() is grpc.StatusCode.OK

    await until(passes)


# The audit log.


async def test_every_change_is_written_down(guarded_jobs, guarded, caplog):
    """Who, what, when and how it ended: also if it was refused; reading is not."""
    datasets = dataset_pb2_grpc.DatasetServiceStub(guarded)
    cancel = job_pb2.CancelJobRequest(name="tasks/classification/jobs/a")
    caplog.set_level(logging.WARNING, logger="")  # the audit does not mind
    caplog.handler.setLevel(logging.NOTSET)

    await guarded_jobs.GetJob(get("fine"), metadata=bearer("viewer"))
    await datasets.UploadArchive(chunks(10), metadata=bearer("trainer"))
    await failure(guarded_jobs.CancelJob(cancel, metadata=bearer("viewer")))
    await failure(guarded_jobs.CancelJob(cancel, metadata=bearer("stranger")))

    lines = [
        json.loads(logs.JsonFormatter().format(record))
        for record in caplog.records
        if record.name == "audit"
    ]
    told = [(x["caller"], x["method"], x["resource"], x["code"]) for x in lines]
    assert told == [
        ("token:trainer", "DatasetService/UploadArchive", "tasks/classification", "OK"),
        ("token:viewer", "JobService/CancelJob", cancel.name, "PERMISSION_DENIED"),
        ("", "JobService/CancelJob", cancel.name, "UNAUTHENTICATED"),
    ]
    assert all(line["time"] for line in lines)
    assert all(line["peer"].startswith("ipv4:127.0.0.1:") for line in lines)
    assert "stranger" not in caplog.text


# The log.


async def test_what_a_stranger_sends_does_not_fill_the_log(start_gateway, remote, caplog):
    caplog.set_level(logging.DEBUG)
    with Issuer() as issuer:
        settings = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
        channel = await start_gateway(settings=settings, classification=remote)
        long = [
            *bearer(issuer.token(headers={"kid": "k" * 2000})),
            ("x-request-id", "i" * 2000),
        ]
        error = await failure(job_pb2_grpc.JobServiceStub(channel).GetJob(get("x"), metadata=long))

    lines = [
        logs.JsonFormatter().format(record)
        for record in caplog.records
        if record.name.startswith("gateway")
    ]
    assert error.code() is UNKNOWN
    assert any("the provider has no key" in line for line in lines)
    assert max(map(len, lines)) < 1000
