"""No request outlives its deadline, those that never ended included."""

from __future__ import annotations

import histories as h
import pytest

from gameday.checks import bounded
from gameday.checks.view import Span, View
from gameday.durations import TimeScale
from gameday.expectations import Bounded
from gameday.verdict import Verdict

BOUNDED = Bounded.model_validate({"route": h.ROUTE, "within": "<= 2s"})
CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE
LAST = h.request(h.END + 0.1)


def run(*more: h.Entry) -> list[h.Entry]:
    """All that was asked in the windows was answered when `LAST` was."""
    return [*h.good(), LAST, *more]


def slow(start: float, end: float, **changes: object) -> list[h.Entry]:
    return h.change("request", h.during(start, end), **changes)(run())


@pytest.mark.parametrize(
    ("entries", "verdict", "words"),
    [
        (run(), CONFIRMED, "the longest took 20ms"),
        (slow(1015, 1015.02, ms=2000.0), CONFIRMED, "the longest took 2s"),
        (slow(1015, 1015.02, ms=2002.0), REFUTED, "1 were late, such as status 200"),
        (slow(1021.5, 1021.52, ms=2500.0), REFUTED, "1 were late"),  # while the fault was being undone
        (slow(1030, 1030.02, ms=2500.0), REFUTED, "1 were late"),
        (slow(1015, 1015.02, ms=5000.0, status=None, error="timed out"), REFUTED, "such as timed out"),
        # Refused at once: nobody waits, and others judge the answer.
        (slow(1015, 1016, ms=3.0, status=None, error="refused"), CONFIRMED, "20ms"),
        (slow(1015, 1015.02, ms=2100.0, lag_ms=200.0), INCONCLUSIVE, "too busy"),
        (slow(1005, 1005.02, ms=2001.0), INCONCLUSIVE, "took 2s without a fault"),
        (slow(h.END, h.END + 1, oldest_wall=1020.0), REFUTED, "one has had no answer for 14.1s"),
        (slow(h.END, h.END + 1, oldest_wall=h.END - 1), INCONCLUSIVE, "not all that was asked has ended"),
        (slow(h.END, h.END + 1, oldest_wall=h.END + 0.05), CONFIRMED, "20ms"),
        # Asked after the end, and of no window.
        (run(h.request(h.END + 5, oldest_wall=h.END + 1)), CONFIRMED, "20ms"),
        (h.good(), INCONCLUSIVE, "not all that was asked has ended"),
        (h.without("request", h.during(h.IN_FORCE, h.RELEASE))(run()), INCONCLUSIVE, "20 requests in the fault window"),
        (h.without("request", h.during(h.UNDONE, h.END))(run()), INCONCLUSIVE, "20 requests in the recovery window"),
        (h.without("request", h.during(h.CONTROL, 1009.9))(run()), INCONCLUSIVE, "20 requests in the control window"),
        (h.leases(h.lease(undone_wall=None))(run()), INCONCLUSIVE, "a window is missing"),
    ],
)
def test_bounded(entries: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = bounded.check(h.history(entries), BOUNDED, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said


def test_each_window_goes_on_until_enough_was_asked() -> None:
    whole = View(h.history(run()))
    assert all(bounded.spoken(whole, BOUNDED, window) for window in ("control", "fault", "recovery"))
    none = View(h.history(h.without("request", h.during(h.IN_FORCE, h.END))(run())))
    assert not any(bounded.spoken(none, BOUNDED, window) for window in ("fault", "recovery"))


def test_what_is_late_without_a_fault_is_unrest() -> None:
    late = View(h.history(slow(1005, 1005.02, ms=2001.0)))
    assert "took 2s without a fault" in bounded.unrest(late, BOUNDED, Span(h.CONTROL, h.INJECT))
    assert not bounded.unrest(late, BOUNDED, Span(1006.0, h.INJECT))
