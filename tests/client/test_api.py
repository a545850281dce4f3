"""The client's own promises: it comes back to a job, and keeps little of what it hears."""

import socket
import sys
import threading
import weakref
from pathlib import Path

import pytest

from client import Client, JobFailed, channel
from nocode.vision.v1 import job_pb2, job_pb2_grpc

JOB = "tasks/t/jobs/j"
STATES = job_pb2.Job.State


class OneJob(job_pb2_grpc.JobServiceServicer):
    """Has a job that runs for some states, and stays silent before the last if told to."""

    def __init__(self, state_count=0, ended=STATES.STATE_SUCCEEDED):
        self.state_count = state_count
        self.ended = ended
        self.silent = threading.Event()
        """Set once a caller waits for word that will not come."""
        self.watched = 0

    def WatchJob(self, request, context):
        self.watched += 1
        for epoch in range(1, self.state_count + 1):
            yield job_pb2.Job(
                name=request.name, state=STATES.STATE_RUNNING, progress={"epoch": epoch}
            )
        if self.watched == 1 and not self.state_count:
            yield job_pb2.Job(name=request.name, state=STATES.STATE_RUNNING)
            gone = threading.Event()
            context.add_callback(gone.set)
            self.silent.set()
            gone.wait(60)
            return
        yield job_pb2.Job(name=request.name, state=self.ended)


class Relay:
    """Carries bytes between a client and a server, until it drops them without a word."""

    def __init__(self, target):
        self.target = target
        self.dropping = threading.Event()
        """Set, it affects the connections that there are; later ones work."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self):
        """Lose what is sent from now on over the connections that there are."""
        dropping, self.dropping = self.dropping, threading.Event()
        dropping.set()

    def close(self):
        """End everything."""
        self.listener.close()
        for end in self.open:
            end.close()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            host, _, port = self.target.rpartition(":")
            far = socket.create_connection((host, int(port)))
            self.open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(
                    target=self._carry, args=(source, sink, self.dropping), daemon=True
                ).start()

    @staticmethod
    def _carry(source, sink, dropping):
        try:
            while data := source.recv(65536):
                if not dropping.is_set():
                    sink.sendall(data)
        except OSError:
            pass


class Kept:
    """A job that can be referred to weakly."""

    def __init__(self, job):
        self.job = job
        self.state = job.state


@pytest.fixture
def relay():
    """Makes relays, and ends them after the test."""
    made = []

    def start(target):
        made.append(Relay(target))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_link_that_dies_without_a_word_does_not_stop_a_watch(serve, relay, monkeypatch):
    """The connection is noticed to be dead, and the job is followed over a new one."""
    monkeypatch.setattr(channel, "KEEPALIVE_MS", 1000)
    monkeypatch.setattr(channel, "PING_TIMEOUT_MS", 500)
    server = OneJob()
    link = relay(serve(server))

    with Client(link.address) as client:
        watched = client.watch(JOB)
        first = next(watched)
        assert server.silent.wait(30)
        link.drop()
        (last,) = watched

    assert first.state == STATES.STATE_RUNNING
    assert last.state == STATES.STATE_SUCCEEDED
    assert server.watched == 2


def test_waiting_keeps_only_the_last_state(serve, monkeypatch):
    """Each has the whole history of the job, which may be long."""
    kept = weakref.WeakSet()
    most = 0

    class Watching(Client):
        def watch(self, name):
            nonlocal most
            for job in super().watch(name):
                state = Kept(job)
                kept.add(state)
                most = max(most, len(kept))
                yield state
                del state

    with Watching(serve(OneJob(state_count=50))) as client:
        ended = client.wait(JOB)

    assert ended.state == STATES.STATE_SUCCEEDED
    assert most <= 3


def test_waiting_for_a_job_that_does_not_succeed_is_an_error(serve):
    """Whoever waits wants its result."""
    server = OneJob(state_count=1, ended=STATES.STATE_CANCELLED)

    with Client(serve(server)) as client, pytest.raises(JobFailed, match="was cancelled"):
        client.wait(JOB)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such file")
def test_an_archive_that_cannot_be_read_is_the_users_error(serve):
    """Not one of the call: gRPC would hide what is wrong with the file."""
    # It can be opened, and its first page cannot be read.
    unreadable = Path("/proc/self/mem")

    with Client(serve(OneJob())) as client, pytest.raises(OSError, match="Input/output error"):
        client.upload("classification", unreadable)
