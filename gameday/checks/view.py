"""A history as the checkers ask for it: windows, requests, samples, alerts, leases. Nothing here judges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gameday.durations import TimeScale
from gameday.journal import History
from gameday.movement import Values

# How many messages wait, by the label `queue`: `<consumer>.<event>`.
QUEUE_METRIC = "queue_messages"


@dataclass(frozen=True)
class Span:
    """Wall time in epoch seconds; an open end is infinity."""

    start: float
    end: float = math.inf

    def __contains__(self, wall: float) -> bool:
        return self.start <= wall <= self.end


@dataclass(frozen=True)
class Request:
    """`ms` counts from the intended start; `lag` (ms) is what the load generator itself was late.

    `oldest` is the intended start of the oldest request that had no answer when this one had got its own.
    """

    route: str
    status: int | None
    ms: float
    intended: float
    json: Mapping[str, Any] | None
    error: str | None
    lag: float
    oldest: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """How often each acknowledged write was found at `wall`; None where nobody could look, for the reason `error`."""

    wall: float
    counts: Mapping[str, int] | None
    error: str | None


@dataclass(frozen=True)
class Sample:
    wall: float
    value: float


@dataclass(frozen=True)
class Notification:
    """What Alertmanager delivered; times in epoch seconds."""

    name: str
    status: str
    labels: Mapping[str, str]
    started: float
    received: float


@dataclass(frozen=True)
class Drawn:
    """What one query of a panel drew over the run: its series by their legend, a value each `step` seconds.

    Each value looks back `reach` seconds. `error` says why Prometheus did not answer.
    """

    board: str
    panel: str
    expr: str
    reach: float
    start: float
    step: float
    series: Sequence[tuple[str, Values]]
    error: str | None

    def within(self, values: Values, span: Span) -> Values:
        return [value for number, value in enumerate(values) if self.start + number * self.step in span]


@dataclass(frozen=True)
class View:
    history: History

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """The first record's data; empty where the history has none."""
        return next((record.data for record in self.history.of("run")), {})

    @property
    def scale(self) -> TimeScale:
        return TimeScale(float(self.run.get("time_scale", 1.0)))

    @property
    def scrape_interval(self) -> float:
        return float(self.run.get("scrape_interval", 15.0))

    def slack(self, kind: str) -> float:
        """Seconds, measured when the run began, that a limit of `kind` is given on top."""
        return float(self.run.get("slack", {}).get(kind, 0.0))

    @cached_property
    def _windows(self) -> Mapping[str, Span]:
        found: dict[str, Span] = {}
        for record in self.history.of("window"):
            name, wall = record.data["window"], record.data["wall"]
            ends = name in found and record.data["edge"] == "end"
            found[name] = Span(found[name].start, wall) if ends else Span(wall)
        return found

    def window(self, name: str) -> Span | None:
        """The last window called `name`: a control window that was not clean begins anew."""
        return self._windows.get(name)

    @cached_property
    def leases(self) -> Sequence[Mapping[str, Any]]:
        """The last that was heard of each lease, in the order of injection."""
        last = {record.data["lease"]["id"]: record.data["lease"] for record in self.history.of("lease")}
        return tuple(last.values())

    @cached_property
    def in_force(self) -> float | None:
        """When the last fault of the method came into force."""
        walls = [lease["in_force_wall"] for lease in self.leases if lease.get("in_force_wall")]
        return max(walls) if walls else None

    @cached_property
    def intended(self) -> float | None:
        """From when on the first fault of the method may be felt: before it is seen to be in force."""
        walls = [lease["intent_wall"] for lease in self.leases if lease.get("in_force_wall")]
        return min(walls) if walls else None

    @cached_property
    def undone(self) -> float | None:
        """When all faults were undone; None while one is not."""
        walls = [lease.get("undone_wall") for lease in self.leases if lease.get("in_force_wall")]
        known = [wall for wall in walls if wall]
        return max(known) if known and len(known) == len(walls) else None

    @cached_property
    def fault(self) -> Span | None:
        """From in force to the release, before anything was undone."""
        window = self.window("fault")
        return Span(self.in_force, window.end) if window and self.in_force is not None else None

    @property
    def recovery(self) -> Span | None:
        window = self.window("recovery")
        return Span(self.undone, window.end if window else math.inf) if self.undone is not None else None

    @cached_property
    def _requests(self) -> Mapping[str, Sequence[Request]]:
        found: dict[str, list[Request]] = {}
        for record in self.history.of("request"):
            request = _request(record.data)
            found.setdefault(request.route, []).append(request)
        return found

    @property
    def routes(self) -> Sequence[str]:
        return tuple(self._requests)

    @cached_property
    def load_routes(self) -> Sequence[str]:
        """All that the load asks for, as its profile says or as was seen."""
        return tuple(dict.fromkeys([*self.run.get("load_routes", ()), *self.routes]))

    def requests(self, route: str, span: Span) -> Sequence[Request]:
        """Those whose intended start lies in `span`, in that order."""
        found = [request for request in self._requests.get(route, ()) if request.intended in span]
        return sorted(found, key=lambda request: request.intended)

    def answered(self, route: str, wall: float) -> bool:
        """Whether every request to `route` that was meant to start before `wall` has its answer."""
        return any(
            request.intended + request.ms / 1000 >= wall and (request.oldest is None or request.oldest >= wall)
            for request in self._requests.get(route, ())
        )

    def samples(self, metric: str, **labels: str) -> Sequence[Sample]:
        """Raw samples of every series with these labels, by time. A value may be NaN."""
        found = [
            Sample(record.data["wall"], float(record.data["value"]))
            for record in self.history.of("sample")
            if record.data["metric"] == metric and labels.items() <= record.data["labels"].items()
        ]
        return sorted(found, key=lambda sample: sample.wall)

    def wire(self, edge: str) -> Sequence[Sample]:
        """How many requests had gone over `edge` by when, as its proxies count."""
        found = (record.data for record in self.history.of("wire"))
        return [Sample(data["wall"], data["requests"]) for data in found if data["edge"] == edge]

    def queues(self, consumer: str) -> Collection[str]:
        """The queues of which `consumer` takes messages, as far as anybody measured them; those of the dead are not."""
        names = {
            str(record.data["labels"].get("queue"))
            for record in self.history.of("sample")
            if record.data["metric"] == QUEUE_METRIC
        }
        return {name for name in names if name.startswith(f"{consumer}.") and not name.endswith(".dead")}

    def looks(self, route: str, service: str, path: str) -> Sequence[Look]:
        """How often what `route` acknowledged was found in that list, in the order of time."""
        return [
            Look(record.data["wall"], record.data["counts"], record.data["error"])
            for record in self.history.of("look")
            if (record.data["route"], record.data["service"], record.data["path"]) == (route, service, path)
        ]

    @cached_property
    def drawn(self) -> Sequence[Drawn]:
        return [_drawn(record.data) for record in self.history.of("panel")]

    def notifications(self, name: str) -> Sequence[Notification]:
        found = [_notification(record.data) for record in self.history.of("alert") if record.data["name"] == name]
        return sorted(found, key=lambda notification: notification.received)

    def active(self, name: str, span: Span, state: str = "firing") -> Sequence[float]:
        """When Prometheus saw the alert `name` in `state`."""
        return [
            record.data["wall"]
            for record in self.history.of("alert_state")
            if record.data["name"] == name and record.data["state"] == state and record.data["wall"] in span
        ]

    @cached_property
    def scrapes(self) -> Sequence[float]:
        return sorted(record.data["wall"] for record in self.history.of("scrape"))

    @property
    def errors(self) -> Iterator[Mapping[str, Any]]:
        return (record.data for record in self.history.of("error"))


