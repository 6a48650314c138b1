"""SLOs as OpenSLO writes them: `openslo/v1`, https://github.com/OpenSLO/OpenSLO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gameday.alerts import exchange
from gameday.alerts.exchange import Exchanged
from gameday.alerts.slos import Arm, Slo, Slos
from gameday.alerts.timers import prometheus
from gameday.durations import seconds
from gameday.errors import InputError, Problem
from gameday.yamlfile import YamlFile

VERSION = "openslo/v1"
# In front of what OpenSLO has no key for.
_OURS = "gameday/"
# What OpenSLO's durations have of ours.
_UNITS = "mhd"
_OTHER_KINDS = ("DataSource", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service")
# How many times longer than its short window an arm's long one is: SRE workbook, chapter 5.
_SHORT = 12


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metadata(_Strict):
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    displayName: str = ""
    labels: dict[str, str | list[str]] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class MetricSource(_Strict):
    """`spec` is whatever the source takes: a `query`, here."""

    metricSourceRef: str | None = None
    type: str | None = None
    spec: dict[str, Any]


class Metric(_Strict):
    metricSource: MetricSource

    @property
    def query(self) -> str:
        return str(self.metricSource.spec.get("query", ""))


class Ratio(_Strict):
    counter: bool = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    rawType: Literal["success", "failure"] | None = None
    raw: Metric | None = None


class SliSpec(_Strict):
    description: str = ""
    ratioMetric: Ratio | None = None
    thresholdMetric: dict[str, Any] | None = None


class Sli(_Strict):
    metadata: Metadata | None = None
    spec: SliSpec


class Burn(_Strict):
    kind: Literal["burnrate"] = "burnrate"
    op: Literal["lte", "gte", "lt", "gt"]
    threshold: float
    lookbackWindow: str
    alertAfter: str = "0m"


class ConditionSpec(_Strict):
    description: str = ""
    severity: str
    condition: Burn


class Condition(_Strict):
    kind: Literal["AlertCondition"] = "AlertCondition"
    metadata: Metadata
    spec: ConditionSpec


class Objective(_Strict):
    displayName: str = ""
    target: float | None = Field(default=None, ge=0, lt=1)
    targetPercent: float | None = Field(default=None, ge=0, lt=100)
    op: str | None = None
    value: float | None = None
    timeSliceTarget: float | None = None
    timeSliceWindow: str | float | None = None
    indicator: dict[str, Any] | None = None
    indicatorRef: str | None = None
    compositeWeight: float | None = None

    @property
    def percent(self) -> float | None:
        return round(self.target * 100, 10) if self.targetPercent is None and self.target else self.targetPercent


class Spec(_Strict):
    description: str = Field(default="", max_length=1050)
    service: str = ""
    indicator: Sli | None = None
    indicatorRef: str | None = None
    timeWindow: list[dict[str, Any]] = Field(default_factory=list, max_length=1)
    budgetingMethod: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: list[Objective] = Field(min_length=1)
    alertPolicies: list[dict[str, Any]] = Field(default_factory=list)


class Document(_Strict):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: Spec


def write(slos: Slos, service: str) -> Exchanged:
    """A document an SLO. Raises InputError where a window is none that OpenSLO can say."""
    return Exchanged(
        documents=[_written(slo, service) for slo in slos.slo],
        lost=[
            *(f"slo {slo.name}: OpenSLO has one window an alert; the short ones are annotations" for slo in slos.slo),
            *exchange.unpromised(slos),
        ],
    )


def _written(slo: Slo, service: str) -> dict[str, Any]:
    annotations = {f"{_OURS}route": slo.route, f"{_OURS}alert": slo.alert}
    annotations |= {f"{_OURS}dashboard": slo.dashboard} if slo.dashboard else {}
    good, total = ({"metricSource": {"type": "Prometheus", "spec": {"query": query(slo)}}} for query in _QUERIES)
    return {
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {"name": slo.name, "displayName": slo.summary, "annotations": annotations},
        "spec": {
            "description": slo.description,
            "service": service,
            "indicator": {
                "metadata": {"name": f"{slo.name}-probes"},
                "spec": {"ratioMetric": {"counter": False, "good": good, "total": total}},
            },
            "budgetingMethod": "Occurrences",
            "objectives": [{"targetPercent": slo.objective}],
            "alertPolicies": [_policy(slo, arm) for arm in slo.arm],
        },
    }


_QUERIES = (exchange.good, exchange.total)
_TARGET = {
    "kind": "AlertNotificationTarget",
    "metadata": {"name": "alertmanager"},
    "spec": {"target": "alertmanager"},
}


def _policy(slo: Slo, arm: Arm) -> dict[str, Any]:
    name = f"{slo.name}-{_duration(slo, arm.long)}-{_duration(slo, arm.short)}"
    condition = {
        "kind": "AlertCondition",
        "metadata": {"name": name, "annotations": {f"{_OURS}short": _duration(slo, arm.short)}},
        "spec": {
            "severity": arm.severity,
            "condition": {
                "kind": "burnrate",
                "op": "gt",
                "threshold": arm.burn,
                "lookbackWindow": _duration(slo, arm.long),
                "alertAfter": "0m",
            },
        },
    }
    return {
        "kind": "AlertPolicy",
        "metadata": {"name": name},
        "spec": {
            "alertWhenBreaching": True,
            "alertWhenResolved": True,
            "conditions": [condition],
            "notificationTargets": [_TARGET],
        },
    }


def _duration(slo: Slo, window: float) -> str:
    text = prometheus(window)
    if text[-1] not in _UNITS or text.endswith("ms"):
        message = f"a window of {text} in the SLO {slo.name}: OpenSLO counts in minutes"
        raise InputError(Problem(message, "use whole minutes", value=text))
    return text


def read(path: Path) -> Exchanged:
    """Raises InputError with all that the file has wrong. An SLO of anything but a route's probes is lost."""
    slos: list[Slo] = []
    lost: list[str] = []
    problems: list[Problem] = []
    for file in YamlFile.documents(path):
        try:
            told = _Document(file, lost).slo()
        except InputError as error:
            problems += error.problems
        else:
            slos += [told] if told else []
    if problems:
        raise InputError(problems)
    return Exchanged(slos=slos, lost=lost)


