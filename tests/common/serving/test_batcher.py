"""The queue of a device, with threads that submit and a network that waits for the test."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from prometheus_client import CollectorRegistry

from common.errors import Exhausted
from common.serving.batcher import Batcher, Item
from common.serving.forward_times import ForwardTimes
from common.serving.metrics import PredictMetrics

FOREVER = float("inf")


class Network:
    """Answers each image with its own value, once it may go on."""

    def __init__(self, name: str = "a") -> None:
        self.model = SimpleNamespace(name=name)
        self.times = ForwardTimes()
        self.max_batch_size = 1000
        self.batches: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def forward(self, images: list[torch.Tensor]) -> list[int]:
        self.batches.append([int(image) for image in images])
        assert self.may_go_on.wait(10)
        return self.batches[-1]


class Device:
    """A batcher with what it has finished."""

    def __init__(self, **settings) -> None:
        self.finished = []
        defaults = {"queue_size": 100, "batch_size": 4, "delay_s": 0.0}
        self.batcher = Batcher(
            **{**defaults, **settings},
            finish=lambda batch, _: self.finished.append(batch),
            metrics=PredictMetrics(CollectorRegistry()),
        )
        self.threads = []

    def submit(self, network, value: int, deadline: float = FOREVER):
        """Admit an image and submit it from a thread of its own."""
        ticket = self.batcher.admit(network, 1, deadline)
        item = Item(ticket, torch.tensor(value), value)
        thread = threading.Thread(target=self.batcher.submit, args=(item,))
        thread.start()
        self.threads.append(thread)
        return ticket

    def occupy(self, network) -> None:
        """Let a first image run until `network.may_go_on`."""
        network.may_go_on.clear()
        self.submit(network, 0)
        until(lambda: network.batches)

    def release(self, *networks) -> None:
        """Let everything run to its end."""
        for network in networks:
            network.may_go_on.set()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def queue(self, network, *values: int, deadline: float = FOREVER) -> list:
        """Submit images one after another, while the device is busy."""
        tickets = []
        for value in values:
            tickets.append(self.submit(network, value, deadline))
            self.threads[-1].join(10)
        return tickets


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_queues_while_the_device_is_busy_is_one_batch():
    device, network = Device(), Network()
    device.occupy(network)
    device.queue(network, 1, 2, 3, 4, 5)
    device.release(network)

    assert network.batches == [[0], [1, 2, 3, 4], [5]]
    assert [item.tag for batch in device.finished for item in batch.items] == [0, 1, 2, 3, 4, 5]
    assert [output for batch in device.finished for output in batch.outputs] == [0, 1, 2, 3, 4, 5]


def test_models_take_turns():
    """A model with a long queue does not keep another waiting for more than a batch."""
    device, busy, rare = Device(), Network("busy"), Network("rare")
    device.occupy(busy)
    device.queue(busy, *range(1, 13))
    device.queue(rare, 100)
    order = []
    for network in (busy, rare):
        forward = network.forward
        network.forward = lambda images, f=forward, n=network: (order.append(n), f(images))[1]
    device.release(busy, rare)

    assert order == [busy, rare, busy, busy]


def test_a_batch_waits_for_others_if_it_is_told_to():
    device, network = Device(delay_s=5.0), Network()
    device.submit(network, 1)
    device.submit(network, 2)
    device.submit(network, 3)
    assert not network.batches
    device.submit(network, 4)
    device.release(network)

    assert [sorted(batch) for batch in network.batches] == [[1, 2, 3, 4]]


def test_a_batch_does_not_wait_longer_than_it_is_told_to():
    device, network = Device(delay_s=0.05), Network()
    device.submit(network, 1)
    device.release(network)

    assert network.batches == [[1]]


def test_what_was_abandoned_or_is_too_late_is_not_computed():
    device, network = Device(), Network()
    device.occupy(network)
    (abandoned,) = device.queue(network, 1)
    device.queue(network, 2, deadline=time.monotonic() + 0.01)
    device.queue(network, 3)
    abandoned.abandoned = True
    time.sleep(0.02)
    device.release(network)

    assert network.batches == [[0], [3]]
    late = [batch for batch in device.finished if batch.error]
    assert [item.tag for batch in late for item in batch.items] == [2]
    assert late[0].error.reason == "DEADLINE_TOO_SHORT"


def test_a_batch_stays_small_enough_for_its_tightest_deadline():
    """At a second an image, two can be done in 2.5 s."""
    device, other, network = Device(), Network(), Network()
    for size in (1, 4):
        network.times.note(size, 1.0 * size)
    device.occupy(other)
    tickets = device.queue(network, 1, 2, 3, 4)
    tickets[0].deadline = time.monotonic() + 2.5
    device.release(other)

    assert network.batches == [[1, 2], [3, 4]]


def test_a_wrong_estimate_is_put_right_by_trying():
    """Else a model thought slower than all deadlines would never be run again."""
    device, network = Device(), Network()
    network.times.note(1, 100.0)

    for value in range(40):
        device.submit(network, value, deadline=time.monotonic() + 5)
        device.release(network)

    assert len(network.batches) == 40
    assert network.times.expected(1) < 1


def test_an_error_fails_its_batch_alone():
    device, network = Device(), Network()
    good = network.forward

    def divide_by_zero(images):
        return 1 / 0

    network.forward = divide_by_zero
    device.submit(network, 1)
    device.release(network)
    network.forward = good
    device.submit(network, 2)
    device.release(network)

    failed, succeeded = device.finished
    assert isinstance(failed.error, ZeroDivisionError)
    assert succeeded.outputs == [2]


def test_room_is_counted_in_images_and_given_back():
    device, network = Device(queue_size=3), Network()
    tickets = [device.batcher.admit(network, 1, FOREVER) for _ in range(3)]
    with pytest.raises(Exhausted) as caught:
        device.batcher.admit(network, 1, FOREVER)
    device.batcher.withdraw(tickets[0])

    device.batcher.admit(network, 1, FOREVER)
    assert caught.value.reason == "QUEUE_FULL"
    assert caught.value.retry_after_s > 0
    with pytest.raises(Exhausted):
        device.batcher.admit(network, 1, FOREVER)


def test_another_models_queue_is_its_own():
    device = Device(queue_size=1)
    device.batcher.admit(Network("a"), 1, FOREVER)

    device.batcher.admit(Network("b"), 1, FOREVER)


def test_closing_finishes_what_was_admitted_and_admits_no_more():
    device, network = Device(), Network()
    device.occupy(network)
    device.queue(network, 1, 2)
    closing = threading.Thread(target=device.batcher.close)
    closing.start()
    until(lambda: device.batcher._closed)
    with pytest.raises(Exhausted) as caught:
        device.batcher.admit(network, 1, FOREVER)
    assert closing.is_alive()
    device.release(network)
    closing.join(10)

    assert not closing.is_alive()
    assert caught.value.reason == "SERVER_STOPPING"
    assert network.batches == [[0], [1, 2]]


def test_images_submitted_together_are_one_batch():
    """On a free device too, where the first alone would else begin."""
    device, network = Device(), Network()
    ticket = device.batcher.admit(network, 5, FOREVER)

    device.batcher.submit(*[Item(ticket, torch.tensor(value), value) for value in range(5)])

    assert network.batches == [[0, 1, 2, 3], [4]]


def test_tiles_have_room_beside_the_queue():
    """Others are still admitted by what waits, tiles included."""
    device, network = Device(queue_size=3), Network()
    device.occupy(network)
    ticket = device.batcher.admit(network, 1, FOREVER)
    device.batcher.add_room(ticket, 4)
    with pytest.raises(Exhausted, match="5 images wait"):
        device.batcher.admit(network, 1, FOREVER)
    device.batcher.submit(*[Item(ticket, torch.tensor(value), value) for value in range(1, 6)])
    device.release(network)

    assert network.batches == [[0], [1, 2, 3, 4], [5]]
    assert device.batcher._waiting() == 0


def test_tiles_that_would_be_late_are_refused_unless_the_device_is_free():
    """At a second an image, ten tiles take ten seconds."""
    device, network = Device(), Network()
    for size in (1, 4):
        network.times.note(size, 1.0 * size)
    ticket = device.batcher.admit(network, 1, time.monotonic() + 11)
    device.batcher.check_time(ticket, 10)
    device.occupy(network)

    device.batcher.check_time(ticket, 5)
    with pytest.raises(Exhausted, match="after the call's deadline") as caught:
        device.batcher.check_time(ticket, 10)
    device.batcher.withdraw(ticket)
    device.release(network)

    assert caught.value.reason == "DEADLINE_TOO_SHORT"
    assert caught.value.retry_after_s > 0
