"""Would this rule ever say anything? Asks a healthy, running Prometheus about the rules of any file, ours or others'.

The questions are those that pint (https://cloudflare.github.io/pint/) made common: is there such a series, has it
such a label, is the alert true all the time; and those of our own: who is told what to do, and who tested it.
That a rule can be true at all is not asked here: an experiment makes it so, and `gameday alerts prove` says which.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import promql_parser as promql

from gameday.errors import GamedayError, InputError, Problem
from gameday.state import State
from gameday.tools.prometheus import Sample
from gameday.verdict import Finding, Result, Verdict
from gameday.yamlfile import YamlFile, suggestion

# Whom it wakes, and what that person is told first.
_LABEL, _SUMMARY, _RUNBOOK = "severity", "summary", "runbook_url"


class Source(Protocol):
    """What is asked: `gameday.tools.prometheus.Prometheus`."""

    def instant(self, query: str) -> Sequence[Sample]: ...

    def label_values(self, label: str, selector: str | None = None) -> Sequence[str]: ...


@dataclass(frozen=True)
class Rule:
    """One entry of a rule file; `name` of the alert, or of what it records."""

    name: str
    alerts: bool
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    file: Path
    line: int | None


@dataclass(frozen=True)
class _Answer:
    """What was asked of a rule. `told` is empty where it is as it should be; None: nobody could say."""

    check: str
    expected: str
    told: str | None
    detail: str = ""


def read(files: Sequence[Path]) -> Sequence[Rule]:
    """The rules of Prometheus's rule files. Raises InputError for what is none, for all files at once."""
    problems: list[Problem] = []
    found: list[Rule] = []
    for file in files:
        try:
            found += _rules(YamlFile.read(file), file)
        except InputError as error:
            problems += error.problems
    if not found and not problems:
        problems.append(
            Problem("there is no rule in it", "name a rule file of Prometheus", files[0] if files else None)
        )
    if problems:
        raise InputError(problems)
    return found


def own(slos: Path, state: State, time_scale: float) -> tuple[Sequence[Rule], Sequence[Path]]:
    """The generated rules of a system at `time_scale`, and their tests. Raises InputError where there are none."""
    directory = slos.parent / "_gen" if time_scale == 1 else state.scaled_alerts(time_scale)
    return read([directory / "rules.yml"]), sorted(directory.glob("*_test.yml"))


def lint(rules: Sequence[Rule], tests: Sequence[Path], source: Source, directory: Path) -> Result:
    """`tests`: files of promtool's unit tests; `directory`: from where relative runbooks are looked up.

    Raises InputError for a test file that cannot be read, GamedayError where Prometheus does not answer at all.
    """
    began = time.monotonic()
    tested = "\n".join(map(_text, tests))
    names = frozenset(source.label_values("__name__"))
    recorded = frozenset(rule.name for rule in rules if not rule.alerts)
    findings: list[Finding] = []
    for rule in rules:
        answers = [*_expression(rule, names, recorded, source)]
        if rule.alerts:
            answers += [_told(rule), _runbook(rule, directory), _tested(rule, tested)]
        findings += [_finding(rule, answer) for answer in answers]
    return Result(
        suite="telemetry",
        name="rules",
        title="Each rule has its series, is silent, tested and explained",
        findings=tuple(findings),
        seconds=time.monotonic() - began,
    )


def _rules(source: YamlFile, file: Path) -> Iterator[Rule]:
    groups = source.data.get("groups") if isinstance(source.data, Mapping) else None
    if not isinstance(groups, list):
        raise InputError(source.problem(("groups",), "is not a list", "name a rule file of Prometheus"))
    for number, group in enumerate(groups):
        for each, rule in enumerate(group.get("rules") or () if isinstance(group, Mapping) else ()):
            at = ("groups", number, "rules", each)
            if not isinstance(rule, Mapping) or not ("alert" in rule or "record" in rule) or "expr" not in rule:
                mend = "give it `alert` or `record`, and `expr`"
                raise InputError(source.problem(at, "is no rule of Prometheus", mend))
            yield Rule(
                name=str(rule.get("alert", rule.get("record"))),
                alerts="alert" in rule,
                expression=str(rule["expr"]),
                labels=_texts(rule.get("labels")),
                annotations=_texts(rule.get("annotations")),
                file=file,
                line=source.line(at),
            )


