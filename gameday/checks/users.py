"""What users saw of one route while the fault was in force, and whether it went back to normal.

A request is bad where it failed, had another status, or an answer that the
expectation does not describe. Only requests that were meant to start between the
moment the fault came into force and the moment it was to be undone are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday.checks.content import fits, told
from gameday.checks.view import Request, Span, View
from gameday.durations import TimeScale, text
from gameday.expectations import Users
from gameday.journal import History
from gameday.statistics import P99_MINIMUM, quantile, quantile_interval, wilson
from gameday.verdict import Finding, Verdict

# Enough answers to say that a route is back, or is as ever; the fewest where fewer are declared for the fault.
RETURNED = 30
_FEWEST = 10
_SHOWN = 60


def check(history: History, expectation: Users, scale: TimeScale) -> Finding:
    view = View(history)
    control = _in(view, expectation, view.window("control"))
    fault = _in(view, expectation, view.fault)
    good = [request for request in fault if is_good(request, expectation)]
    doubt = _doubt(view, expectation, control, fault)
    verdict, detail = (Verdict.INCONCLUSIVE, doubt) if doubt else _judge(view, expectation, scale, control, fault)
    return Finding(
        check="users",
        subject=expectation.route,
        verdict=verdict,
        expected=_expected(expectation),
        observed=_observed(fault, len(fault) - len(good)),
        detail=detail,
        n=len(fault),
        interval=wilson(len(fault) - len(good), len(fault)) if fault else None,
    )


def spoken(view: View, expectation: Users, window: str) -> bool:
    """Enough requests; in the recovery also: the route looks as before for long enough."""
    match window:
        case "recovery":
            return _returned(view, expectation)
        case "fault":
            return len(_in(view, expectation, view.fault)) >= expectation.bad.of
    return len(_in(view, expectation, view.window(window))) >= enough(expectation)


def enough(expectation: Users) -> int:
    """How many requests say that the route is as it should be: as many as say that it is not, within limits."""
    return min(RETURNED, max(_FEWEST, expectation.bad.of))


def unrest(view: View, expectation: Users, span: Span) -> str:
    """What in `span`, without a fault, is not as it should be; empty where nothing is."""
    return _restless(expectation, _in(view, expectation, span))


def _restless(expectation: Users, requests: Sequence[Request]) -> str:
    bad = [request for request in requests if request.error or request.status != expectation.normal]
    if bad:
        return f"{len(bad)} of {len(requests)} requests to {expectation.route} were bad, such as {_name(bad[0])}"
    fitting = [request for request in requests if expectation.content and _describes(expectation, request)]
    if fitting:
        return (
            f"{len(fitting)} of {len(requests)} answers of {expectation.route} look as expected under the fault: "
            "the expectation is vacuous"
        )
    return ""


def is_good(request: Request, expectation: Users) -> bool:
    """Does the answer look as it should while the fault is in force?"""
    return _has_status(request, expectation) and _describes(expectation, request)


def _has_status(request: Request, expectation: Users) -> bool:
    if expectation.status == "none":
        return request.status is None
    return request.error is None and request.status == expectation.status


def _describes(expectation: Users, request: Request) -> bool:
    return all(_matches(wanted, request, path) for path, wanted in expectation.content.items())


def _matches(wanted: Any, request: Request, path: str) -> bool:
    if request.json is None or path not in request.json:
        return False
    return fits(wanted, request.json[path])


def _in(view: View, expectation: Users, span: Span | None) -> Sequence[Request]:
    return view.requests(expectation.route, span) if span else ()


def _doubt(view: View, expectation: Users, control: Sequence[Request], fault: Sequence[Request]) -> str:
    """Why nothing can be said; empty where something can."""
    if len(control) < enough(expectation):
        return f"only {len(control)} requests in the control window, {enough(expectation)} are needed"
    if restless := _restless(expectation, control):
        return f"without a fault: {restless}"
    if len(fault) < expectation.bad.of:
        return f"only {len(fault)} requests met the fault, {expectation.bad.of} are declared"
    if view.recovery is None:
        return "the fault was never undone, so nothing can be said of the recovery"
    return ""


def _judge(
    view: View, expectation: Users, scale: TimeScale, control: Sequence[Request], fault: Sequence[Request]
) -> tuple[Verdict, str]:
    bad = [request for request in fault if not is_good(request, expectation)]
    if not expectation.bad.holds(len(bad), len(fault)):
        return Verdict.REFUTED, f"{len(bad)} of {len(fault)} requests were bad, such as {_why(bad[0], expectation)}"
    verdict, detail = _latency(expectation, fault)
    if verdict is not Verdict.CONFIRMED:
        return verdict, detail
    return _recovery(view, expectation, scale, control)


def _latency(expectation: Users, fault: Sequence[Request]) -> tuple[Verdict, str]:
    if expectation.p99 is None:
        return Verdict.CONFIRMED, ""
    if len(fault) < P99_MINIMUM:
        return Verdict.INCONCLUSIVE, f"a 99th percentile needs {P99_MINIMUM} requests, {len(fault)} were made"
    seen = quantile([request.ms for request in fault], 0.99) / 1000
    if expectation.p99.holds(seen):
        return Verdict.CONFIRMED, ""
    own = quantile([request.ms - request.lag for request in fault], 0.99) / 1000
    if expectation.p99.holds(own):
        return Verdict.INCONCLUSIVE, (
            f"p99 was {text(seen)}, but {text(own)} without the time that the load generator was late: "
            "the machine was too busy to say"
        )
    return Verdict.REFUTED, f"p99 was {text(seen)}, which is not {expectation.p99}"


def _recovery(view: View, expectation: Users, scale: TimeScale, control: Sequence[Request]) -> tuple[Verdict, str]:
    """The last answer that did not look like the control window, counted from the undo."""
    if expectation.recovers is None or view.undone is None:
        return Verdict.CONFIRMED, ""
    after, odd = _in(view, expectation, view.recovery), _odd(view, expectation, control)
    took = (odd[-1].intended - view.undone) if odd else 0.0
    limit = scale.real(expectation.recovers.limit, view.slack("users"))
    clean = len([request for request in after if not odd or request.intended > odd[-1].intended])
    if took > limit:
        return (
            Verdict.REFUTED,
            f"{text(took)} after the undo users still saw {_name(odd[-1])}; allowed is {text(limit)}",
        )
    needed = enough(expectation)
    if clean < needed:
        return Verdict.INCONCLUSIVE, f"only {clean} requests showed that the route is back, {needed} are needed"
    return Verdict.CONFIRMED, f"as before {text(took)} after the undo (allowed {text(limit)})"


def _odd(view: View, expectation: Users, control: Sequence[Request]) -> Sequence[Request]:
    """The answers after the undo that do not look like those of the control window."""
    before = _Before.of(expectation, control)
    return [request for request in _in(view, expectation, view.recovery) if not before.looks(request)]


def returned(view: View, expectation: Users) -> float | None:
    """Seconds from the undo to the last answer that is not as before; None where the route did not come back."""
    if view.undone is None or not _returned(view, expectation):
        return None
    odd = _odd(view, expectation, _in(view, expectation, view.window("control")))
    return odd[-1].intended - view.undone if odd else 0.0


def _returned(view: View, expectation: Users) -> bool:
    after = _in(view, expectation, view.recovery)[-enough(expectation) :]
    before = _Before.of(expectation, _in(view, expectation, view.window("control")))
    return len(after) >= enough(expectation) and all(before.looks(request) for request in after)


@dataclass(frozen=True)
class _Before:
    """What the control window looked like: under each path that the fault changes to a
    literal the values that were seen, and the schemas that every answer of it fitted."""

    status: int | None
    values: Mapping[str, Sequence[Any]]
    schemas: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, expectation: Users, control: Sequence[Request]) -> _Before:
        content = expectation.content.items()
        literals = [path for path, wanted in content if not isinstance(wanted, dict)]
        schemas = {path: wanted for path, wanted in content if isinstance(wanted, dict)}
        return cls(
            expectation.normal,
            {path: _distinct(_value(request, path) for request in control) for path in literals},
            {path: each for path, each in schemas.items() if all(_matches(each, one, path) for one in control)},
        )

    def looks(self, request: Request) -> bool:
        return (
            request.error is None
            and request.status == self.status
            and all(_value(request, path) in seen for path, seen in self.values.items())
            and all(_matches(schema, request, path) for path, schema in self.schemas.items())
        )


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _value(request: Request, path: str) -> Any:
    return (request.json or {}).get(path)


def _expected(expectation: Users) -> str:
    parts = [
        _expected_status(expectation),
        *(f"{path} {told(value)}" for path, value in expectation.content.items()),
    ]
    parts.append(f"bad {expectation.bad}")
    if expectation.p99:
        parts.append(f"p99 {expectation.p99}")
    if expectation.recovers:
        parts.append(f"recovers {expectation.recovers}")
    return ", ".join(parts)


def _expected_status(expectation: Users) -> str:
    before = "" if expectation.normal == expectation.status else f" where it was {expectation.normal}"
    return f"status {expectation.status}{before}" if expectation.status != "none" else f"no answer{before}"


def _observed(fault: Sequence[Request], bad: int) -> str:
    if not fault:
        return "no requests"
    low, high = wilson(bad, len(fault))
    share = f"{bad} of {len(fault)} bad ({bad / len(fault):.2%}, 95 % {low:.2%} to {high:.2%})"
    if len(fault) < P99_MINIMUM:
        return share
    times = [request.ms for request in fault]
    low, high = quantile_interval(times, 0.99)
    return f"{share}, p99 {quantile(times, 0.99):.0f}ms (95 % {low:.0f} to {high:.0f}ms)"


def _name(request: Request) -> str:
    if request.error:
        return f"an error ({request.error})"
    shown = (
        ""
        if not request.json
        else f" with {', '.join(f'{key} = {_cut(value)}' for key, value in request.json.items())}"
    )
    return f"status {request.status}{shown}"


def _cut(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _why(request: Request, expectation: Users) -> str:
    """Which part of the expectation the request broke."""
    if not _has_status(request, expectation):
        return _name(request)
    for path, wanted in expectation.content.items():
        if not _matches(wanted, request, path):
            missing = request.json is None or path not in request.json
            seen = "is missing" if missing else f"= {_cut(_value(request, path))}"
            return f"{path} {seen} where {told(wanted)} is expected"
    return _name(request)
