"""What the Chaos Toolkit did, activity by activity. Its exit code and its status are not asked:
they are green over failed actions, failed rollbacks and hypotheses that did not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gameday.journal import History
from gameday.verdict import Finding, Verdict


def check(history: History) -> Finding:
    record = next((record.data for record in history.of("toolkit")), None)
    if record is None:
        return _finding(Verdict.INCONCLUSIVE, "no journal of the toolkit", "")
    failed = [run for run in record["runs"] if run["status"] != "succeeded"]
    unmet = [run for run in record["runs"] if run.get("tolerance_met") is False]
    observed = f"{len(record['runs']) - len(failed)} of {len(record['runs'])} activities succeeded, {record['status']}"
    verdict, detail = _judge(record, failed, unmet)
    return _finding(verdict, observed, detail)


def _judge(
    record: Mapping[str, Any], failed: Sequence[Mapping[str, Any]], unmet: Sequence[Mapping[str, Any]]
) -> tuple[Verdict, str]:
    if record["steady_before"] is False:
        return Verdict.INCONCLUSIVE, "the hypothesis did not hold before the method"
    if failed:
        cause = failed[0].get("exception") or failed[0]["status"]
        return Verdict.INCONCLUSIVE, f"{failed[0]['type']} {failed[0]['name']!r} failed: {cause}"
    if record["steady_after"] is False or record["deviated"]:
        return Verdict.REFUTED, "the hypothesis did not hold while the fault was in force"
    if unmet:
        return Verdict.REFUTED, f"probe {unmet[0]['name']!r} was out of its tolerance"
    if record["status"] != "completed" or not record["runs"]:
        return Verdict.INCONCLUSIVE, f"the experiment ended as {record['status']}"
    return Verdict.CONFIRMED, ""


def _finding(verdict: Verdict, observed: str, detail: str) -> Finding:
    return Finding(
        check="toolkit",
        subject="hypothesis, method and rollbacks",
        verdict=verdict,
        expected="every activity succeeded, hypothesis met before and after",
        observed=observed,
        detail=detail,
    )
