"""Did more requests go over an edge under the fault than without it, for each that users made?

The amplification is requests over the edge for each request of users to the route, in the fault window, divided by
the same in the control window. The proxy of the edge counts; requests of users are counted between the first and the
last of its samples in a window, so that both are of the same time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gameday.checks.view import Span, View
from gameday.durations import TimeScale
from gameday.expectations import Retries
from gameday.journal import History
from gameday.verdict import Finding, Verdict

# Requests, of users in each window and over the edge without the fault, that make a quotient.
ENOUGH = 20


def check(history: History, expectation: Retries, scale: TimeScale) -> Finding:  # noqa: ARG001 - counts have no scale
    view = View(history)
    before, during = (_share(view, expectation, span) for span in (view.window("control"), view.fault))
    doubt = _doubt(view, expectation, before, during)
    verdict, detail = (Verdict.INCONCLUSIVE, doubt) if doubt else _judge(expectation, before, during)
    return Finding(
        check="retries",
        subject=expectation.edge,
        verdict=verdict,
        expected=f"amplification <= {expectation.amplification:g} of {expectation.route}",
        observed=f"{during} under the fault, {before} without it",
        detail=detail,
        n=during.users,
    )


def spoken(view: View, expectation: Retries, window: str) -> bool:
    if window == "recovery":
        return True
    if window == "control":
        before = _share(view, expectation, view.window(window))
        return min(before.users, before.edge) >= ENOUGH
    return _share(view, expectation, view.fault).users >= ENOUGH


def unrest(view: View, expectation: Retries, span: Span) -> str:  # noqa: ARG001 - what is without a fault is the measure
    return ""


@dataclass(frozen=True)
class _Share:
    """Requests over the edge, and of users, in the same time."""

    edge: int = 0
    users: int = 0

    @property
    def quotient(self) -> float:
        return self.edge / self.users

    def __str__(self) -> str:
        return f"{self.edge} for {self.users} requests"


def _share(view: View, expectation: Retries, span: Span | None) -> _Share:
    samples = [sample for sample in view.wire(expectation.edge) if span and sample.wall in span]
    if not samples:
        return _Share()
    first, last = samples[0], samples[-1]
    asked = view.requests(expectation.route, Span(first.wall, last.wall))
    return _Share(int(last.value - first.value), len(asked))


def _doubt(view: View, expectation: Retries, before: _Share, during: _Share) -> str:
    counts = [sample.value for sample in view.wire(expectation.edge)]
    if not counts:
        return "nobody counted the requests of this edge"
    if _fell(counts):
        return "the count of the edge began anew: its proxy is another one"
    if min(before.users, during.users) < ENOUGH:
        return f"only {before.users} requests of users before and {during.users} during the fault; {ENOUGH} are needed"
    if before.edge < ENOUGH:
        return f"only {before.edge} requests went over the edge without the fault, {ENOUGH} are needed"
    return ""


def _fell(counts: Sequence[float]) -> bool:
    return any(after < before for before, after in itertools.pairwise(counts))


def _judge(expectation: Retries, before: _Share, during: _Share) -> tuple[Verdict, str]:
    amplification = during.quotient / before.quotient
    verdict = Verdict.CONFIRMED if amplification <= expectation.amplification else Verdict.REFUTED
    return verdict, f"an amplification of {amplification:.2f}, allowed is {expectation.amplification:g}"