class _Document:
    """One document of a file; what it has and we do not goes to `lost`."""

    def __init__(self, file: YamlFile, lost: list[str]) -> None:
        self.file = file
        self.all_lost = lost

    def slo(self) -> Slo | None:
        kind = self.file.data.get("kind")
        if kind in _OTHER_KINDS:
            metadata = self.file.data.get("metadata")
            name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
            self.all_lost.append(f"{kind} {name}: only SLOs are read, with what stands inside them")
            return None
        told: Document = self.file.validate(Document, self.file.data)
        self.name = told.metadata.name
        route, why = _route(told.spec)
        if route is None:
            self.lose(f"left out: {why}")
            return None
        for key, held in (("metadata.labels", told.metadata.labels), ("timeWindow", told.spec.timeWindow)):
            if held:
                self.lose(f"{key}: gameday has no such thing")
        (found,) = exchange.validated(self.file, [((), self.promised(told, route))])
        if told.spec.indicator and told.spec.indicator.spec.ratioMetric:
            ratio = told.spec.indicator.spec.ratioMetric
            queries = tuple(each.query for each in (ratio.good, ratio.total) if each)
            if queries != (exchange.good(found), exchange.total(found)):
                self.lose(exchange.OTHER_QUERY)
        return found

    def lose(self, what: str) -> None:
        self.all_lost.append(f"slo {self.name}: {what}")

    def promised(self, told: Document, route: str) -> dict[str, Any]:
        annotations = told.metadata.annotations
        alert = annotations.get(f"{_OURS}alert")
        if alert is None:
            alert = "".join(part.capitalize() for part in self.name.split("-")) + "Unavailable"
            self.lose(f"it names no alert: called {alert}")
        arms = [arm for number, policy in enumerate(told.spec.alertPolicies) for arm in self.arms(number, policy)]
        data = {
            "name": self.name,
            "route": route,
            "objective": told.spec.objectives[0].percent,
            "alert": alert,
            "summary": told.metadata.displayName or self.name,
            "description": told.spec.description or told.metadata.displayName or self.name,
            "dashboard": annotations.get(f"{_OURS}dashboard"),
        }
        return data | ({"arm": arms} if arms else {})

    def arms(self, number: int, policy: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        at = ("spec", "alertPolicies", number)
        conditions = policy.get("spec", {}).get("conditions", []) if isinstance(policy.get("spec"), Mapping) else []
        if not conditions:
            self.lose(f"alertPolicies[{number}]: only conditions that stand inside it are read")
        for index, each in enumerate(conditions):
            if not isinstance(each, Mapping) or "conditionRef" in each:
                self.lose(f"alertPolicies[{number}]: its condition stands elsewhere")
                continue
            condition: Condition = self.file.validate(Condition, each, (*at, "spec", "conditions", index))
            if arm := self.arm(number, condition):
                yield arm

    def arm(self, number: int, told: Condition) -> dict[str, Any] | None:
        burn = told.spec.condition
        if told.spec.severity not in ("page", "ticket") or burn.op not in ("gt", "gte"):
            self.lose(
                f"alertPolicies[{number}]: severity {told.spec.severity}, op {burn.op}: page and ticket, gt are read"
            )
            return None
        if burn.alertAfter != "0m":
            self.lose(f"alertPolicies[{number}]: alertAfter {burn.alertAfter}")
        short = told.metadata.annotations.get(f"{_OURS}short")
        if short is None:
            short = prometheus(seconds(burn.lookbackWindow) / _SHORT)
            self.lose(f"alertPolicies[{number}]: no short window: {short}, a twelfth")
        return {"severity": told.spec.severity, "long": burn.lookbackWindow, "short": short, "burn": burn.threshold}


def _route(spec: Spec) -> tuple[str | None, str]:
    """The route that the SLO promises, or why there is none."""
    ratio = spec.indicator.spec.ratioMetric if spec.indicator else None
    if spec.budgetingMethod != "Occurrences":
        return None, f"budgetingMethod {spec.budgetingMethod}; Occurrences is read"
    if len(spec.objectives) != 1:
        return None, "several objectives; one is read"
    if ratio is None or ratio.total is None or (ratio.good or ratio.bad) is None:
        return None, "no ratioMetric of good or bad and total that stands inside it"
    queries = [each.query for each in (ratio.good, ratio.bad, ratio.total) if each]
    return exchange.probed(*queries), exchange.NO_PROBE
