"""A job remembers the trace of the call that made it, and its worker goes on with it."""

from common import tracing


def test_a_worker_is_part_of_the_trace_that_made_its_job(
    traced, collector, create, start_dispatcher, wait_until_ended
):
    """Its span is sent although the process ends in a hurry."""
    with tracing.span("caller"):
        caller = tracing.traceparent()
        job = create("count 1")
    start_dispatcher()
    wait_until_ended(job)

    spans = collector.wait_for(lambda spans: any(span.name == "IMPORT" for span in spans))

    worker = next(span for span in spans if span.name == "IMPORT")
    assert job.traceparent == caller
    assert caller.split("-")[1:3] == [worker.trace_id, worker.parent_id]
    assert worker.process.endswith("-worker")
    assert worker.attributes == {"job": job.name, "attempt": 1}


def test_a_job_that_fails_is_no_failed_span_of_ours(
    traced, collector, create, start_dispatcher, wait_until_ended
):
    """What is wrong with it is in the job; the worker did what it should."""
    job = create("refuse")
    start_dispatcher()
    wait_until_ended(job)

    (worker,) = collector.wait_for(lambda spans: spans)

    assert job.traceparent == ""
    assert not worker.failed
