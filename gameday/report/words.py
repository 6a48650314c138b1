"""Verdicts in plain words, the same in every form of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gameday.verdict import Finding, Result, Verdict, Verdicts, severity

HEADLINES = {
    Verdict.CONFIRMED: "Everything happened as expected",
    Verdict.REFUTED: "Something did not happen as expected",
    Verdict.INCONCLUSIVE: "The run does not say whether things are as expected",
    Verdict.NOT_INJECTED: "A fault was not injected, so nothing was proven",
    Verdict.LEAKED: "A fault was left in force",
}
SENTENCES = {
    Verdict.CONFIRMED: "every expectation was met",
    Verdict.REFUTED: "what was observed contradicts what was expected",
    Verdict.INCONCLUSIVE: "too little was observed, or the system was not healthy without the fault",
    Verdict.NOT_INJECTED: "there is no evidence that the fault was in force and met by the load",
    Verdict.LEAKED: "the undo of a fault was not verified: the system may still be broken",
}
SYMBOLS = {
    Verdict.CONFIRMED: "\N{CHECK MARK}",
    Verdict.REFUTED: "\N{MULTIPLICATION X}",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_INJECTED: "\N{EMPTY SET}",
    Verdict.LEAKED: "!",
}


PLAIN = {verdict: str(verdict).replace("-", " ") for verdict in Verdict}


def summary(verdicts: Verdicts) -> str:
    """`3 of 5 results are confirmed; 1 refuted, 1 inconclusive.`"""
    counts = Counter(result.verdict for result in verdicts.results)
    total = sum(counts.values())
    if not total:
        return "Nothing was judged, which is never taken for good."
    confirmed = (
        f"{counts.pop(Verdict.CONFIRMED, 0)} of {total} {'result is' if total == 1 else 'results are'} confirmed"
    )
    others = ", ".join(f"{count} {PLAIN[verdict]}" for verdict, count in counts.items())
    return f"{confirmed}; {others}." if others else f"{confirmed}."


def sentence(result: Result) -> str:
    return f"{str(result.verdict).capitalize()}: {SENTENCES[result.verdict]}."


def open_findings(verdicts: Verdicts) -> list[tuple[Result, Finding]]:
    """What was not confirmed, the worst first, else in the order of the results."""
    found = [
        (result, finding)
        for result in verdicts.results
        for finding in result.findings
        if finding.verdict is not Verdict.CONFIRMED
    ]
    return sorted(found, key=lambda pair: severity(pair[1].verdict), reverse=True)


def place(finding: Finding) -> str:
    """`experiments/a.yaml:24`; empty without a file."""
    return f"{file(finding)}:{finding.line}" if finding.file and finding.line else file(finding)


def file(finding: Finding) -> str:
    """Relative to where the command runs, if it is below."""
    if not finding.file:
        return ""
    path = Path(finding.file).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def evidence(finding: Finding) -> str:
    """`n = 300, 95 % interval 0 % to 1.2 %`; empty where there is neither."""
    parts = [] if finding.n is None else [f"n = {finding.n}"]
    if finding.interval is not None:
        parts.append(f"95 % interval {interval(finding.interval)}")
    return ", ".join(parts)


def interval(bounds: tuple[float, float]) -> str:
    """A share is printed in percent; what exceeds 1 cannot be one."""
    low, high = bounds
    return f"{low * 100:.3g} % to {high * 100:.3g} %" if low >= 0 and high <= 1 else f"{low:.4g} to {high:.4g}"


def heard(cell: Mapping[str, Any]) -> str:
    """A cell of the kill matrix: `3.2s → 8.1s` for an alert that fired and resolved, a dot for one that slept."""
    if cell["heard"] != "fired":
        return {"silent": "·", "restless": "fired before", "unknown": "?"}[cell["heard"]]
    end = "stays" if cell["resolves_s"] is None else f"{cell['resolves_s']:.1f}s"
    return f"{cell['fires_s']:.1f}s → {end}"


def clock(wall: float | None) -> str:
    """Epoch seconds as the time of day in UTC, to the tenth of a second."""
    if wall is None:
        return "-"
    at = datetime.fromtimestamp(wall, UTC)
    return f"{at:%H:%M:%S}.{at.microsecond // 100_000}"