def _texts(found: Any) -> Mapping[str, str]:
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"cannot be read: {error}", "name a file of promtool's unit tests", path)) from error


def _expression(rule: Rule, names: frozenset[str], recorded: frozenset[str], source: Source) -> Iterator[_Answer]:
    try:
        parsed = promql.parse(rule.expression)
    except ValueError as error:
        yield _Answer("expression", "PromQL", f"cannot be read: {error}")
        return
    told = [why for each in selectors(parsed) if (why := _selected(each, names, recorded, source))]
    yield _Answer("series", "each selector finds a series", "; ".join(told), rule.expression)
    if rule.alerts:
        yield _silent(rule, source)


def selectors(expression: promql.Expr) -> Sequence[promql.VectorSelector]:
    """Every selector of an expression, in the order in which it is written."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(expression, visit)
    return found


def _selected(selector: promql.VectorSelector, names: frozenset[str], recorded: frozenset[str], source: Source) -> str:
    """What there is no series for; empty where there is one."""
    name = selector.name or ""
    if name in recorded:
        # It is asked about where it is recorded; of a long window it has no value for long.
        return ""
    if name and name not in names:
        return f"there is no series {name}: {suggestion(name, names)}"
    if _exists(str(selector), source):
        return ""
    for matcher in selector.matchers.matchers:
        values = source.label_values(matcher.name, name or None)
        if not values:
            return f"no series {name} has a label {matcher.name}"
        if not _exists(f"{name}{{{matcher}}}", source):
            return f"no series {name} has {matcher}: {suggestion(matcher.value, values)}"
    return f"no series {name} has all of {selector} at once"


def _exists(selector: str, source: Source) -> bool:
    return bool(source.instant(f"count({selector})"))


def _silent(rule: Rule, source: Source) -> _Answer:
    expected = "not true while nothing is broken"
    try:
        true = source.instant(rule.expression)
    except GamedayError as error:
        return _Answer("silent", expected, None, str(error))
    return _Answer("silent", expected, f"true now, for {len(true)} series" if true else "", rule.expression)


def _told(rule: Rule) -> _Answer:
    lacking = [f"label {_LABEL}"] * (_LABEL not in rule.labels)
    lacking += [f"annotation {_SUMMARY}"] * (not rule.annotations.get(_SUMMARY))
    return _Answer(
        "told", "says how urgent it is, and what is wrong", f"has no {' and no '.join(lacking)}" if lacking else ""
    )


def _runbook(rule: Rule, directory: Path) -> _Answer:
    runbook = rule.annotations.get(_RUNBOOK, "")
    expected = "a runbook that is there"
    if not runbook:
        return _Answer("runbook", expected, f"has no annotation {_RUNBOOK}")
    # Where it is served from, only its readers can say.
    local = "://" not in runbook
    return _Answer(
        "runbook", expected, f"there is no {runbook}" if local and not (directory / runbook).is_file() else ""
    )


def _tested(rule: Rule, tests: str) -> _Answer:
    named = f'alertname="{rule.name}"' in tests or f"alertname: {rule.name}\n" in tests
    return _Answer("tested", "a unit test of promtool", "" if named else "no unit test names it")


def _finding(rule: Rule, answer: _Answer) -> Finding:
    verdict = Verdict.INCONCLUSIVE if answer.told is None else Verdict.REFUTED if answer.told else Verdict.CONFIRMED
    window = rule.labels.get("window", "")
    return Finding(
        check=answer.check,
        subject=" ".join(filter(None, (rule.name, window))),
        verdict=verdict,
        expected=answer.expected,
        observed=answer.told or ("nobody could say" if answer.told is None else "as it should be"),
        detail=answer.detail,
        file=str(rule.file),
        line=rule.line,
    )
