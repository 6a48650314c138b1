"""Verdicts, what they are worth, and the results that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

INTERRUPTED = 130


class Verdict(StrEnum):
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    NOT_INJECTED = "not-injected"
    LEAKED = "leaked"

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.CONFIRMED: 0,
    Verdict.REFUTED: 1,
    Verdict.INCONCLUSIVE: 3,
    Verdict.NOT_INJECTED: 3,
    Verdict.LEAKED: 4,
}
_SEVERITY = (
    Verdict.CONFIRMED,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_INJECTED,
    Verdict.REFUTED,
    Verdict.LEAKED,
)


def severity(verdict: Verdict) -> int:
    """0 is the mildest."""
    return _SEVERITY.index(verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe of `verdicts`. Nothing judged is inconclusive, never green."""
    return max(verdicts, key=severity, default=Verdict.INCONCLUSIVE)


def _encodable(text: str) -> str:
    """What a service answered may hold half a surrogate pair, which no file can."""
    return text.encode("utf-8", "replace").decode()


Text = Annotated[str, AfterValidator(_encodable)]


class Finding(BaseModel):
    """What one checker says of one expectation.

    `expected` and `observed` are sentences fit for a table cell with their units;
    `n` is the number of observations behind `observed`, `interval` its 95 %
    interval where it is a share or a quantile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: Text
    subject: Text
    verdict: Verdict
    expected: Text
    observed: Text
    detail: Text = ""
    n: int | None = None
    interval: tuple[float, float] | None = None
    file: str | None = None
    line: int | None = None


class Result(BaseModel):
    """One judged thing: an experiment, a contract, a load profile, a case of an exploration; `gate`: a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: Literal[
        "contracts", "experiments", "load", "telemetry", "alerts", "dashboards", "exploration", "lint", "gate"
    ]
    name: Text
    title: Text
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    directory: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return worst(finding.verdict for finding in self.findings)

    @property
    def certain(self) -> bool:
        """Whether each finding is a yes or a no; a refuted result may hold what nobody knows, too."""
        known = (Verdict.CONFIRMED, Verdict.REFUTED)
        return bool(self.findings) and all(finding.verdict in known for finding in self.findings)


class Part(BaseModel):
    """Which of the `of` shards of a gate this was, and what it judged without a finding. The rest is the same of all.

    `planned`: by suite the names of what all shards run; `together`: the suites that judge when all have run.
    `catalogue` is a digest of what a gate reads of the project, `commit` is empty outside of a repository.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    set_aside: tuple[Result, ...] = ()
    of: int
    commit: str
    catalogue: str
    planned: dict[str, tuple[str, ...]]
    together: tuple[str, ...]
    left_out: tuple[str, ...]


class Verdicts(BaseModel):
    """The content of `verdict.json`: everything one command judged."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    gameday: str
    started: str
    seconds: float
    time_scale: float
    results: tuple[Result, ...]
    left_out: tuple[str, ...] = ()
    verdict: Verdict
    exit_code: int
    part: Part | None = None
