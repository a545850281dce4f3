"""`Jobs`: making, listing, watching and cancelling, on a real S3 server."""

from __future__ import annotations

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from common import names
from common.errors import Exhausted, InvalidInput, NotFound, Stopping
from common.jobs import states
from common.jobs.store import Claim, ClaimLost, Jobs
from common.reasons import Reason
from nocode.vision.v1 import job_pb2 as pb

PARENT = "tasks/classification"


def move(jobs, job, *path):
    """Take a job through states as its owner would."""

    def change(stored):
        for state in path:
            states.move(stored, state)
            stored.owner, stored.attempt = "me", 1

    return jobs.change(job.name, change)


def parsed(job):
    return names.parse(job.name, "jobs")


def markers(jobs):
    return [marker.job for marker in jobs.active("classification")]


class TestCreate:
    """Queueing jobs."""

    def test_a_new_job_is_queued(self, create, jobs):
        job = create("count 1")

        assert jobs.get(parsed(job)) == job
        assert job.kind == pb.Job.KIND_IMPORT
        assert job.state == states.QUEUED
        assert job.waiting_reason
        assert job.attempt == 0
        assert job.import_spec.display_name == "count 1"
        assert markers(jobs) == [job.name]

    def test_an_equal_request_gets_the_same_job(self, create, jobs):
        """Also when it is sent again while the first is under way."""
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: create("count 1", request_id="a"), range(4)))

        assert len({job.name for job in made}) == 1
        assert create("count 1", request_id="a").name == made[0].name
        others = {create("count 1", request_id="b").name, create("count 1").name}
        assert len(others | {made[0].name}) == 3

    def test_each_job_has_one_marker(self, create, jobs):
        """Whoever of several equal requests wins, no other leaves a trace."""
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: create("count 1", request_id="a"), range(4)))

        assert markers(jobs) == [made[0].name]

    def test_a_request_id_stands_for_one_request(self, create):
        create("count 1", request_id="a")

        with pytest.raises(InvalidInput) as caught:
            create("count 2", request_id="a")

        assert caught.value.reason == Reason.REQUEST_ID_REUSED
        assert caught.value.field == "request_id"

    def test_request_ids_of_other_kinds_and_targets_do_not_meet(self, jobs):
        ids = {
            str(jobs.name_for(kind, target, "a"))
            for kind in (pb.Job.KIND_TRAIN, pb.Job.KIND_EVALUATE)
            for target in (f"{PARENT}/pipelines/p", f"{PARENT}/pipelines/q")
        }

        assert len(ids) == 4

    def test_a_request_id_has_a_greatest_length(self, jobs):
        jobs.name_for(pb.Job.KIND_IMPORT, PARENT, "a" * 128)
        with pytest.raises(InvalidInput) as caught:
            jobs.name_for(pb.Job.KIND_IMPORT, PARENT, "a" * 129)

        assert caught.value.reason == Reason.FIELD_TOO_LONG

    def test_a_full_queue_refuses_and_says_when_to_come_back(self, create, jobs):
        """Three may wait here. What runs or has ended does not wait."""
        waiting = [create("count 1", dataset=f"d{i}") for i in range(3)]
        with pytest.raises(Exhausted) as caught:
            create("count 1", dataset="d4")
        assert caught.value.reason == Reason.QUEUE_FULL
        assert caught.value.retry_after_s > 0
        assert len(markers(jobs)) == 3

        move(jobs, waiting[0], states.RUNNING)
        create("count 1", dataset="d5")
        with pytest.raises(Exhausted):
            create("count 1", dataset="d6")

        jobs.cancel(parsed(waiting[1]))
        create("count 1", dataset="d7")
        assert len(markers(jobs)) == 4

    def test_a_retry_finds_its_job_though_the_queue_is_full(self, create):
        first = create("count 1", request_id="a")
        create("count 1")
        create("count 1")

        assert create("count 1", request_id="a").name == first.name


