"""`report.html`: one file that needs no network, verdict first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from gameday import killmatrix
from gameday.checks.view import View
from gameday.journal import History
from gameday.report import figure, timeline, trace, words
from gameday.report.timeline import Timeline
from gameday.report.trace import Trace
from gameday.verdict import Result, Verdicts

# Facts that the page shows in places of their own.
_DRAWN = frozenset({"substitutions", "waived", killmatrix.FACT})


@dataclass(frozen=True)
class Section:
    """One result on the page; `figure` is safe inside a script element."""

    id: str
    result: Result
    sentence: str
    timeline: Timeline | None
    figure: Markup | None
    trace: Trace | None
    leases: Sequence[Mapping[str, Any]]
    torn: bool
    facts: dict[str, str]


def render(verdicts: Verdicts, histories: Mapping[str, History]) -> str:
    sections = [_section(result, histories.get(result.name)) for result in verdicts.results]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            verdicts=verdicts,
            headline=words.HEADLINES[verdicts.verdict],
            summary=words.summary(verdicts),
            open_findings=words.open_findings(verdicts),
            sections=sections,
            substitutions=_substitutions(sections, histories.values()),
            plotly=Markup(_in_script(get_plotlyjs())) if any(section.figure for section in sections) else None,  # noqa: S704
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gameday.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "anchor": _anchor,
        "clock": words.clock,
        "date": _date,
        "fact": _fact,
        "heard": words.heard,
        "interval": words.interval,
        "place": words.place,
    }
    environment.globals["symbols"] = words.SYMBOLS
    return environment


def _section(result: Result, history: History | None) -> Section:
    read = timeline.read(history) if history else None
    drawn = json.dumps(figure.draw(read), separators=(",", ":")) if read else None
    return Section(
        id=_anchor(result),
        result=result,
        sentence=words.sentence(result),
        timeline=read,
        # `<` is all that could end a script element or open a comment in it.
        figure=Markup(drawn.replace("<", "\\u003c")) if drawn else None,  # noqa: S704
        trace=trace.read(history) if history else None,
        leases=View(history).leases if history else (),
        torn=bool(history and history.torn),
        facts={key: _fact(value) for key, value in result.facts.items() if key not in _DRAWN},
    )


def _substitutions(sections: Iterable[Section], histories: Iterable[History]) -> dict[str, str]:
    """Which server stood in for which service, from the results' facts and the runs' heads."""
    found: dict[str, str] = {}
    for section in sections:
        found |= section.result.facts.get("substitutions") or {}
    for history in histories:
        for record in history.of("run"):
            found |= record.data.get("substitutions") or {}
    return dict(sorted(found.items()))


def _anchor(result: Result) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{result.suite}-{result.name}".lower())


def _in_script(source: str) -> str:
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _date(started: str) -> str:
    """`2026-11-25 03:00:00 UTC`; what is no ISO 8601 stays as it is."""
    try:
        return f"{datetime.fromisoformat(started).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return started


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_fact(item) for item in value) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
