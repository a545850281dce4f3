"""Lists over all tasks: complete, newest first, in pages, whatever happens between two pages."""

import random

import grpc
import pytest

from nocode.vision.v1 import (
    job_pb2,
    job_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    pipeline_pb2,
    pipeline_pb2_grpc,
)
from tests.gateway.calls import error_info, failure
from tests.gateway.conftest import free_port

TASKS = {
    "classification": ["classification"],
    "detection": ["detection"],
    "segmentation": ["semantic-segmentation", "instance-segmentation"],
}


@pytest.fixture
async def remotes(start_remote):
    return {name: await start_remote() for name in TASKS}


@pytest.fixture
async def channel(start_gateway, remotes):
    return await start_gateway(**remotes)


@pytest.fixture
def jobs(channel):
    return job_pb2_grpc.JobServiceStub(channel)


def job(task, number, made):
    made_job = job_pb2.Job(name=f"tasks/{task}/jobs/j{number:04d}")
    made_job.create_time.FromNanoseconds(made * 1_000_000_007)
    return made_job


def fill(remotes, count, *, seed=0, spread=10_000):
    """Give each backend jobs made at random times; with a small `spread`, many at the same."""
    rng = random.Random(seed)
    for number in range(count):
        service = rng.choice(list(TASKS))
        made = job(rng.choice(TASKS[service]), number, rng.randrange(1, spread))
        remotes[service].resources.append(made)
    for remote in remotes.values():
        remote.resources.sort(key=lambda j: (-j.create_time.ToNanoseconds(), j.name))


def everything(remotes):
    return {job.name for remote in remotes.values() for job in remote.resources}


async def pages(jobs, size, between=lambda: None):
    """Return the pages of the list of all jobs."""
    found, token = [], ""
    while True:
        answer = await jobs.ListJobs(
            job_pb2.ListJobsRequest(parent="tasks/-", page_size=size, page_token=token)
        )
        found.append([job.name for job in answer.jobs])
        token = answer.next_page_token
        if not token:
            return found
        assert len(found) < 1000, "the list does not end"
        between()


async def refused(call):
    error = await failure(call)
    return error.code(), error_info(error)


@pytest.mark.parametrize("size", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("largest_page", [1, 3, 1000])
async def test_pages_are_the_whole_list_newest_first(jobs, remotes, size, largest_page):
    """Whatever the size, and however few a backend likes to send at once."""
    fill(remotes, 60)
    for remote in remotes.values():
        remote.largest_page = largest_page
    expected = sorted(
        (job for remote in remotes.values() for job in remote.resources),
        key=lambda job: -job.create_time.ToNanoseconds(),
    )

    found = await pages(jobs, size)

    assert [name for page in found for name in page] == [job.name for job in expected]
    assert all(len(page) == size for page in found[:-1])


async def test_jobs_made_at_the_same_time_are_listed_once_each(jobs, remotes):
    fill(remotes, 60, spread=4)

    found = [name for page in await pages(jobs, 7) for name in page]

    assert len(found) == 60
    assert set(found) == everything(remotes)


@pytest.mark.parametrize("seed", range(10))
async def test_what_changes_between_pages_loses_nothing_else(jobs, remotes, seed):
    """New jobs push others back, deleted ones pull others forward."""
    fill(remotes, 60, seed=seed)
    rng = random.Random(seed)
    there_all_along = everything(remotes)
    numbers = iter(range(1000, 2000))

    def change():
        for service, remote in remotes.items():
            if rng.random() < 0.7:
                made = job(TASKS[service][0], next(numbers), 20_000 + rng.randrange(1000))
                remote.resources.insert(0, made)
                remote.resources.sort(key=lambda j: (-j.create_time.ToNanoseconds(), j.name))
            if remote.resources and rng.random() < 0.7:
                gone = remote.resources.pop(rng.randrange(len(remote.resources)))
                there_all_along.discard(gone.name)

    found = [name for page in await pages(jobs, 7, change) for name in page]

    assert there_all_along <= set(found)
    assert len(found) == len(set(found))


async def test_a_burst_of_new_jobs_repeats_none_of_the_old(jobs, remotes):
    """More than a page of them: what was read last is no longer on the page it was on."""
    fill(remotes, 60)
    there_all_along = everything(remotes)
    numbers = iter(range(1000, 9000))

    def burst():
        for service, remote in remotes.items():
            made = [next(numbers) for _ in range(20)]
            new = [job(TASKS[service][0], n, 100_000 + n) for n in made]
            remote.resources[:0] = reversed(new)

    found = [name for page in await pages(jobs, 7, burst) for name in page]

    assert there_all_along <= set(found)
    assert len(found) == len(set(found))


async def test_a_page_costs_a_page_of_each_backend(jobs, remotes):
    fill(remotes, 600)

    answer = await jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/-", page_size=20))
    first = {name: remote.calls for name, remote in remotes.items()}
    await jobs.ListJobs(
        job_pb2.ListJobsRequest(parent="tasks/-", page_size=20, page_token=answer.next_page_token)
    )

    assert all(calls == 1 for calls in first.values())
    assert all(remote.calls <= 3 for remote in remotes.values())


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (2000, 1000)])
async def test_page_sizes_are_bounded(jobs, remotes, asked, given):
    fill(remotes, 1100)

    assert len((await pages(jobs, asked))[0]) == given


