"""SLOs as sloth writes them: `prometheus/v1`, https://sloth.dev/specs/default/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gameday.alerts import exchange
from gameday.alerts.exchange import Exchanged
from gameday.alerts.slos import WORKBOOK, Slo, Slos
from gameday.yamlfile import YamlFile


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Alert(_Strict):
    disable: bool = False
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Alerting(_Strict):
    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    page_alert: Alert = Alert()
    ticket_alert: Alert = Alert()


class Events(_Strict):
    error_query: str
    total_query: str


class Raw(_Strict):
    error_ratio_query: str


class Sli(_Strict):
    """Exactly one of the three."""

    events: Events | None = None
    raw: Raw | None = None
    plugin: dict[str, Any] | None = None


class Objective(_Strict):
    """One SLO. `objective` is a percentage."""

    name: str = Field(min_length=1)
    description: str = ""
    objective: float = Field(gt=0, le=100)
    labels: dict[str, str] = Field(default_factory=dict)
    plugins: dict[str, Any] | None = None
    sli: Sli
    alerting: Alerting


class Spec(_Strict):
    version: Literal["prometheus/v1"]
    service: str = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)
    slo_plugins: dict[str, Any] | None = None
    slos: tuple[Objective, ...] = Field(min_length=1)


def write(slos: Slos, service: str) -> Exchanged:
    """sloth has the four arms of the workbook and no others."""
    document = {"version": "prometheus/v1", "service": service, "slos": [_written(slo) for slo in slos.slo]}
    lost = [f"slo {slo.name}: arms other than the workbook's" for slo in slos.slo if not _usual(slo)]
    return Exchanged(documents=[document] if slos.slo else [], lost=[*lost, *exchange.unpromised(slos)])


def _written(slo: Slo) -> dict[str, Any]:
    annotations = {"summary": slo.summary} | ({"dashboard": slo.dashboard} if slo.dashboard else {})
    severities = {arm.severity for arm in slo.arm}
    return {
        "name": slo.name,
        "objective": slo.objective,
        "description": slo.description,
        "sli": {
            "events": {
                "error_query": _errors(slo),
                "total_query": exchange.total(slo),
            }
        },
        "alerting": {
            "name": slo.alert,
            "annotations": annotations,
            **{
                f"{severity}_alert": {"labels": {"severity": severity}} if severity in severities else {"disable": True}
                for severity in ("page", "ticket")
            },
        },
    }


def _errors(slo: Slo) -> str:
    return f"{exchange.total(slo)} - {exchange.good(slo)}"


def _usual(slo: Slo) -> bool:
    severities = {arm.severity for arm in slo.arm}
    return slo.arm == tuple(arm for arm in WORKBOOK if arm.severity in severities)


def read(path: Path) -> Exchanged:
    """Raises InputError with all that the file has wrong. An SLO of anything but a route's probes is lost."""
    file = YamlFile.read(path)
    spec: Spec = file.validate(Spec, file.data)
    lost = [f"{key}: gameday has no such thing" for key in ("labels", "slo_plugins") if getattr(spec, key)]
    offered = []
    for index, each in enumerate(spec.slos):
        events = each.sli.events
        probed = exchange.probed(events.error_query, events.total_query) if events else None
        lost += [f"slo {each.name}: {told}" for told in _lost(each)]
        if probed is None:
            lost.append(f"slo {each.name}: left out: {exchange.NO_PROBE}")
        else:
            offered.append((("slos", index), _promised(each, probed)))
    found = exchange.validated(file, offered)
    for slo, (location, _) in zip(found, offered, strict=True):
        events = spec.slos[int(location[1])].sli.events
        if events and (events.error_query, events.total_query) != (_errors(slo), exchange.total(slo)):
            lost.append(f"slo {slo.name}: {exchange.OTHER_QUERY}")
    return Exchanged(slos=found, lost=lost)


def _promised(told: Objective, route: str) -> dict[str, Any]:
    annotations = told.alerting.annotations
    return {
        "name": told.name,
        "route": route,
        "objective": told.objective,
        "alert": told.alerting.name,
        "summary": annotations.get("summary") or told.name,
        "description": told.description or told.name,
        "dashboard": annotations.get("dashboard"),
        "arm": [arm for arm in WORKBOOK if not getattr(told.alerting, f"{arm.severity}_alert").disable],
    }


def _lost(told: Objective) -> Iterator[str]:
    alerting = told.alerting
    places = {
        "labels": told.labels,
        "plugins": told.plugins or {},
        "alerting.labels": alerting.labels,
        "alerting.annotations": {key: 1 for key in alerting.annotations if key not in ("summary", "dashboard")},
    }
    for severity in ("page", "ticket"):
        alert: Alert = getattr(alerting, f"{severity}_alert")
        places[f"alerting.{severity}_alert.labels"] = {
            key: value for key, value in alert.labels.items() if (key, value) != ("severity", severity)
        }
        places[f"alerting.{severity}_alert.annotations"] = alert.annotations
    for place, values in places.items():
        if values:
            yield f"{place}: {', '.join(values)}"