def test_lists_are_newest_first(create, jobs):
    made = [create("count 1") for _ in range(3)]

    page, token = jobs.list(["classification"], PARENT, 2, "")
    rest, end = jobs.list(["classification"], PARENT, 2, token)

    assert [job.name for job in page + rest] == [job.name for job in reversed(made)]
    assert end == ""


class TestCancel:
    """In every state; a running job's worker is in `test_cancel`."""

    def test_a_queued_job_is_cancelled_at_once_and_leaves_nothing(self, create, jobs, bucket):
        job = create("count 1")
        bucket.put(f"{PARENT}/datasets/d/reserved", job.name.encode())
        bucket.put(f"{PARENT}/datasets/d/shards/00000.tar", b"half")
        bucket.put(f"{job.name}/checkpoint/step", b"1")

        cancelled = jobs.cancel(parsed(job))

        assert cancelled.state == states.CANCELLED
        assert cancelled.HasField("end_time")
        assert cancelled == jobs.get(parsed(job))
        assert markers(jobs) == []
        assert list(bucket.list(f"{PARENT}/datasets/")) == []
        assert [stat.key for stat in bucket.list(f"{job.name}/")] == [f"{job.name}/job.json"]

    def test_what_another_job_reserved_is_not_touched(self, create, jobs, bucket):
        job = create("count 1")
        bucket.put(f"{PARENT}/datasets/d/reserved", b"tasks/classification/jobs/another")

        jobs.cancel(parsed(job))

        assert bucket.get(f"{PARENT}/datasets/d/reserved")

    def test_a_running_job_is_asked_to_stop(self, create, jobs):
        job = move(jobs, create("count 1"), states.RUNNING)

        first = jobs.cancel(parsed(job))
        second = jobs.cancel(parsed(job))

        assert first.state == states.CANCELLING
        assert second == first
        assert markers(jobs) == [job.name]

    @pytest.mark.parametrize("end", [states.SUCCEEDED, states.FAILED])
    def test_a_job_that_has_ended_stays_as_it_is(self, create, jobs, end):
        job = move(jobs, create("count 1"), states.RUNNING, end)

        assert jobs.cancel(parsed(job)) == job

    def test_a_cancelled_job_stays_as_it_is(self, create, jobs):
        job = jobs.cancel(parsed(create("count 1")))

        assert jobs.cancel(parsed(job)) == job

    def test_a_job_that_is_not_there(self, jobs):
        with pytest.raises(NotFound) as caught:
            jobs.cancel(names.parse(f"{PARENT}/jobs/nobody"))

        assert caught.value.reason == Reason.RESOURCE_NOT_FOUND


class TestClaims:
    """Who may change a running job."""

    def test_of_many_that_claim_a_job_one_gets_it(self, create, jobs):
        job = create("count 1")

        def claim(owner):
            def change(stored):
                if stored.state != states.QUEUED:
                    raise LookupError
                states.move(stored, states.RUNNING)
                stored.owner = owner

            try:
                return jobs.change(job.name, change).owner
            except LookupError:
                return None

        with ThreadPoolExecutor(8) as pool:
            owners = [owner for owner in pool.map(claim, map(str, range(8))) if owner]

        assert owners == [jobs.get(parsed(job)).owner]

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(lambda job: setattr(job, "attempt", 2), id="another attempt"),
            pytest.param(lambda job: setattr(job, "owner", "you"), id="another owner"),
            pytest.param(lambda job: states.move(job, states.QUEUED), id="given back"),
            pytest.param(lambda job: states.move(job, states.FAILED), id="ended"),
        ],
    )
    def test_a_worker_that_lost_its_claim_writes_nothing(self, create, jobs, other):
        job = move(jobs, create("count 1"), states.RUNNING)
        claim = Claim.of(job)
        jobs.change_claimed(claim, lambda job: setattr(job.progress, "step", 1))
        changed = jobs.change(job.name, other)

        with pytest.raises(ClaimLost):
            jobs.change_claimed(claim, lambda job: setattr(job.progress, "step", 2))

        assert jobs.get(parsed(job)) == changed
        assert changed.progress.step == 1

    def test_a_job_that_is_gone_is_nobodys(self, jobs):
        with pytest.raises(ClaimLost):
            jobs.change_claimed(Claim(f"{PARENT}/jobs/nobody", "me", 1), lambda _job: None)


