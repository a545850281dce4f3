"""Threads that take work from a queue."""

import asyncio
import threading
import time

from common.serving.workers import Mailbox, Workers


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


def test_of_threads_that_wait_the_latest_goes_on():
    workers = Workers(3, "test")
    threads = []
    for number in range(20):
        workers.submit(lambda: threads.append(threading.current_thread().name))
        _until(lambda number=number: len(threads) > number and len(workers._idle) == 3)
    workers.close()

    assert len(set(threads)) == 1


def test_nothing_is_lost_however_threads_come_and_go():
    """Work that comes at the moment when a thread falls asleep is done all the same."""
    workers = Workers(4, "test")
    done = []
    for number in range(20_000):
        workers.submit(done.append, number)
        if number % 7 == 0:
            time.sleep(0)  # lets threads run, and fall asleep
    workers.close()

    assert sorted(done) == list(range(20_000))


def test_a_full_queue_takes_no_more():
    workers = Workers(1, "test", queue_size=2)
    may_go_on = threading.Event()
    workers.submit(may_go_on.wait, 10)
    _until(lambda: not workers._work)

    taken = [workers.submit(print) for _ in range(3)]
    may_go_on.set()
    workers.close()

    assert taken == [True, True, False]


def test_the_loop_does_what_threads_post_in_their_order():
    posted = []

    async def run() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        threads = [
            threading.Thread(target=_post, args=(mailbox, posted, thread)) for thread in range(4)
        ]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(30):
            while len(posted) < 4 * 5000:  # noqa: ASYNC110 - the loop itself fills it
                await asyncio.sleep(0.001)

    asyncio.run(run())

    for thread in range(4):
        assert [number for who, number in posted if who == thread] == list(range(5000))


def _post(mailbox, posted, thread) -> None:
    for number in range(5000):
        mailbox.post(posted.append, (thread, number))


def _until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
