"""Is each target scraped? One that is not measures nothing, and boards go on to show the lines of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from gameday.verdict import Finding, Verdict

_VERDICTS = {"up": Verdict.CONFIRMED, "down": Verdict.REFUTED}


def check(targets: Sequence[Mapping[str, Any]], lacking: Collection[str]) -> Iterator[Finding]:
    """`targets` as Prometheus's API tells of them; those of `lacking`, which was not started, are none here."""
    mine = [each for each in targets if each["labels"]["job"] not in lacking]
    if not mine:
        yield _finding("targets", Verdict.INCONCLUSIVE, "Prometheus scrapes nothing")
    for target in mine:
        labels = target["labels"]
        subject = f"{labels['job']} {labels['instance']}"
        verdict = _VERDICTS.get(target["health"], Verdict.INCONCLUSIVE)
        yield _finding(subject, verdict, target["health"], target.get("lastError", ""))


def _finding(subject: str, verdict: Verdict, observed: str, detail: str = "") -> Finding:
    return Finding(
        check="targets", subject=subject, verdict=verdict, expected="up: scraped", observed=observed, detail=detail
    )
