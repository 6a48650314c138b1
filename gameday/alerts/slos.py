"""`alerts/slos.toml`, read strictly: what was promised, and which loss is worth an alert."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gameday import waiver
from gameday.catalogue import Catalogue
from gameday.durations import seconds
from gameday.errors import InputError, Problem
from gameday.yamlfile import dotted, known_keys, suggestion

# What Prometheus keeps where its command line does not say.
_RETENTION = "15d"
_RETENTION_FLAG = "--storage.tsdb.retention.time="


def _duration(value: object) -> float:
    return seconds(value if isinstance(value, str) else str(value))


Duration = Annotated[float, BeforeValidator(_duration)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
Severity = Literal["page", "ticket"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Links(_Strict):
    """What stands in front of a runbook's file name and of a dashboard's uid."""

    runbooks: str = "docs/runbooks/"
    dashboards: str = "/d/"


class Arm(_Strict):
    """One pair of windows (seconds): fires while both burn the budget `burn` times too fast."""

    severity: Severity
    long: Duration = Field(gt=0)
    short: Duration = Field(gt=0)
    burn: float = Field(gt=0)


# https://sre.google/workbook/alerting-on-slos/, table 5-8.
WORKBOOK = tuple(
    Arm.model_validate({"severity": severity, "long": long, "short": short, "burn": burn})
    for severity, long, short, burn in (
        ("page", "1h", "5m", 14.4),
        ("page", "6h", "30m", 6),
        ("ticket", "1d", "2h", 3),
        ("ticket", "3d", "6h", 1),
    )
)


class Alert(_Strict):
    """With `gate = false` an ordinary gate does not wait to see it fire: what makes it do so is left to `--all`."""

    alert: Name
    gate: bool = True
    summary: str = Field(min_length=1)
    description: str = Field(min_length=1)
    dashboard: Slug | None = None


class Slo(Alert):
    """`objective` is the percentage of probes of `route` that must succeed."""

    name: Slug
    route: str = Field(pattern=r"^GET /\S*$")
    objective: float = Field(gt=0, lt=100)
    arm: tuple[Arm, ...] = WORKBOOK

    @property
    def budget(self) -> float:
        """The share of probes that may fail."""
        return round(1 - self.objective / 100, 12)


class Held(Alert):
    """Fires once its condition has held for so long (seconds)."""

    hold: Duration = Field(default=0.0, ge=0, alias="for")
    severity: Severity = "ticket"


class Share(Held):
    """Fires while more than `share` percent of the calls on `edge` end as they should not."""

    edge: str = Field(pattern=r"^\S+->\S+$")
    share: float = Field(gt=0, lt=100)
    window: Duration = Field(gt=0)


class Fallback(Share):
    """Of calls that end in a fallback: no error rate tells of them."""


class Failure(Share):
    """Of calls that fail, or that a breaker refuses, where there is no fallback."""


class Queue(Held):
    """Fires while more than `limit` messages wait in `queue`, which gets `rate` a second on an ordinary day."""

    queue: str = Field(pattern=r"^\S+$")
    limit: int = Field(ge=0)
    rate: float = Field(gt=0)


class Limit(Held):
    """Fires while what a metric shows is `above` or `below` a limit, once for each value of the labels `by`.

    A gauge is taken as it is. With a `window`, a counter is taken as its rate a second, and with a `quantile` too, a
    histogram as that quantile of what it saw; it has to have a bucket that ends at `above`.
    """

    metric: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
    by: tuple[Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], ...] = Field(min_length=1)
    above: float | None = None
    below: float | None = None
    window: Duration | None = Field(default=None, gt=0)
    quantile: float | None = Field(default=None, gt=0, lt=1)
    unit: str = ""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a limit is either above or below a number")
        if self.window is not None and self.above is None:
            raise ValueError("a rate or a quantile is too high where it is above a number")
        if self.window is not None and self.above is not None and self.above <= 0:
            raise ValueError("a rate or a quantile is above a number that is more than 0")
        if self.quantile is not None and self.window is None:
            raise ValueError("a quantile needs a window")
        return self

    @property
    def number(self) -> float:
        """That is not to be passed."""
        return self.above if self.above is not None else self.below or 0.0


class Waiver(waiver.Waiver):
    """For an alert that nothing fires, or an experiment that no alert hears."""

    alert: Name | None = None
    experiment: Slug | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.alert is None) == (self.experiment is None):
            raise ValueError("a waiver names either an alert or an experiment")
        return self

    @property
    def subject(self) -> str:
        return f"alert {self.alert}" if self.alert else f"experiment {self.experiment}"


class Slos(_Strict):
    links: Links = Links()
    slo: tuple[Slo, ...] = ()
    fallback: tuple[Fallback, ...] = ()
    failure: tuple[Failure, ...] = ()
    queue: tuple[Queue, ...] = ()
    limit: tuple[Limit, ...] = ()
    waiver: tuple[Waiver, ...] = ()

    @property
    def alerts(self) -> tuple[Alert, ...]:
        return (*self.slo, *self.held)

    @property
    def seldom(self) -> frozenset[str]:
        """The alerts that only a gate of all experiments has to see fire."""
        return frozenset(each.alert for each in self.alerts if not each.gate)

    @property
    def held(self) -> tuple[Held, ...]:
        return (*self.shares, *self.queue, *self.limit)

    @property
    def shares(self) -> tuple[Share, ...]:
        return (*self.fallback, *self.failure)


def read(path: Path, catalogue: Catalogue) -> Slos:
    """Raises InputError with everything that is wrong, each with its line."""
    try:
        source = path.read_text()
        raw = tomllib.loads(source)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"cannot be read: {error}", "create it, or run where it is", path)) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(_syntax(path, str(error))) from error
    where = _Lines(path, source)
    try:
        slos = Slos.model_validate(raw)
    except ValidationError as error:
        raise InputError(_invalid(where, error)) from error
    problems = list(_inconsistent(where, slos, catalogue))
    if problems:
        raise InputError(problems)
    return slos


@dataclass(frozen=True)
class _Lines:
    path: Path
    source: str

    def problem(self, location: Sequence[str | int], message: str, mend: str, value: Any = None) -> Problem:
        return Problem(message, mend, self.path, self._line(location), key=dotted(location), value=value)

    def _line(self, location: Sequence[str | int]) -> int | None:
        """The line of the longest known part of `location`; tomllib keeps no lines."""
        lines = dict(_locations(self.source))
        for length in range(len(location), 0, -1):
            if line := lines.get(tuple(location[:length])):
                return line
        return None


def _locations(source: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Where each table and key begins: (("slo", 0, "arm", 1, "burn"), 23)."""
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*(\[{1,2})\s*([\w.-]+)\s*\]", line):
            *parents, name = header[2].split(".")
            table = ()
            for part in parents:
                table = (*table, part)
                if table in counts:
                    table = (*table, counts[table] - 1)
            table = (*table, name)
            if header[1] == "[[":
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
            yield table, number
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            yield (*table, key[1]), number


