"""Resources in a real bucket: written once, changed by compare-and-swap, listed newest first."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.rpc import error_details_pb2, status_pb2

from common.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from common.reasons import Reason
from common.storage import paging, resources
from nocode.vision.v1 import job_pb2, pipeline_pb2

TASK = "tasks/classification"
TASKS = ["semantic-segmentation", "instance-segmentation"]
NAME = f"{TASK}/pipelines/apples"


@pytest.fixture
def pipelines(bucket):
    """The pipelines of an empty bucket."""
    return resources.pipelines(bucket)


def make(pipelines, name: str, seconds: int = 0, **fields) -> None:
    """Make a pipeline that counts as made at a time."""
    pipeline = pipeline_pb2.Pipeline(name=name, **fields)
    pipeline.create_time.FromSeconds(1_800_000_000 + seconds)
    pipelines.create(name, pipeline)


def page(pipelines, parent: str = TASK, size: int = 0, token: str = "", tasks=("classification",)):
    """Return the ids on a page, and the next token."""
    found, token = pipelines.list(tasks, parent, size, token)
    return [pipeline.name.rpartition("/")[2] for pipeline in found], token


def pages(pipelines, *args, **options):
    """Return the ids on each page, to the last."""
    token, result = "", []
    while True:
        ids, token = page(pipelines, *args, **options, token=token)
        result.append(ids)
        if not token:
            return result


def test_what_is_created_is_got(pipelines, bucket):
    """As JSON, with the names of the proto's fields, for people to read."""
    pipelines.create(NAME, pipeline_pb2.Pipeline(name=NAME, display_name="Apples"))

    assert pipelines.get(NAME).display_name == "Apples"
    assert pipelines.get(NAME).HasField("create_time")
    assert pipelines.exists(NAME)
    assert json.loads(bucket.get(f"{NAME}/pipeline.json"))["display_name"] == "Apples"


def test_a_name_is_taken_once(pipelines):
    """Of 8 that create at the same time one succeeds; the list shows one."""

    def create(number: int) -> bool:
        try:
            pipelines.create(NAME, pipeline_pb2.Pipeline(name=NAME, display_name=str(number)))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(create, range(8)))

    assert won.count(True) == 1
    assert pipelines.get(NAME).display_name == str(won.index(True))
    assert page(pipelines) == (["apples"], "")


def test_a_retried_create_keeps_its_place_in_the_list(pipelines):
    """The second try has the same time, so it must not take away the first one's entry."""
    make(pipelines, NAME)

    with pytest.raises(AlreadyExists, match=f"{NAME} exists already") as caught:
        make(pipelines, NAME)

    assert caught.value.reason == Reason.RESOURCE_EXISTS
    assert page(pipelines) == (["apples"], "")


def test_what_does_not_exist_is_not_found(pipelines):
    """By any method; the message names it."""
    for method in (pipelines.get, pipelines.get_versioned, pipelines.delete):
        with pytest.raises(NotFound, match=f"{NAME} does not exist"):
            method(NAME)
    with pytest.raises(NotFound):
        pipelines.update(NAME, lambda _: None)
    assert not pipelines.exists(NAME)


def test_updates_at_the_same_time_all_count(pipelines):
    """None of 40 appended letters is lost."""
    make(pipelines, NAME)

    def append(pipeline: pipeline_pb2.Pipeline) -> None:
        pipeline.display_name += "x"

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: pipelines.update(NAME, append), range(40)))

    assert pipelines.get(NAME).display_name == "x" * 40


def test_an_update_that_changes_nothing_writes_nothing(pipelines):
    """Watchers see no new version."""
    make(pipelines, NAME)
    _, etag = pipelines.get_versioned(NAME)

    pipelines.update(NAME, lambda _: None)

    assert pipelines.get_versioned(NAME, unless_etag=etag) is None


def test_a_refused_update_changes_nothing(pipelines):
    """What `change` raises passes through."""
    make(pipelines, NAME)

    def refuse(pipeline: pipeline_pb2.Pipeline) -> None:
        pipeline.display_name = "half done"
        raise KeyError

    with pytest.raises(KeyError):
        pipelines.update(NAME, refuse)
    with pytest.raises(ValueError, match="create_time"):
        pipelines.update(NAME, lambda pipeline: pipeline.create_time.FromSeconds(1))

    assert pipelines.get(NAME).display_name == ""


def test_an_update_that_always_loses_gives_up(pipelines):
    """With an error that says to try again."""
    make(pipelines, NAME)
    times = 0

    def lose(pipeline: pipeline_pb2.Pipeline) -> None:
        nonlocal times
        times += 1
        pipeline.display_name = "mine"
        pipelines.update(NAME, lambda theirs: setattr(theirs, "display_name", str(times)))

    with pytest.raises(Conflict) as caught:
        pipelines.update(NAME, lose)

    assert caught.value.reason == Reason.RESOURCE_CHANGED
    assert caught.value.retry_after_s is not None
    assert pipelines.get(NAME).display_name == str(times)


def test_a_deleted_resource_leaves_nothing(pipelines, bucket):
    """Neither document nor index entry."""
    make(pipelines, NAME)

    pipelines.delete(NAME)

    assert list(bucket.list("")) == []


