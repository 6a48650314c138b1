"""What the history of a run measured, as numbers that another run can be held against. Smaller is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from gameday.checks import alerts, breaker, users
from gameday.checks.view import Request, Span, View
from gameday.durations import text
from gameday.expectations import Alert, Expect, Threshold, Users
from gameday.journal import History
from gameday.statistics import P99_MINIMUM, quantile, quantile_interval, wilson

Unit = Literal["share", "seconds"]
Name = tuple[str, str]


@dataclass(frozen=True)
class Measure:
    """`value` with its 95 % interval, and the `margin` in which two values are the same: what one run cannot tell.

    `value` is None for what should have been seen and was not, such as an alert that did not resolve.
    """

    value: float | None
    unit: Unit = "seconds"
    low: float = 0.0
    high: float = 0.0
    margin: float = 0.0

    def __str__(self) -> str:
        if self.value is None:
            return "never"
        if self.unit == "share":
            return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"
        interval = "" if self.low == self.high else f" ({text(self.low)} to {text(self.high)})"
        return f"{text(self.value)}{interval}"


def measures(history: History) -> Mapping[Name, Measure]:
    """By what was looked at and what was measured of it: `("users GET /", "p99")`.

    Raises ValueError where the history expects what nobody knows any more.
    """
    view = View(history)
    read = {"load": _load, "experiments": _experiment}.get(view.run.get("suite", ""))
    return dict(read(view)) if read else {}


def _load(view: View) -> Iterator[tuple[Name, Measure]]:
    for route, threshold in TypeAdapter(dict[str, Threshold]).validate_python(view.run.get("routes", {})).items():
        expectation = Users(route=route, status=threshold.status, bad=threshold.bad)
        yield from _requests(expectation, view.requests(route, Span(-math.inf)))


def _experiment(view: View) -> Iterator[tuple[Name, Measure]]:
    expect = Expect.model_validate(view.run.get("expect"))
    for user in expect.users:
        yield from _requests(user, view.requests(user.route, view.fault) if view.fault else ())
        yield _took(f"users {user.route}", "back", users.returned(view, user), view.slack("users"))
    for each in expect.breaker:
        samples = view.samples(breaker.METRIC, edge=each.edge)
        yield _took(f"breaker {each.edge}", "opens", breaker.opened_after(view, samples), view.slack("breaker"))
        yield _took(f"breaker {each.edge}", "closes", breaker.closed_after(view, samples), view.slack("breaker"))
    named = {each.name for each in expect.alerts if not each.silent}
    for name in sorted(named | {record.data["name"] for record in view.history.of("alert")}):
        yield from _alert(view, Alert(name=name, silent=True), expected=name in named)


def _requests(expectation: Users, requests: Sequence[Request]) -> Iterator[tuple[Name, Measure]]:
    subject, n = f"users {expectation.route}", len(requests)
    if not requests:
        return
    bad = sum(not users.is_good(request, expectation) for request in requests)
    yield (subject, "bad"), Measure(bad / n, "share", *wilson(bad, n))
    times = [request.ms / 1000 for request in requests]
    for name, share, fewest in (("p50", 0.5, 1), ("p99", 0.99, P99_MINIMUM)):
        if n >= fewest:
            low, high = quantile_interval(times, share)
            yield (subject, name), Measure(quantile(times, share), "seconds", low, high)


def _alert(view: View, alert: Alert, *, expected: bool) -> Iterator[tuple[Name, Measure]]:
    """Of one that nobody expects only what was seen of it."""
    fires, resolves = alerts.fired(view, alert), alerts.resolved(view, alert)
    slack = view.slack("alerts")
    if expected or fires is not None:
        yield _took(f"alert {alert.name}", "fires", fires, slack)
        yield _took(f"alert {alert.name}", "resolves", resolves, slack)


def _took(subject: str, name: str, seconds: float | None, margin: float) -> tuple[Name, Measure]:
    if seconds is None:
        return (subject, name), Measure(None)
    return (subject, name), Measure(seconds, "seconds", seconds, seconds, margin)
