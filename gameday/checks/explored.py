"""What users of any route saw while something was broken, judged without an expectation of its own.

The oracle: every request is answered within the time that its users wait; no answer is malformed,
and none is a crash (500); after the fault the route is as it was. Where the catalogue declares what
the loss of each broken edge looks like (`on-loss`), that is demanded too: behind `fallback` and `queued`
no user may see another status than before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gameday.catalogue.model import OnLoss
from gameday.checks.view import Request, Span, View
from gameday.durations import text
from gameday.journal import History
from gameday.statistics import quantile
from gameday.verdict import Finding, Verdict

# Requests to a route that it takes to say something of it, in each window.
ENOUGH = 5
CRASH = 500
_EXPECTED = "answered in time, well-formed, no crash, back after the fault"
_UNNOTICED = "the same status as without the fault, and back after it"


def check(history: History) -> Iterator[Finding]:
    """One finding a route of the load."""
    view = View(history)
    if not view.routes:
        yield Finding(
            check="users", subject="the load", verdict=Verdict.INCONCLUSIVE, expected=_EXPECTED, observed="no request"
        )
    for route in view.routes:
        yield _route(view, route)


def enough(view: View, span: Span | None) -> bool:
    """Whether there is something to say of every route of the load that was seen so far."""
    return span is not None and bool(view.routes) and all(len(view.requests(r, span)) >= ENOUGH for r in view.routes)


def back(view: View) -> bool:
    """Whether the last answers of every route are as they were before the fault."""
    return bool(view.routes) and all(not _away(view, route) for route in view.routes)


def unrest(view: View, span: Span) -> str:
    """What goes wrong in `span` although no fault is in force; empty where nothing does."""
    for route in view.routes:
        for request in view.requests(route, span):
            if request.error or (request.status or 0) >= CRASH:
                return f"{route}: {_told(request)}"
    return ""


def seen(view: View) -> Mapping[str, Sequence[str]]:
    """By route what users got while the faults were in force: `status 200`, `no answer`, `source: 'fallback'`."""
    return {route: sorted(_outcomes(view, route)) for route in view.routes}


def facts(view: View) -> dict[str, Any]:
    """What was in force when (epoch seconds); of two faults at once, what users got under neither of them alone."""
    held = [
        {
            "fault": each["fault"],
            "target": each["target"],
            "from": each.get("in_force_wall"),
            "to": each.get("undone_wall"),
        }
        for each in view.leases
    ]
    alone: Mapping[str, Mapping[str, Sequence[str]] | None] = view.run.get("alone") or {}
    found: dict[str, Any] = {"in_force": held}
    if unknown := [fault for fault, shown in alone.items() if shown is None]:
        found["not_compared"] = unknown
    elif alone:
        known = {
            route: {each for shown in alone.values() for each in (shown or {}).get(route, ())} for route in view.routes
        }
        new = {route: [each for each in shown if each not in known[route]] for route, shown in seen(view).items()}
        found["only_together"] = {route: each for route, each in new.items() if each}
    return found


def _outcomes(view: View, route: str) -> Iterator[str]:
    before = view.requests(route, view.window("control") or Span(0, 0))
    during = view.requests(route, view.fault) if view.fault else ()
    yield from {f"status {each.status}" if each.status else "no answer" for each in during}
    for name in _names(before):
        yield from (f"{name}: {value}" for value in _news(view, route, name))
    if any(each.status and each.json is None for each in during) and any(each.json is not None for each in before):
        yield "no JSON"


def _route(view: View, route: str) -> Finding:
    before = view.requests(route, view.window("control") or Span(0, 0))
    during = view.requests(route, view.fault) if view.fault else ()
    verdict, detail = _judge(view, route, before, during)
    return Finding(
        check="users",
        subject=route,
        verdict=verdict,
        expected=_UNNOTICED if _unnoticed(view) else _EXPECTED,
        observed=_seen(before, during),
        detail=detail,
        n=len(during),
    )


def _judge(view: View, route: str, before: Sequence[Request], during: Sequence[Request]) -> tuple[Verdict, str]:
    if len(before) < ENOUGH or len(during) < ENOUGH:
        told = f"{len(before)} requests before and {len(during)} during the fault; {ENOUGH} of each are needed"
        return Verdict.INCONCLUSIVE, told
    if bad := [told for told in (_bad(view, before, request) for request in during) if told]:
        return Verdict.REFUTED, f"{len(bad)} of {len(during)}: {bad[0]}"
    if view.recovery is None:
        return Verdict.INCONCLUSIVE, "the fault was never undone"
    if len(after := view.requests(route, view.recovery)) < ENOUGH:
        return Verdict.INCONCLUSIVE, f"{len(after)} requests after the fault; {ENOUGH} are needed"
    if away := _away(view, route):
        return Verdict.REFUTED, away
    return Verdict.CONFIRMED, ""


def _bad(view: View, before: Sequence[Request], request: Request) -> str:
    """What a user would complain of; empty where of nothing."""
    if request.status is None:
        waited = request.ms >= 1000 * float(view.run.get("timeout", 0))
        return f"no answer after {text(request.ms / 1000)}" if waited else f"no answer: {request.error}"
    if request.status == CRASH:
        return "a crash (status 500)"
    if request.json is None and any(each.json is not None for each in before):
        return f"a malformed answer (status {request.status}, no JSON)"
    if _unnoticed(view) and request.status not in {each.status for each in before}:
        return f"{_told(request)}, although its loss is declared as {view.run['on_loss']}"
    return ""


def _away(view: View, route: str) -> str:
    """How the end of the recovery differs from the control window; empty where it does not."""
    before = view.requests(route, view.window("control") or Span(0, 0))
    after = view.requests(route, view.recovery)[-ENOUGH:] if view.recovery else ()
    if len(after) < ENOUGH:
        return f"only {len(after)} requests after the fault"
    for request in after:
        if request.status not in _statuses(before):
            return f"not back after the fault: {_told(request)}"
        for name in _names(before):
            value = repr((request.json or {}).get(name))
            if value in _news(view, route, name):
                return f"not back after the fault: {name} is still {value}"
    return ""


def _news(view: View, route: str, name: str) -> set[str]:
    """The values that only the fault brought."""
    before = view.requests(route, view.window("control") or Span(0, 0))
    during = view.requests(route, view.fault) if view.fault else ()
    return set(_values(during, name)) - set(_values(before, name))


def _seen(before: Sequence[Request], during: Sequence[Request]) -> str:
    """`31 x 200, 2 x 503; recommendations.source: 'fallback' x 31; p50 12ms, most 805ms`"""
    if not during:
        return "no request"
    parts = [_counted(Counter(str(each.status or "no answer") for each in during))]
    for name in _names(before):
        values = Counter(repr((each.json or {}).get(name)) for each in during if each.status in _statuses(before))
        if values and set(values) - set(_values(before, name)):
            parts.append(f"{name}: {_counted(values)}")
    waits = sorted(each.ms for each in during)
    parts.append(f"p50 {text(quantile(waits, 0.5) / 1000)}, most {text(waits[-1] / 1000)}")
    return "; ".join(parts)


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} x {value}" for value, count in counter.most_common(4))


def _names(before: Sequence[Request]) -> Sequence[str]:
    """Of the recorded values, those that are one of a few without a fault, as a `source` is."""
    names = dict.fromkeys(name for each in before for name in each.json or {})
    return [name for name in names if len(_values(before, name)) == 1 and _plain(before, name)]


def _plain(before: Sequence[Request], name: str) -> bool:
    return all(not isinstance((each.json or {}).get(name), list | dict) for each in before)


def _values(requests: Sequence[Request], name: str) -> Mapping[str, int]:
    return Counter(repr((each.json or {}).get(name)) for each in requests)


def _statuses(requests: Sequence[Request]) -> set[int | None]:
    return {each.status for each in requests}


def _unnoticed(view: View) -> bool:
    return view.run.get("on_loss") in (OnLoss.FALLBACK, OnLoss.QUEUED)


def _told(request: Request) -> str:
    return str(request.error) if request.status is None else f"status {request.status}"