def _syntax(path: Path, message: str) -> Problem:
    at = re.search(r"\(at line (\d+), column (\d+)\)", message)
    line, column = (int(at[1]), int(at[2])) if at else (None, None)
    return Problem(message.partition(" (at ")[0], "write valid TOML (https://toml.io)", path, line, column)


def _invalid(where: _Lines, error: ValidationError) -> list[Problem]:
    problems = []
    for found in error.errors():
        location, value = found["loc"], found["input"]
        message, mend = _explain(found["type"], location, found["msg"])
        shown = None if isinstance(value, dict | list) else value
        problems.append(where.problem(location, message, mend, shown))
    return problems


def _explain(kind: str, location: tuple[str | int, ...], text: str) -> tuple[str, str]:
    name = str(location[-1])
    if kind == "extra_forbidden":
        return f"unknown key {name!r}", suggestion(name, known_keys(Slos, location[:-1]))
    if kind == "missing":
        return f"the key {name!r} is missing", f"add {name} = ..."
    if name == "objective" and kind == "less_than":
        return "an objective of 100 % or more leaves no budget to alert on", "promise less than 100, such as 99.9"
    return text.removeprefix("Value error, "), f"correct {name}"


def _inconsistent(where: _Lines, slos: Slos, catalogue: Catalogue) -> Iterator[Problem]:
    yield from _duplicates(where, slos)
    yield from _waived_strangers(where, slos, catalogue)
    yield from _strange_queues(where, slos, catalogue)
    kept = _retention(catalogue)
    for index, slo in enumerate(slos.slo):
        if slo.route not in catalogue.routes:
            yield where.problem(
                ("slo", index, "route"),
                "no route that is probed",
                f"{suggestion(slo.route, catalogue.routes)} (x-gameday.routes of the compose file)",
                slo.route,
            )
        for number, arm in enumerate(slo.arm):
            yield from _wrong_arm(where, ("slo", index, "arm", number), arm, slo, kept)
    for location, share in _shares(slos):
        if not catalogue.find(share.edge):
            yield where.problem(
                (*location, "edge"),
                "no such edge",
                suggestion(share.edge, {edge.name for edge in catalogue.edges}),
                share.edge,
            )
        if share.window > seconds(kept):
            yield _too_long(where, (*location, "window"), share.window, kept)
    for index, limit in enumerate(slos.limit):
        if (limit.window or 0) > seconds(kept):
            yield _too_long(where, ("limit", index, "window"), limit.window or 0, kept)


