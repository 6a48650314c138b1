"""The summary of a CI step, in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from gameday.report import words
from gameday.verdict import Finding, Result, Verdicts


def render(verdicts: Verdicts) -> str:
    return "\n".join(_lines(verdicts)) + "\n"


def _lines(verdicts: Verdicts) -> Iterator[str]:
    yield f"## {words.SYMBOLS[verdicts.verdict]} gameday: {verdicts.verdict}"
    yield ""
    yield f"**{words.HEADLINES[verdicts.verdict]}.** {words.summary(verdicts)}"
    yield ""
    yield "| | suite | result | findings | seconds |"
    yield "|---|---|---|---|---|"
    for result in verdicts.results:
        yield _row(result)
    found = words.open_findings(verdicts)
    if found:
        yield from (
            "",
            "### What is not confirmed",
            "",
            "| verdict | where | expected | observed |",
            "|---|---|---|---|",
        )
        yield from (_finding(result, finding) for result, finding in found)
    if verdicts.left_out:
        yield from ("", "### Left out", "")
        yield from (f"- {_cell(name)}" for name in verdicts.left_out)
    yield ""
    yield (
        f"gameday {verdicts.gameday}, started {verdicts.started}, {verdicts.seconds:.1f} s, "
        f"time scale {verdicts.time_scale:g}, exit code {verdicts.exit_code}"
    )


def _row(result: Result) -> str:
    confirmed = sum(finding.verdict == "confirmed" for finding in result.findings)
    symbol = words.SYMBOLS[result.verdict]
    return (
        f"| {symbol} {result.verdict} | {result.suite} | {_cell(result.title)} "
        f"| {confirmed} of {len(result.findings)} confirmed | {result.seconds:.1f} |"
    )


def _finding(result: Result, finding: Finding) -> str:
    place = f" ({words.place(finding)})" if finding.file else ""
    where = f"{result.name}: {finding.check} of {finding.subject}{place}"
    observed = "; ".join(part for part in (finding.observed, finding.detail) if part)
    return f"| {finding.verdict} | {_cell(where)} | {_cell(finding.expected)} | {_cell(observed)} |"


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split())
