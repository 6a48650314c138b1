"""A failed span begins under the fault and not without it, or it is told why nobody knows."""

from __future__ import annotations

from typing import Any

import histories as h
import pytest

from gameday.checks import traces
from gameday.checks.view import Span, View
from gameday.durations import TimeScale
from gameday.expectations import Trace
from gameday.verdict import Verdict

CALL = "POST /recommend"
TRACE = Trace.model_validate({"name": CALL, "status": "error", "from": "api-gateway"})
CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE
LATE = h.RELEASE + traces.LATE


def asked(since: float, until: float, *found: float, wall: float = LATE, **changes: Any) -> h.Entry:
    """What the store answered at `wall`: spans that began at `found`."""
    spans = [{"trace": f"t{at:.0f}", "wall": at, "error": "connection refused"} for at in found]
    what = {"service": "api-gateway", "name": CALL, "status": "error"}
    told = {"since": since, "until": until, "wall": wall, "found": spans, "kept": True, "error": None}
    return "spans", {**what, **told, **changes}


QUIET = asked(h.CONTROL, h.INJECT)
FAILED = asked(h.IN_FORCE, h.RELEASE, h.IN_FORCE + 2, h.IN_FORCE + 1)
NONE = asked(h.IN_FORCE, h.RELEASE)
GONE = {"found": [], "kept": None, "error": "connection refused"}


@pytest.mark.parametrize(
    ("more", "verdict", "words"),
    [
        ([QUIET, FAILED], CONFIRMED, "the first 1s after the fault (connection refused), in trace t1012"),
        # Seen once is seen, however early it was asked for.
        ([QUIET, asked(h.IN_FORCE, 1013.0, 1012.0, wall=1013.0)], CONFIRMED, "in trace t1012"),
        ([QUIET, asked(h.IN_FORCE, h.RELEASE, **GONE), FAILED], CONFIRMED, "in trace t1012"),
        ([QUIET, NONE], REFUTED, "no such span"),
        # Before the fault is seen to be in force, and after its release, it may be something else.
        ([QUIET, NONE, asked(h.CONTROL, h.END, h.INJECT + 0.5, h.RELEASE + 0.5, kept=False)], REFUTED, "no such span"),
        ([QUIET, asked(h.IN_FORCE, h.RELEASE, wall=h.RELEASE + 1)], INCONCLUSIVE, "nobody asked late enough"),
        ([asked(h.CONTROL, h.INJECT, wall=h.INJECT + 1), FAILED], INCONCLUSIVE, "in the control window is not known"),
        ([asked(h.CONTROL + 1, h.INJECT), FAILED], INCONCLUSIVE, "in the control window is not known"),
        ([asked(h.CONTROL, h.INJECT, h.CONTROL + 5), FAILED], INCONCLUSIVE, "without a fault: api-gateway had a span"),
        ([asked(h.CONTROL, h.INJECT, kept=False), FAILED], INCONCLUSIVE, "no span of api-gateway is kept"),
        ([asked(h.CONTROL, h.INJECT, kept=None), FAILED], INCONCLUSIVE, "in the control window is not known"),
        ([asked(h.CONTROL, h.INJECT, **GONE), FAILED], INCONCLUSIVE, "connection refused"),
        ([QUIET, asked(h.IN_FORCE, h.RELEASE, **GONE)], INCONCLUSIVE, "connection refused"),
        ([], INCONCLUSIVE, "nobody asked"),
        # What was asked of another service, or of another status, says nothing of this one.
        ([QUIET, asked(h.IN_FORCE, h.RELEASE, 1012.0, service="chat-svc")], INCONCLUSIVE, "in the fault window"),
        ([QUIET, asked(h.IN_FORCE, h.RELEASE, 1012.0, status="ok")], INCONCLUSIVE, "in the fault window"),
    ],
)  # fmt: skip
def test_traces(more: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = traces.check(h.history([*h.good(), *more]), TRACE, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said


def through(*services: str, wall: float = LATE) -> h.Entry:
    """The failed span again, in a trace of which the spans of `services` are there."""
    kind, told = asked(h.IN_FORCE, h.RELEASE, h.IN_FORCE + 1, wall=wall)
    return kind, {**told, "found": [{**each, "services": list(services)} for each in told["found"]]}


@pytest.mark.parametrize(
    ("more", "verdict", "words"),
    [
        ([QUIET, through("api-gateway", "user-svc", "search-svc")], CONFIRMED, "in trace t1012"),
        # What took part elsewhere is exported later.
        ([QUIET, through("api-gateway", wall=h.RELEASE), through("api-gateway", "user-svc")], CONFIRMED, "trace t1012"),
        ([QUIET, through("api-gateway")], REFUTED, "in trace t1012, without user-svc"),
        ([QUIET, through("api-gateway", wall=h.RELEASE + 1)], INCONCLUSIVE, "nobody asked late enough"),
        ([QUIET, FAILED], REFUTED, "without api-gateway, user-svc"),
        ([QUIET, NONE], REFUTED, "no such span"),
    ],
)  # fmt: skip
def test_a_trace_goes_through_all_services_it_is_to_go_through(
    more: list[h.Entry], verdict: Verdict, words: str
) -> None:
    whole = TRACE.model_copy(update={"through": ("api-gateway", "user-svc")})
    finding = traces.check(h.history([*h.good(), *more]), whole, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said
    assert "through api-gateway, user-svc" in finding.expected


@pytest.mark.parametrize("window", ["control", "fault"])
def test_a_run_without_a_window_says_nothing(window: str) -> None:
    entries = h.without("window", lambda data: data["window"] == window)([*h.good(), QUIET, FAILED])
    assert traces.check(h.history(entries), TRACE, TimeScale(30)).verdict is INCONCLUSIVE


def view(*more: h.Entry) -> View:
    return View(h.history([*h.good(), *more]))


def test_a_window_goes_on_until_it_is_certain_what_there_was() -> None:
    assert not traces.spoken(view(asked(h.CONTROL, h.INJECT, **GONE)), TRACE, "control")
    assert traces.spoken(view(QUIET), TRACE, "control")
    assert not traces.spoken(view(QUIET, NONE), TRACE, "fault")
    assert traces.spoken(view(FAILED), TRACE, "fault")
    assert not traces.spoken(view(FAILED), TRACE, "recovery")
    assert not traces.spoken(view(QUIET, asked(h.IN_FORCE, h.RELEASE, wall=h.RELEASE + 1)), TRACE, "recovery")
    assert traces.spoken(view(QUIET, FAILED), TRACE, "recovery")
    assert traces.spoken(view(QUIET, NONE), TRACE, "recovery")


def test_a_span_without_a_fault_is_unrest() -> None:
    assert "in trace t1005" in traces.unrest(view(asked(h.CONTROL, 1006.0, 1005.0)), TRACE, Span(h.CONTROL))
    assert not traces.unrest(view(asked(h.CONTROL, 1006.0, 1005.0)), TRACE, Span(1005.5))
