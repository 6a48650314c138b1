"""The conformance suite of breakers: what every consumer of an edge relies on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from system.kit.breaker import (
    LEVEL,
    Breaker,
    CircuitBreaker,
    Consecutive,
    OpenError,
    Permit,
    SlidingWindow,
    State,
    Transition,
    Trip,
    Unguarded,
    tell,
)
from system.kit.signals import BREAKER_STATE, BREAKER_TRANSITIONS

RESET = 30.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transitions() -> list[Transition]:
    return []


Make = Callable[..., CircuitBreaker]


@pytest.fixture
def make(clock: Clock, transitions: list[Transition]) -> Make:
    def make(trip: Trip | None = None) -> CircuitBreaker:
        return CircuitBreaker("a->b", trip or Consecutive(3), RESET, listeners=(tell, transitions.append), clock=clock)

    return make


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.permit().failure()


def refused(breaker: Breaker) -> bool:
    try:
        breaker.permit().abandon()
    except OpenError:
        return True
    return False


def test_opens_after_failures_in_a_row(make: Make) -> None:
    breaker = make()
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN
    assert refused(breaker)


def test_a_success_begins_the_count_anew(make: Make) -> None:
    breaker = make()
    fail(breaker, 2)
    breaker.permit().success()
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_says_how_long_it_stays_open(make: Make, clock: Clock) -> None:
    breaker = make()
    fail(breaker, 3)
    clock.now += 10
    with pytest.raises(OpenError) as error:
        breaker.permit()
    assert error.value.retry_after == pytest.approx(20)


def test_the_reset_clock_runs_from_the_last_failure(make: Make, clock: Clock) -> None:
    breaker = make()
    late = breaker.permit()
    fail(breaker, 3)
    clock.now += 20
    late.failure()
    clock.now += 20
    assert refused(breaker), "20 s after the last failure it asked again"
    clock.now += 10
    breaker.permit()
    assert breaker.state is State.HALF_OPEN


async def test_one_of_twenty_concurrent_calls_passes_in_half_open(make: Make, clock: Clock) -> None:
    breaker = make()
    fail(breaker, 3)
    clock.now += RESET
    answer = asyncio.Event()

    async def call() -> bool:
        try:
            permit = breaker.permit()
        except OpenError:
            return False
        await answer.wait()
        permit.success()
        return True

    calls = [asyncio.create_task(call()) for _ in range(20)]
    # One turn of the loop: each call has its permit, or was refused.
    await asyncio.sleep(0)
    answer.set()
    assert sum(await asyncio.gather(*calls)) == 1
    assert breaker.state is State.CLOSED


def test_a_failed_probe_opens_again_for_the_whole_time(make: Make, clock: Clock) -> None:
    breaker = make()
    fail(breaker, 3)
    clock.now += RESET
    fail(breaker)
    assert breaker.state is State.OPEN
    clock.now += RESET - 1
    assert refused(breaker)
    clock.now += 1
    breaker.permit().success()
    assert breaker.state is State.CLOSED


def test_an_abandoned_probe_makes_room_for_the_next(make: Make, clock: Clock) -> None:
    breaker = make()
    fail(breaker, 3)
    clock.now += RESET
    breaker.permit().abandon()
    assert breaker.state is State.HALF_OPEN
    breaker.permit().success()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("end", [Permit.success, Permit.failure, Permit.abandon])
def test_what_began_before_says_nothing_of_the_probe(make: Make, clock: Clock, end: Callable[[Permit], None]) -> None:
    breaker = make()
    early = breaker.permit()
    fail(breaker, 3)
    clock.now += RESET
    probe = breaker.permit()
    getattr(early, end.__name__)()
    assert breaker.state is State.HALF_OPEN
    assert refused(breaker), "a second probe was let through"
    probe.success()
    assert breaker.state is State.CLOSED


def test_failures_of_before_do_not_count_after(make: Make, clock: Clock) -> None:
    breaker = make()
    fail(breaker, 3)
    clock.now += RESET
    breaker.permit().success()
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_tells_every_change_once(make: Make, clock: Clock, transitions: list[Transition]) -> None:
    breaker = make()
    fail(breaker, 3)
    clock.now += RESET
    breaker.permit().success()
    closed, opened, half = State.CLOSED, State.OPEN, State.HALF_OPEN
    assert [(change.before, change.after) for change in transitions] == [
        (closed, opened),
        (opened, half),
        (half, closed),
    ]


def test_metrics_follow_the_state(make: Make, clock: Clock) -> None:
    breaker = make()
    opened = BREAKER_TRANSITIONS.labels("a->b", "closed", "open")
    before = opened._value.get()
    fail(breaker, 3)
    assert BREAKER_STATE.labels("a->b")._value.get() == LEVEL[State.OPEN] == 2
    assert opened._value.get() == before + 1


def test_a_sliding_window_trips_at_half_failures_where_a_row_never_comes(make: Make) -> None:
    alternating, windowed = make(Consecutive(5)), make(SlidingWindow(size=20, minimum=10, rate=0.5))
    calls = 0
    for number in range(100):
        for breaker in (alternating, windowed):
            if breaker.state is State.CLOSED:
                permit = breaker.permit()
                calls += breaker is windowed
                (permit.failure if number % 2 else permit.success)()
    assert alternating.state is State.CLOSED
    assert windowed.state is State.OPEN
    assert calls == 10


def test_a_sliding_window_forgets_what_is_old(make: Make) -> None:
    breaker = make(SlidingWindow(size=10, minimum=10, rate=0.5))
    fail(breaker, 4)
    for _ in range(10):
        breaker.permit().success()
    fail(breaker, 4)
    assert breaker.state is State.CLOSED


def test_too_few_calls_trip_nothing(make: Make) -> None:
    breaker = make(SlidingWindow(size=20, minimum=10, rate=0.5))
    fail(breaker, 9)
    assert breaker.state is State.CLOSED


def test_slow_calls_count_as_failed_and_start_the_clock(make: Make, clock: Clock) -> None:
    breaker = make(SlidingWindow(size=10, minimum=5, rate=0.5, slow_seconds=1.0))
    for seconds in (0.1, 0.1, 2.0, 2.0, 2.0):
        breaker.permit().success(seconds)
    assert breaker.state is State.OPEN
    clock.now += RESET - 1
    assert refused(breaker)


def test_unguarded_lets_everything_through() -> None:
    breaker = Unguarded("a->b")
    fail(breaker, 100)
    assert not refused(breaker)
    assert breaker.state is State.CLOSED