async def test_a_negative_page_size_is_refused(jobs):
    code, info = await refused(
        jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/-", page_size=-1))
    )

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == "FIELD_OUT_OF_RANGE"


async def test_a_list_of_one_task_is_the_backends_own(jobs, remotes):
    fill(remotes, 60)

    answer = await jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/detection", page_size=3))

    assert list(answer.jobs) == remotes["detection"].resources[:3]
    assert remotes["classification"].calls == 0


async def test_empty_lists_make_an_empty_list(jobs):
    assert await pages(jobs, 10) == [[]]


async def test_a_list_fails_if_one_backend_is_down(jobs, remotes):
    """A list without its part would be wrong, and nobody would know."""
    fill(remotes, 20)
    await remotes["detection"].stop()

    code, info = await refused(jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/-")))

    assert code is grpc.StatusCode.UNAVAILABLE
    assert info.metadata["backend"] == "detection"


async def test_a_backend_that_is_not_set_up_is_no_part_of_the_list(start_gateway, remotes):
    fill(remotes, 20)
    channel = await start_gateway(classification=remotes["classification"])

    found = await pages(job_pb2_grpc.JobServiceStub(channel), 10)

    assert [name for page in found for name in page] == [
        job.name for job in remotes["classification"].resources
    ]


async def test_every_backend_gets_the_callers_deadline_and_request_id(jobs, remotes):
    fill(remotes, 20)
    call = jobs.ListJobs(
        job_pb2.ListJobsRequest(parent="tasks/-"), timeout=30, metadata=[("x-request-id", "mine")]
    )
    await call

    for remote in remotes.values():
        assert 20 < remote.time_remaining < 31
        assert remote.metadata["x-request-id"] == ["mine"]
    assert (await call.trailing_metadata())["x-request-id"] == "mine"


async def test_tokens_that_the_list_did_not_give_are_refused(jobs, channel, remotes):
    fill(remotes, 60)
    good = (
        await jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/-", page_size=5))
    ).next_page_token
    others = (
        await jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/detection", page_size=5))
    ).next_page_token

    for token in (others, "nonsense", "AAAA", "e30=", "W10=", good[:-8], "ü", good * 2):
        code, info = await refused(
            jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/-", page_token=token))
        )
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")

    code, info = await refused(
        model_pb2_grpc.ModelServiceStub(channel).ListModels(
            model_pb2.ListModelsRequest(parent="tasks/-", page_token=good)
        )
    )
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_token_of_other_backends_is_refused(jobs, remotes, start_gateway):
    """They may change while a client holds a token."""
    fill(remotes, 60)
    token = (
        await jobs.ListJobs(job_pb2.ListJobsRequest(parent="tasks/-", page_size=5))
    ).next_page_token
    fewer = await start_gateway(
        classification=remotes["classification"], detection=remotes["detection"]
    )

    code, info = await refused(
        job_pb2_grpc.JobServiceStub(fewer).ListJobs(
            job_pb2.ListJobsRequest(parent="tasks/-", page_token=token)
        )
    )

    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_architectures_come_backend_by_backend_in_their_order(channel, remotes, size):
    """Two tasks may have one of the same name."""
    stub = pipeline_pb2_grpc.PipelineServiceStub(channel)
    expected = []
    for service, names in {
        "classification": ["a", "b", "e"],
        "detection": ["c"],
        "segmentation": ["d", "e"],
    }.items():
        remotes[service].resources = [
            pipeline_pb2.Architecture(name=name, task=f"tasks/{TASKS[service][-1]}")
            for name in names
        ]
        expected += remotes[service].resources

    found, token = [], ""
    while token or not found:
        answer = await stub.ListArchitectures(
            pipeline_pb2.ListArchitecturesRequest(
                parent="tasks/-", page_size=size, page_token=token
            )
        )
        found += answer.architectures
        token = answer.next_page_token

    assert found == expected


async def test_a_list_without_any_backend_up_fails_at_once(start_gateway):
    channel = await start_gateway(
        ready=False, **{name: f"127.0.0.1:{free_port()}" for name in TASKS}
    )

    code, info = await refused(
        job_pb2_grpc.JobServiceStub(channel).ListJobs(job_pb2.ListJobsRequest(parent="tasks/-"))
    )

    assert code is grpc.StatusCode.UNAVAILABLE
    assert info.metadata["backend"] in TASKS


async def test_a_page_of_large_resources_has_fewer(jobs, remotes):
    """So that a client that takes messages of 4 MiB can read it; each is listed all the same."""
    fill(remotes, 20)
    for remote in remotes.values():
        for made in remote.resources:
            made.waiting_reason = "x" * 1_000_000

    found = await pages(jobs, 0)

    assert max(len(page) for page in found) == 3
    assert sorted(name for page in found for name in page) == sorted(everything(remotes))
