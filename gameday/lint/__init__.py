"""Anti-patterns of microservices that use AI, found in a catalogue and in the traces of a running system.

A rule is a module with a name, what it demands, why, how to mend what breaks it, and a function `look`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from gameday.lint import (
    chatty_services,
    giant_ai_service,
    heavy_sync,
    no_fallback,
    shared_database,
    shared_model,
)
from gameday.lint.requests import Request, read
from gameday.lint.rule import Limits, Look, Rule, Smell, System
from gameday.verdict import Finding, Result, Verdict

__all__ = ["RULES", "Limits", "Request", "System", "lint", "read"]

RULES: Mapping[str, Rule] = {
    each.name: each
    for each in (
        shared_database.RULE,
        chatty_services.RULE,
        shared_model.RULE,
        no_fallback.RULE,
        heavy_sync.RULE,
        giant_ai_service.RULE,
    )
}


def lint(system: System, today: date) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """A result for each rule that could look at something, and all that no rule could look at."""
    looks = {rule: rule.look(system) for rule in RULES.values()}
    results = tuple(_result(rule, look, system, today) for rule, look in looks.items() if look.seen or look.smells)
    unseen = tuple(f"not looked at: {rule.name}: {each}" for rule, look in looks.items() for each in look.unseen)
    return results, (*unseen, *_idle(looks, system))


def _result(rule: Rule, look: Look, system: System, today: date) -> Result:
    """What is waived is told, and no finding; nor does it make anything green that is not."""
    waivers = {each.subject: each for each in system.catalogue.waivers if each.lint == rule.name}
    findings: list[Finding] = []
    waived: list[str] = []
    for smell in look.smells:
        waiver = waivers.get(smell.subject)
        if waiver and today <= waiver.until:
            waived.append(f"{rule.name}: {smell.subject}: until {waiver.until} {waiver.owner} says: {waiver.reason}")
        else:
            ended = f"; its waiver ended on {waiver.until} (by {waiver.owner})" if waiver else ""
            findings.append(_finding(rule, smell, ended))
    findings = findings or [_clean(rule, look, len(waived))]
    return Result(suite="lint", name=rule.name, title=rule.title, findings=tuple(findings), facts={"waived": waived})


def _finding(rule: Rule, smell: Smell, ended: str) -> Finding:
    return Finding(
        check=rule.name,
        subject=smell.subject,
        verdict=Verdict.REFUTED,
        expected=rule.title,
        observed=smell.observed,
        detail=f"why: {rule.why}\nmend: {rule.mend}{ended}",
        file=str(smell.location.file) if smell.location else None,
        line=smell.location.line if smell.location else None,
    )


def _clean(rule: Rule, look: Look, waived: int) -> Finding:
    but = f", but for {waived} waived" if waived else ""
    return Finding(
        check=rule.name,
        subject="the catalogue",
        verdict=Verdict.CONFIRMED,
        expected=rule.title,
        observed=f"nothing found{but}: {look.seen}",
    )


def _idle(looks: Mapping[Rule, Look], system: System) -> Iterator[str]:
    """A waiver that stands for nothing hides what will come."""
    found = {(rule.name, smell.subject) for rule, look in looks.items() for smell in look.smells}
    for waiver in system.catalogue.waivers:
        if (waiver.lint, waiver.subject) not in found:
            yield f"a waiver of nothing: {waiver.lint}: {waiver.subject} (by {waiver.owner}) is not found: remove it"
