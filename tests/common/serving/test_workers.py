"""Threads that take work from a queue."""

import threading

from common.serving.workers import Workers


def test_work_is_done_by_several_threads_at_once():
    workers = Workers(2, "test")
    both = threading.Barrier(3, timeout=10)
    for _ in range(2):
        workers.submit(both.wait)

    both.wait()  # or it breaks after 10 s

    workers.close()


def test_work_that_fails_is_logged_and_the_thread_goes_on(caplog):
    workers = Workers(1, "test")
    done = []

    workers.submit([].pop)
    workers.submit(done.append, 1)
    workers.close()

    assert done == [1]
    assert "pop failed" in caplog.text


def test_closing_finishes_what_was_submitted():
    workers = Workers(1, "test")
    done = []
    for number in range(100):
        workers.submit(done.append, number)

    workers.close()

    assert done == list(range(100))
