"""Did the circuit breaker of an edge open under the fault and close after it?

Read from the raw samples of the gauge `circuit_breaker_state{edge}`: 0 closed,
1 half-open, 2 open. A sample's own time is when Prometheus scraped it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gameday.checks.view import Sample, Span, View, gap
from gameday.durations import Bound, TimeScale, text
from gameday.expectations import Breaker
from gameday.journal import History
from gameday.verdict import Finding, Verdict

METRIC = "circuit_breaker_state"
CLOSED, OPEN = 0.0, 2.0


def check(history: History, expectation: Breaker, scale: TimeScale) -> Finding:
    view = View(history)
    samples = view.samples(METRIC, edge=expectation.edge)
    opened, closed = opened_after(view, samples), closed_after(view, samples)
    doubt = _doubt(view, samples)
    verdict, detail = (Verdict.INCONCLUSIVE, doubt) if doubt else _judge(view, expectation, scale, opened, closed)
    return Finding(
        check="breaker",
        subject=expectation.edge,
        verdict=verdict,
        expected=f"opens {expectation.opens}, closes {expectation.closes}",
        observed=_observed(opened, closed) if samples else "no samples",
        detail=detail,
        n=len(samples),
    )


def spoken(view: View, expectation: Breaker, window: str) -> bool:
    samples = view.samples(METRIC, edge=expectation.edge)
    if window == "control":
        span = view.window("control")
        return span is not None and any(sample.wall in span and sample.value == CLOSED for sample in samples)
    return (opened_after(view, samples) if window == "fault" else closed_after(view, samples)) is not None


def unrest(view: View, expectation: Breaker, span: Span) -> str:
    """What in `span`, without a fault, is not as it should be; empty where nothing is."""
    samples = view.samples(METRIC, edge=expectation.edge)
    odd = [sample for sample in samples if sample.wall in span and sample.value != CLOSED]
    return f"the breaker of {expectation.edge} was not closed" if odd else ""


def opened_after(view: View, samples: Sequence[Sample]) -> float | None:
    """Seconds from the fault in force to the first sample that shows the breaker open."""
    if view.fault is None:
        return None
    walls = [sample.wall for sample in samples if sample.wall in view.fault and sample.value == OPEN]
    return walls[0] - view.fault.start if walls else None


def closed_after(view: View, samples: Sequence[Sample]) -> float | None:
    """Seconds from the undo to the first sample from which on the breaker stayed closed."""
    if view.recovery is None:
        return None
    after = [sample for sample in samples if sample.wall in view.recovery]
    if not after or after[-1].value != CLOSED:
        return None
    tail = len(after)
    while tail and after[tail - 1].value == CLOSED:
        tail -= 1
    return after[tail].wall - view.recovery.start


def _doubt(view: View, samples: Sequence[Sample]) -> str:
    control, fault, recovery = view.window("control"), view.fault, view.recovery
    if control is None or fault is None or recovery is None:
        return "a window is missing: control, fault and recovery are needed"
    if any(math.isnan(sample.value) for sample in samples):
        return "a sample is NaN"
    if not any(sample.wall in control for sample in samples):
        return f"no sample of {METRIC} in the control window"
    if any(sample.wall in control and sample.value != CLOSED for sample in samples):
        return "the breaker was not closed in the control window"
    longest = gap([sample.wall for sample in samples], Span(control.start, recovery.end), view.scrape_interval)
    if longest is not None:
        return f"no sample for {text(longest)}, more than two scrape intervals ({text(view.scrape_interval)} each)"
    return ""


def _judge(
    view: View, expectation: Breaker, scale: TimeScale, opened: float | None, closed: float | None
) -> tuple[Verdict, str]:
    slack = view.slack("breaker")
    parts = (("open", opened, expectation.opens, expectation.waits), ("close", closed, expectation.closes, 0.0))
    details = []
    for verb, took, bound, waits in parts:
        limit = scale.real(bound.limit, slack + waits)
        if took is None:
            return Verdict.REFUTED, f"it did not {verb} (allowed {text(limit)})"
        if not Bound(bound.sign, limit).holds(took):
            return Verdict.REFUTED, f"it took {text(took)} to {verb}, allowed is {text(limit)}"
        details.append(f"{verb} allowed {text(limit)}")
    return Verdict.CONFIRMED, f"{', '.join(details)}: limit / {scale.factor:g} + {text(slack)} slack"


def _observed(opened: float | None, closed: float | None) -> str:
    first = "did not open" if opened is None else f"open after {text(opened)}"
    last = "did not close" if closed is None else f"closed after {text(closed)}"
    return f"{first}, {last}"
