"""Was the fault really there, did anything meet it, and is it gone?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gameday.checks.view import QUEUE_METRIC, View
from gameday.durations import text
from gameday.journal import History
from gameday.verdict import Finding, Verdict

EXPECTED = "in force, exercised, undone"


def check(history: History) -> Sequence[Finding]:
    """One finding a lease; one alone where the method took none."""
    view = View(history)
    if not view.leases and view.window("fault") is None:
        return [_finding("method", Verdict.INCONCLUSIVE, "no fault", "the fault window never began")]
    if not view.leases:
        return [_finding("method", Verdict.NOT_INJECTED, "no fault", "the method injected nothing")]
    return [_lease(view, lease) for lease in view.leases]


def exercised(view: View, lease: Mapping[str, Any]) -> bool:
    """Whether an attempt met the fault: counted by a proxy, by the load where it addresses the target itself, or by a
    queue whose messages the target did not take.
    """
    return (
        _holds(lease, "exercised")
        or (lease["target"] == view.run.get("load_target") and _unanswered(view))
        or any(_piled_up(view, queue) for queue in view.queues(lease["target"]))
    )


def _unanswered(view: View) -> bool:
    """Whether a request of the load got no answer while the fault was in force."""
    fault = view.fault
    if fault is None:
        return False
    return any(request.status is None for route in view.routes for request in view.requests(route, fault))


def _piled_up(view: View, queue: str) -> bool:
    """Whether more messages waited while the fault was in force than ever without it."""
    control, fault = view.window("control"), view.fault
    samples = [sample for sample in view.samples(QUEUE_METRIC, queue=queue) if not math.isnan(sample.value)]
    before = [sample.value for sample in samples if control and sample.wall in control]
    return bool(before) and any(fault and sample.wall in fault and sample.value > max(before) for sample in samples)


def _lease(view: View, lease: Mapping[str, Any]) -> Finding:
    verdict, detail = _judge(view, lease)
    parts = {
        "in force": _holds(lease, "in_force"),
        "exercised": exercised(view, lease),
        "undone": _holds(lease, "undone"),
    }
    observed = ", ".join(name for name, holds in parts.items() if holds) or "nothing"
    return _finding(f"{lease['fault']} {lease['target']}", verdict, observed, detail)


def _judge(view: View, lease: Mapping[str, Any]) -> tuple[Verdict, str]:
    if _leaked(lease):
        return Verdict.LEAKED, f"{_reason(lease, 'undone')}; mend: {lease.get('mend') or 'gameday recover'}"
    if not _holds(lease, "in_force") or not lease.get("in_force_wall"):
        return Verdict.NOT_INJECTED, f"not in force: {_reason(lease, 'in_force')}"
    if not exercised(view, lease):
        return Verdict.NOT_INJECTED, f"nothing met the fault: {_reason(lease, 'exercised')}"
    if early := _ended_early(view, lease):
        return Verdict.INCONCLUSIVE, early
    return Verdict.CONFIRMED, ""


def _leaked(lease: Mapping[str, Any]) -> bool:
    """A fault that was never in force has nothing to undo."""
    if lease["state"] in ("leaked", "in-force", "intended"):
        return True
    return bool(lease.get("in_force_wall")) and not _holds(lease, "undone")


def _ended_early(view: View, lease: Mapping[str, Any]) -> str:
    window = view.window("fault")
    if window is None or not lease.get("undone_wall"):
        return "the history does not say when the fault window ended"
    missing = window.end - lease["undone_wall"]
    if lease["state"] == "expired" or missing > 0:
        cause = "its time to live passed" if lease["state"] == "expired" else "somebody undid it"
        return f"the fault ended {text(max(missing, 0.0))} before its window: {cause}; give it a longer lease"
    return ""


def _holds(lease: Mapping[str, Any], part: str) -> bool:
    return bool((lease.get(part) or {}).get("holds"))


def _reason(lease: Mapping[str, Any], part: str) -> str:
    facts = (lease.get(part) or {}).get("facts") or {}
    shown = ", ".join(f"{key} {value}" for key, value in facts.items())
    return "; ".join(piece for piece in (lease.get("error"), shown) if piece) or "no evidence"


def _finding(subject: str, verdict: Verdict, observed: str, detail: str) -> Finding:
    return Finding(
        check="evidence", subject=subject, verdict=verdict, expected=EXPECTED, observed=observed, detail=detail
    )