def test_a_list_is_newest_first_page_by_page(pipelines):
    """Whatever the order of creation and the names."""
    for number in (3, 0, 4, 1, 2):
        make(pipelines, f"{TASK}/pipelines/p{number}", seconds=10 * number)

    assert pages(pipelines, size=2) == [["p4", "p3"], ["p2", "p1"], ["p0"]]
    assert pages(pipelines, size=5) == [["p4", "p3", "p2", "p1", "p0"]]
    assert pages(pipelines) == [["p4", "p3", "p2", "p1", "p0"]]


def test_a_page_of_large_resources_has_fewer(pipelines, monkeypatch):
    """So that a client that takes messages of 4 MiB can read it; each is listed all the same."""
    for number in range(5):
        make(pipelines, f"{TASK}/pipelines/p{number}", number, display_name="x" * 1000 * number)
    monkeypatch.setattr(paging, "MAX_PAGE_BYTES", 3500)

    assert pages(pipelines) == [["p4"], ["p3"], ["p2", "p1", "p0"]]


def test_an_empty_list_has_one_empty_page(pipelines):
    """And no token."""
    assert page(pipelines) == ([], "")


def test_lists_of_several_tasks_are_merged(pipelines):
    """`tasks/-` means the tasks of the service, in one order."""
    for number in range(6):
        make(pipelines, f"tasks/{TASKS[number % 2]}/pipelines/p{number}", seconds=number)
    make(pipelines, NAME, seconds=3)

    merged = pages(pipelines, parent="tasks/-", size=4, tasks=TASKS)
    single = pages(pipelines, parent=f"tasks/{TASKS[0]}", size=4, tasks=TASKS)

    assert merged == [["p5", "p4", "p3", "p2"], ["p1", "p0"]]
    assert single == [["p4", "p2", "p0"]]


def test_a_list_goes_on_where_it_was(pipelines):
    """What is created or deleted between two pages neither repeats nor hides others."""
    for number in range(6):
        make(pipelines, f"{TASK}/pipelines/p{number}", seconds=number)
    first, token = page(pipelines, size=3)

    make(pipelines, f"{TASK}/pipelines/newer", seconds=99)
    pipelines.delete(f"{TASK}/pipelines/p3")
    pipelines.delete(f"{TASK}/pipelines/p1")

    assert first == ["p5", "p4", "p3"]
    assert page(pipelines, size=3, token=token) == (["p2", "p0"], "")


def test_entries_without_a_resource_are_passed_over(pipelines, bucket):
    """A process may die between the two writes; pages are full all the same."""
    for number in range(4):
        make(pipelines, f"{TASK}/pipelines/p{number}", seconds=number)
    for number in (1, 3):
        bucket.delete(f"{TASK}/pipelines/p{number}/pipeline.json")

    assert pages(pipelines, size=1) == [["p2"], ["p0"]]
    assert page(pipelines, size=2) == (["p2", "p0"], "")


def test_an_entry_of_an_earlier_resource_of_the_name_is_passed_over(pipelines, bucket):
    """The name is listed once, at the time of the resource that is there."""
    make(pipelines, NAME, seconds=0)
    make(pipelines, f"{TASK}/pipelines/pears", seconds=5)
    bucket.delete(f"{NAME}/pipeline.json")
    make(pipelines, NAME, seconds=10)

    assert page(pipelines) == (["apples", "pears"], "")


def test_a_page_asks_for_a_page_of_keys(pipelines, bucket, monkeypatch):
    """Not for a walk over the index: what a page costs does not grow with the collection."""
    for number in range(12):
        make(pipelines, f"{TASK}/pipelines/p{number}", seconds=number)
    asked = []
    real = bucket._client.list_from
    monkeypatch.setattr(
        bucket._client, "list_from", lambda *args: asked.append(args[-1]) or real(*args)
    )

    _, token = page(pipelines, size=3)
    page(pipelines, size=3, token=token)

    assert asked == [4, 4]


@pytest.mark.parametrize("parent", ["", "tasks", "tasks/unknown", "tasks/detection", "tasks/a/b"])
def test_a_parent_that_is_not_served_is_refused(pipelines, parent):
    """The error names the field."""
    with pytest.raises(InvalidInput) as caught:
        page(pipelines, parent=parent)

    assert caught.value.field == "parent"


def test_a_token_of_another_list_is_refused(pipelines):
    """A token belongs to its parent."""
    for number in range(2):
        make(pipelines, f"{TASK}/pipelines/p{number}", seconds=number)
    _, token = page(pipelines, size=1)

    with pytest.raises(InvalidInput) as caught:
        page(pipelines, parent="tasks/-", token=token)

    assert caught.value.reason == Reason.PAGE_TOKEN_INVALID


def test_an_error_is_kept_with_its_details(bucket):
    """`Job.error` holds messages of any type."""
    jobs = resources.jobs(bucket)
    name = f"{TASK}/jobs/job-1"
    status = status_pb2.Status(code=8, message="Too big.")
    info = error_details_pb2.ErrorInfo(reason="OUT_OF_MEMORY", domain="nocode.vision")
    status.details.add().Pack(info)

    jobs.create(name, job_pb2.Job(name=name, error=status))

    kept = error_details_pb2.ErrorInfo()
    assert jobs.get(name).error.details[0].Unpack(kept)
    assert kept == info


def test_a_field_of_a_newer_version_is_no_error(pipelines, bucket):
    """While replicas are being replaced, old ones read what new ones wrote."""
    bucket.put(f"{NAME}/pipeline.json", b'{"name": "x", "field_of_2030": {"a": [1]}}')

    assert pipelines.get(NAME).name == "x"