def _shares(slos: Slos) -> Iterator[tuple[tuple[str, int], Share]]:
    yield from ((("fallback", index), each) for index, each in enumerate(slos.fallback))
    yield from ((("failure", index), each) for index, each in enumerate(slos.failure))


def _strange_queues(where: _Lines, slos: Slos, catalogue: Catalogue) -> Iterator[Problem]:
    known = catalogue.queues
    for index, queue in enumerate(slos.queue):
        if queue.queue.removesuffix(".dead") not in known:
            mend = f"{suggestion(queue.queue, known)} (x-gameday.consumes of the compose file)"
            yield where.problem(("queue", index, "queue"), "no queue of a consumer", mend, queue.queue)


def _waived_strangers(where: _Lines, slos: Slos, catalogue: Catalogue) -> Iterator[Problem]:
    from gameday.experiment import files  # it reads the alerts, too

    known = {
        "alert": {alert.alert for alert in slos.alerts},
        "experiment": {path.stem for path in files(catalogue.directory)},
    }
    for index, each in enumerate(slos.waiver):
        for key, name in (("alert", each.alert), ("experiment", each.experiment)):
            if name and name not in known[key]:
                yield where.problem(("waiver", index, key), f"no such {key}", suggestion(name, known[key]), name)


def _wrong_arm(where: _Lines, location: tuple[str | int, ...], arm: Arm, slo: Slo, kept: str) -> Iterator[Problem]:
    if arm.long > seconds(kept):
        yield _too_long(where, (*location, "long"), arm.long, kept)
    if arm.short >= arm.long:
        yield where.problem(
            (*location, "short"), "the short window must be shorter than the long", "use a twelfth of it"
        )
    if arm.burn * slo.budget >= 1:
        yield where.problem(
            (*location, "burn"),
            f"no share of errors is above {arm.burn:g} times a budget of {slo.budget:.3%}: the arm can never fire",
            "lower the burn or raise the objective",
            arm.burn,
        )


def _too_long(where: _Lines, location: tuple[str | int, ...], value: float, kept: str) -> Problem:
    return where.problem(
        location,
        f"longer than the {kept} that Prometheus keeps",
        f"use at most {kept}, or raise {_RETENTION_FLAG}{kept} on its command line",
        f"{value / 86400:g}d",
    )


def _retention(catalogue: Catalogue) -> str:
    service = catalogue.services.get(catalogue.telemetry.prometheus or "")
    for argument in (service.command if service else None) or ():
        if argument.startswith(_RETENTION_FLAG):
            return argument.removeprefix(_RETENTION_FLAG)
    return _RETENTION


def _duplicates(where: _Lines, slos: Slos) -> Iterator[Problem]:
    seen: dict[tuple[str, str], str] = {}
    named = [(("slo", i, "name"), slo.name) for i, slo in enumerate(slos.slo)]
    named += [(("slo", i, "alert"), slo.alert) for i, slo in enumerate(slos.slo)]
    named += [((*location, "alert"), share.alert) for location, share in _shares(slos)]
    named += [(("queue", i, "alert"), queue.alert) for i, queue in enumerate(slos.queue)]
    named += [(("limit", i, "alert"), limit.alert) for i, limit in enumerate(slos.limit)]
    for location, value in named:
        key = (location[2], value)
        if key in seen:
            yield where.problem(location, f"{value!r} is used twice", "give each its own", value)
        seen[key] = value
