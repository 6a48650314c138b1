"""Did messages wait in a queue while the fault was in force, and was it empty of them again after?

Read from the raw samples of the gauge `queue_messages{queue}`, of every process that measures the queue: its
consumer, and whoever publishes to it, since a consumer that is gone measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gameday.checks.view import QUEUE_METRIC, Sample, Span, View, gap
from gameday.durations import Bound, TimeScale, text
from gameday.expectations import Queue
from gameday.journal import History
from gameday.verdict import Finding, Verdict


def check(history: History, expectation: Queue, scale: TimeScale) -> Finding:  # noqa: ARG001 - work is never scaled
    view = View(history)
    samples = view.samples(QUEUE_METRIC, queue=expectation.queue)
    doubt = _doubt(view, expectation, samples)
    verdict, detail = (Verdict.INCONCLUSIVE, doubt) if doubt else _judge(view, expectation, samples)
    return Finding(
        check="queues",
        subject=expectation.queue,
        verdict=verdict,
        expected=f"at least {expectation.waiting} wait, drained {expectation.drains}",
        observed=_observed(view, samples),
        detail=detail,
        n=len(samples),
    )


def spoken(view: View, expectation: Queue, window: str) -> bool:
    samples = view.samples(QUEUE_METRIC, queue=expectation.queue)
    match window:
        case "control":
            return bool(_in(samples, view.window("control")))
        case "fault":
            return _most(_in(samples, view.fault)) >= expectation.waiting
    return _drained(view, samples) is not None


def unrest(view: View, expectation: Queue, span: Span) -> str:
    """What in `span`, without a fault, is not as it should be; empty where nothing is."""
    samples = _in(view.samples(QUEUE_METRIC, queue=expectation.queue), span)
    if any(math.isnan(sample.value) for sample in samples):
        return f"somebody could not measure {expectation.queue}"
    most = _most(samples)
    return f"{most:g} messages waited in {expectation.queue}" if most >= expectation.waiting else ""


def _drained(view: View, samples: Sequence[Sample]) -> float | None:
    """Seconds from the undo to the first sample from which on no more waited than in the control window."""
    after = _in(samples, view.recovery)
    before = _most(_in(samples, view.window("control")))
    if view.recovery is None or not after or not after[-1].value <= before:
        return None
    tail = len(after)
    while tail and after[tail - 1].value <= before:
        tail -= 1
    return after[tail].wall - view.recovery.start


def _doubt(view: View, expectation: Queue, samples: Sequence[Sample]) -> str:
    control, fault, recovery = view.window("control"), view.fault, view.recovery
    if control is None or fault is None or recovery is None:
        return "a window is missing: control, fault and recovery are needed"
    span = Span(control.start, recovery.end)
    if not _in(samples, control):
        return f"no sample of {QUEUE_METRIC} of this queue in the control window"
    if any(math.isnan(sample.value) for sample in _in(samples, span)):
        return "a sample is NaN: somebody could not measure the queue"
    if restless := unrest(view, expectation, control):
        return f"without a fault: {restless}"
    longest = gap([sample.wall for sample in samples], span, view.scrape_interval)
    if longest is not None:
        return f"no sample for {text(longest)}, more than two scrape intervals ({text(view.scrape_interval)} each)"
    return ""


def _judge(view: View, expectation: Queue, samples: Sequence[Sample]) -> tuple[Verdict, str]:
    most = _most(_in(samples, view.fault))
    if most < expectation.waiting:
        return Verdict.REFUTED, f"at most {most:g} waited: nobody can tell that anything did"
    if aside := _set_aside(view, expectation):
        return Verdict.REFUTED, f"{aside:g} messages were set aside as dead"
    limit = expectation.drains.limit + view.slack("breaker")
    took = _drained(view, samples)
    if took is None:
        return Verdict.REFUTED, f"more than before wait still (allowed {text(limit)})"
    if not Bound(expectation.drains.sign, limit).holds(took):
        return Verdict.REFUTED, f"it took {text(took)} to drain, allowed is {text(limit)}"
    return Verdict.CONFIRMED, f"allowed {text(limit)}, with {text(view.slack('breaker'))} slack"


def _set_aside(view: View, expectation: Queue) -> float:
    """How many more are dead than without the fault: a queue from which all are thrown out is empty, too."""
    samples = view.samples(QUEUE_METRIC, queue=f"{expectation.queue}.dead")
    before = _most(_in(samples, view.window("control")))
    after = [each for span in (view.fault, view.recovery) for each in _in(samples, span)]
    return max(0.0, _most(after) - before)


def _observed(view: View, samples: Sequence[Sample]) -> str:
    if not samples:
        return "no samples"
    took = _drained(view, samples)
    after = "not drained" if took is None else f"drained after {text(took)}"
    before, most = _most(_in(samples, view.window("control"))), _most(_in(samples, view.fault))
    return f"{most:g} waited where {before:g} did, {after}"


def _in(samples: Sequence[Sample], span: Span | None) -> Sequence[Sample]:
    return [sample for sample in samples if sample.wall in span] if span else []


def _most(samples: Sequence[Sample]) -> float:
    return max((sample.value for sample in samples if not math.isnan(sample.value)), default=0.0)