def gap(walls: Sequence[float], span: Span, interval: float) -> float | None:
    """The longest time in `span` without one of `walls`, where it exceeds two intervals; None where none does.

    An unfinished span ends with the last of `walls`.
    """
    inside = [wall for wall in walls if wall in span]
    end = span.end if math.isfinite(span.end) else (inside[-1] if inside else span.start + 3 * interval)
    points = [span.start, *inside, end]
    longest = max(after - before for before, after in itertools.pairwise(points))
    return longest if longest > 2 * interval else None


def _request(data: Mapping[str, Any]) -> Request:
    return Request(
        data["route"],
        data["status"],
        data["ms"],
        data["intended_wall"],
        data["json"],
        data["error"],
        data.get("lag_ms", 0.0),
        data.get("oldest_wall"),
        data.get("headers") or {},
    )


def _notification(data: Mapping[str, Any]) -> Notification:
    return Notification(data["name"], data["status"], data["labels"], data["started_wall"], data["received_wall"])


def _drawn(data: Mapping[str, Any]) -> Drawn:
    series = [(each["name"], each["values"]) for each in data["series"]]
    return Drawn(
        data["board"],
        data["panel"],
        data["expr"],
        data["reach"],
        data["start"],
        data["step"],
        series,
        data["error"],
    )
