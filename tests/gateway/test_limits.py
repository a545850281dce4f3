"""How much a caller may call."""

import time

import pytest

from common.errors import Exhausted
from common.reasons import Reason
from gateway import limits as module
from gateway.limits import Limits


def spend(limits, caller, count):
    """Make calls one after the other; return how many were let through."""
    passed = 0
    for _ in range(count):
        try:
            with limits.share(caller):
                passed += 1
        except Exhausted:
            pass
    return passed


def test_a_burst_passes_and_no_more():
    assert spend(Limits(rate=0.01, burst=5, at_once=0), "a", 20) == 5


def test_without_a_burst_the_calls_of_a_second_pass_at_once():
    assert spend(Limits(rate=3, burst=0, at_once=0), "a", 20) == 3
    assert spend(Limits(rate=0.1, burst=0, at_once=0), "a", 20) == 1


def test_each_caller_has_its_own_share():
    limits = Limits(rate=0.01, burst=2, at_once=0)

    assert [spend(limits, caller, 5) for caller in "abc"] == [2, 2, 2]


def test_a_refusal_says_when_the_next_call_passes():
    limits = Limits(rate=20, burst=1, at_once=0)
    spend(limits, "a", 1)

    with pytest.raises(Exhausted, match="20 calls a second") as raised:
        limits.share("a")
    time.sleep(raised.value.retry_after_s)

    assert raised.value.reason is Reason.RATE_LIMITED
    assert 0 < raised.value.retry_after_s <= 0.05
    assert spend(limits, "a", 1) == 1


def test_calls_at_the_same_time_are_limited():
    limits = Limits(rate=0, burst=0, at_once=2)
    first, second = limits.share("a"), limits.share("a")

    with first, second:
        with pytest.raises(Exhausted) as raised:
            limits.share("a")
        assert spend(limits, "b", 1) == 1
        assert raised.value.reason is Reason.TOO_MANY_CALLS
        assert raised.value.retry_after_s
    assert spend(limits, "a", 9) == 9


def test_a_call_that_fails_gives_its_place_back():
    limits = Limits(rate=0, burst=0, at_once=1)

    for _ in range(3):
        with pytest.raises(RuntimeError), limits.share("a"):
            raise RuntimeError

    assert spend(limits, "a", 1) == 1


def test_callers_that_are_away_are_forgotten(monkeypatch):
    """Memory is bounded, and a caller whose calls run is counted right all the same."""
    monkeypatch.setattr(module, "_KNOWN_CALLERS", 10)
    limits = Limits(rate=0, burst=0, at_once=1)

    with limits.share("busy"):
        for number in range(1000):
            spend(limits, f"caller-{number}", 1)
        assert len(limits._shares) <= 11
        with pytest.raises(Exhausted):
            limits.share("busy")


def test_without_limits_there_is_nothing_to_count():
    assert not Limits(0, 0, 0)
    assert Limits(1, 0, 0)
    assert Limits(0, 0, 1)