class TestWatch:
    """Following a job."""

    async def test_changes_are_seen_within_a_second_until_the_last(self, create, jobs):
        job = await asyncio.to_thread(create, "count 1")
        seen = []
        async with asyncio.timeout(20), aclosing(jobs.watch(parsed(job))) as changes:
            async for change in changes:
                seen.append((change.state, time.monotonic()))
                path = {
                    states.QUEUED: [states.RUNNING],
                    states.RUNNING: [states.CANCELLING],
                    states.CANCELLING: [states.CANCELLED],
                }
                if change.state in path:
                    await asyncio.to_thread(move, jobs, change, *path[change.state])

        assert [state for state, _ in seen] == [
            states.QUEUED,
            states.RUNNING,
            states.CANCELLING,
            states.CANCELLED,
        ]
        for (_, before), (_, after) in itertools.pairwise(seen):
            assert after - before < 1.0

    async def test_many_watchers_cost_as_much_as_one(self, bucket, settings, create):
        reads = []

        class Counting(Jobs):
            def get_if_changed(self, name, etag):
                reads.append(name)
                return super().get_if_changed(name, etag)

        jobs = Counting(bucket, queue_size=settings.job_queue_size)
        job = await asyncio.to_thread(create, "count 1")

        async def watch():
            return [change.state async for change in jobs.watch(parsed(job))]

        watchers = [asyncio.create_task(watch()) for _ in range(50)]
        await asyncio.sleep(2)
        reads_in_two_seconds = len(reads)
        await asyncio.to_thread(jobs.cancel, parsed(job))
        async with asyncio.timeout(5):
            states_seen = await asyncio.gather(*watchers)

        assert reads_in_two_seconds <= 6
        assert {tuple(seen) for seen in states_seen} == {(states.QUEUED, states.CANCELLED)}

    async def test_nothing_is_read_for_nobody(self, bucket, settings, create):
        """When the last watcher has gone, so has the reader."""
        reads = []

        class Counting(Jobs):
            def get_if_changed(self, name, etag):
                reads.append(name)
                return super().get_if_changed(name, etag)

        jobs = Counting(bucket, queue_size=settings.job_queue_size)
        job = await asyncio.to_thread(create, "count 1")
        async with aclosing(jobs.watch(parsed(job))) as changes:
            await anext(changes)
        await asyncio.sleep(0.5)
        count = len(reads)
        await asyncio.sleep(1)

        assert len(reads) == count

    async def test_a_server_that_stops_ends_all_watches(self, create, jobs):
        """A watch would otherwise hold the stop up for as long as its job runs."""
        job = await asyncio.to_thread(create, "count 1")
        changes = jobs.watch(parsed(job))
        await anext(changes)

        jobs.end_watches()

        async with asyncio.timeout(1):
            with pytest.raises(Stopping):
                await anext(changes)
            with pytest.raises(Stopping):
                await anext(jobs.watch(parsed(job)))

    async def test_a_job_that_has_ended_is_sent_once(self, create, jobs):
        job = await asyncio.to_thread(create, "count 1")
        await asyncio.to_thread(jobs.cancel, parsed(job))

        assert [change.state async for change in jobs.watch(parsed(job))] == [states.CANCELLED]

    async def test_a_job_that_is_not_there(self, jobs):
        with pytest.raises(NotFound):
            await anext(jobs.watch(names.parse(f"{PARENT}/jobs/nobody")))
