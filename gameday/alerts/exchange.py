"""What the SLOs of others and ours have in common: promises in, promises out, and what of them was lost on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gameday.alerts.rules import PROBE_JOB
from gameday.alerts.slos import WORKBOOK, Arm, Slo, Slos
from gameday.alerts.timers import prometheus
from gameday.errors import InputError, Problem
from gameday.yamlfile import Location, YamlFile

# Where the window of a rule stands in a query: sloth's template, which readers of OpenSLO take too.
WINDOW = "{{.window}}"
NO_PROBE = 'its queries do not count the probes of one route, probe_success{route="GET /..."}'
OTHER_QUERY = "its queries are replaced by a count of failed probes"
_ROUTE = re.compile(r'probe_success\{[^}]*route="(?P<route>GET /[^"]*)"')


@dataclass(frozen=True)
class Exchanged:
    """`documents` in the order of a file, or SLOs that were read; `lost` tells what could not be carried over."""

    documents: Sequence[Mapping[str, Any]] = ()
    slos: Sequence[Slo] = ()
    lost: Sequence[str] = field(default_factory=tuple)


def good(slo: Slo) -> str:
    return f"sum_over_time({_probes(slo)}[{WINDOW}])"


def total(slo: Slo) -> str:
    return f"count_over_time({_probes(slo)}[{WINDOW}])"


def _probes(slo: Slo) -> str:
    return f'probe_success{{job="{PROBE_JOB}", route="{slo.route}"}}'


def probed(*queries: str) -> str | None:
    """The one route whose probes all `queries` count; None of any others."""
    routes = {match["route"] if (match := _ROUTE.search(query)) else None for query in queries}
    return routes.pop() if len(routes) == 1 else None


def validated(file: YamlFile, offered: Sequence[tuple[Location, Mapping[str, Any]]]) -> list[Slo]:
    """The SLOs that stand at these places. Raises InputError with all that is wrong in them."""
    found: list[Slo] = []
    problems: list[Problem] = []
    for location, data in offered:
        try:
            found.append(file.validate(Slo, data, location))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def unpromised(slos: Slos) -> Iterator[str]:
    """What no format of SLOs has a word for."""
    yield from (f"fallback {each.edge}: an alert on a share of fallbacks is no SLO" for each in slos.fallback)
    yield from (f"failure {each.edge}: an alert on a share of failures is no SLO" for each in slos.failure)
    yield from (f"queue {each.queue}: an alert on a queue is no SLO" for each in slos.queue)
    yield from (f"limit {each.alert}: an alert on a number is no SLO" for each in slos.limit)
    yield from (f"waiver of {each.subject}: only gameday proves alerts" for each in slos.waiver)


def toml(slos: Iterable[Slo]) -> str:
    """As `alerts/slos.toml` has them."""
    return "\n".join(line for slo in slos for line in _lines(slo)) + "\n"


def _lines(slo: Slo) -> Iterator[str]:
    yield "[[slo]]"
    for key, value in slo.model_dump(exclude={"arm"}, exclude_none=True).items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    yield ""
    for arm in slo.arm if slo.arm != WORKBOOK else ():
        yield from _arm(arm)


def _arm(arm: Arm) -> Iterator[str]:
    yield "[[slo.arm]]"
    yield f'severity = "{arm.severity}"'
    yield f'long = "{prometheus(arm.long)}"'
    yield f'short = "{prometheus(arm.short)}"'
    yield f"burn = {arm.burn:g}"
    yield ""
