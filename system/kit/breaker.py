"""Stops calling a provider that fails, and lets one call at a time find out whether it is back.

A call asks for a permit and says how it ended. Results count only in the state
in which their permit was given: what was sent before the breaker opened says
nothing about the probe.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from system.kit import signals, telemetry


class State(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


LEVEL = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class OpenError(Exception):
    """The breaker lets no call through; `retry_after` in seconds."""

    def __init__(self, edge: str, retry_after: float) -> None:
        super().__init__(f"{edge}: circuit breaker open")
        self.edge = edge
        self.retry_after = retry_after


class Permit(Protocol):
    """Exactly one of these is called once when the call has ended. `seconds` is how long it took."""

    def success(self, seconds: float = 0.0) -> None: ...

    def failure(self, seconds: float = 0.0) -> None: ...

    def abandon(self) -> None:
        """The caller gave up before there was a result: it counts for nothing and frees the probe."""


class Breaker(Protocol):
    edge: str

    @property
    def state(self) -> State: ...

    def permit(self) -> Permit:
        """Raises OpenError."""


class Trip(Protocol):
    """Decides from results in the closed state whether to open."""

    def record(self, ok: bool, seconds: float) -> bool: ...

    def reset(self) -> None: ...


class Consecutive:
    """Trips after `failures` in a row."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.seen = 0

    def record(self, ok: bool, seconds: float) -> bool:  # noqa: ARG002
        self.seen = 0 if ok else self.seen + 1
        return self.seen >= self.failures

    def reset(self) -> None:
        self.seen = 0


class SlidingWindow:
    """Trips when of the last `size` calls, at least `minimum` of them, a share of `rate` failed or was slow.

    A call is slow from `slow_seconds` on.
    """

    def __init__(self, size: int, minimum: int, rate: float, slow_seconds: float = float("inf")) -> None:
        self.minimum = minimum
        self.rate = rate
        self.slow_seconds = slow_seconds
        self.results: deque[bool] = deque(maxlen=size)

    def record(self, ok: bool, seconds: float) -> bool:
        self.results.append(ok and seconds < self.slow_seconds)
        return len(self.results) >= self.minimum and self.results.count(False) / len(self.results) >= self.rate

    def reset(self) -> None:
        self.results.clear()


@dataclass(frozen=True)
class Transition:
    edge: str
    before: State
    after: State


Listener = Callable[[Transition], None]


def tell(transition: Transition) -> None:
    """The listener that every breaker has: metrics and a log line."""
    signals.BREAKER_STATE.labels(transition.edge).set(LEVEL[transition.after])
    signals.BREAKER_TRANSITIONS.labels(transition.edge, transition.before, transition.after).inc()
    log = telemetry.logger()
    log.warning(signals.LOG_BREAKER, edge=transition.edge, before=transition.before, after=transition.after)


class CircuitBreaker:
    """`reset_seconds` run from the last failure, also from one that ends after the breaker opened."""

    def __init__(
        self,
        edge: str,
        trip: Trip,
        reset_seconds: float,
        *,
        listeners: tuple[Listener, ...] = (tell,),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.edge = edge
        self.reset_seconds = reset_seconds
        self._trip = trip
        self._listeners = listeners
        self._clock = clock
        self._state = State.CLOSED
        self._epoch = 0
        self._last_failure = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        return self._state

    def permit(self) -> Permit:
        if self._state is State.CLOSED:
            return _Permit(self, self._epoch)
        wait = self._last_failure + self.reset_seconds - self._clock()
        if self._state is State.OPEN:
            if wait > 0:
                raise OpenError(self.edge, wait)
            self._move(State.HALF_OPEN)
        if self._probing:
            raise OpenError(self.edge, max(wait, 0.0))
        self._probing = True
        return _Permit(self, self._epoch)

    def settle(self, epoch: int, ok: bool | None, seconds: float) -> None:
        """A permit of `epoch` ended; None where the call was abandoned."""
        if ok is False:
            self._last_failure = self._clock()
        if epoch != self._epoch:
            return
        if self._state is State.HALF_OPEN:
            self._probing = False
            if ok is not None:
                self._move(State.CLOSED if ok else State.OPEN)
        elif ok is not None and self._trip.record(ok, seconds):
            # A slow success opens too; the clock must then run from here.
            self._last_failure = self._clock()
            self._move(State.OPEN)

    def _move(self, after: State) -> None:
        before, self._state = self._state, after
        self._epoch += 1
        self._probing = False
        self._trip.reset()
        for listener in self._listeners:
            listener(Transition(self.edge, before, after))


class _Permit:
    __slots__ = ("_breaker", "_epoch")

    def __init__(self, breaker: CircuitBreaker, epoch: int) -> None:
        self._breaker = breaker
        self._epoch = epoch

    def success(self, seconds: float = 0.0) -> None:
        self._breaker.settle(self._epoch, True, seconds)

    def failure(self, seconds: float = 0.0) -> None:
        self._breaker.settle(self._epoch, False, seconds)

    def abandon(self) -> None:
        self._breaker.settle(self._epoch, None, 0.0)


class Unguarded:
    """Lets everything through: the breaker that BREAKER_ENABLED=false asks for."""

    state = State.CLOSED

    def __init__(self, edge: str) -> None:
        self.edge = edge

    def permit(self) -> Permit:
        return self

    def success(self, seconds: float = 0.0) -> None: ...

    def failure(self, seconds: float = 0.0) -> None: ...

    def abandon(self) -> None: ...
