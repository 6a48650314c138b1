"""The edge map as JSON: services and edges with their places, their health, breakers and the faults in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday.catalogue import Catalogue, Edge, EdgeKind
from gameday.faults import registry
from gameday.leases import OPEN
from gameday.report.timeline import BREAKER_STATES
from gameday.view.layers import HEIGHT, WIDTH, lay_out

UNKNOWN = "unknown"
# What several replicas are together: the first of these that one of them is.
_WORST = ("exited", "stopped", "unhealthy", "starting", "pending", "healthy")


@dataclass(frozen=True)
class Seen:
    """A running system at one moment, `now` in epoch seconds.

    `wires` are the edges that run through a proxy, as (edge, port). `breakers` is the gauge by edge, None
    where nobody could be asked.
    """

    status: Mapping[str, Any]
    leases: Sequence[Mapping[str, Any]]
    wires: frozenset[tuple[str, int | None]]
    breakers: Mapping[str, float] | None
    now: float


def document(catalogue: Catalogue, seen: Seen, run: str) -> dict[str, Any]:
    """`run`: of those leases the page may undo."""
    telemetry = _telemetry(catalogue)
    calls = [edge for edge in catalogue.edges if not _beside(edge, telemetry)]
    layout = lay_out(list(catalogue.services), {(edge.consumer, edge.provider) for edge in calls})
    open_leases = [lease for lease in seen.leases if lease["state"] in OPEN]
    return {
        "width": layout.width,
        "height": layout.height,
        "services": [
            {"x": x, "y": y, "width": WIDTH, "height": HEIGHT, **_service(name, seen.status, open_leases)}
            for name, (x, y) in layout.places.items()
        ],
        "edges": [
            {
                **_edge(catalogue, edge, seen, open_leases),
                "telemetry": _watches(edge, telemetry),
                "points": layout.ways.get((edge.consumer, edge.provider)),
            }
            for edge in catalogue.edges
        ],
        "leases": [_lease(lease, seen.now, run) for lease in open_leases],
    }


def target(catalogue: Catalogue, edge: Edge) -> str:
    """The name by which a fault takes the edge: with the port where a pair has several."""
    one = edge.port is None or len(catalogue.find(edge.name)) == 1
    return edge.name if one else f"{edge.name}:{edge.port}"


def faults(catalogue: Catalogue, name: str) -> list[dict[str, Any]]:
    """Those that take `name`, a service or an edge, for a target, with the JSON schema of their arguments."""
    return [
        {"name": fault, "arguments": make(name, {}).takes.model_json_schema()}
        for fault, make in registry.FAULTS.items()
        if not any(problem.key == "target" for problem in registry.problems(fault, name, {}, catalogue))
    ]


def _telemetry(catalogue: Catalogue) -> frozenset[str]:
    told = catalogue.telemetry
    return frozenset(name for name in (told.prometheus, told.alertmanager, told.traces) if name)


def _beside(edge: Edge, telemetry: frozenset[str]) -> bool:
    """What is no call between services has no say in where they stand."""
    return edge.kind is EdgeKind.MESSAGE or edge.consumer == edge.provider or _watches(edge, telemetry)


def _watches(edge: Edge, telemetry: frozenset[str]) -> bool:
    """What is sent to, or asked by, those that hold what was seen."""
    return edge.provider in telemetry or edge.consumer in telemetry


def _service(name: str, status: Mapping[str, Any], leases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`state` is None where the service is in the file and does not run."""
    replicas = [each for each in status["services"] if each["service"] == name]
    states = {each["state"] for each in replicas}
    names = {name, *(each["name"] for each in replicas)}
    return {
        "name": name,
        "state": next((state for state in _WORST if state in states), None),
        "replicas": [{key: each[key] for key in ("name", "state", "detail", "url")} for each in replicas],
        "leases": [lease["id"] for lease in leases if lease["target"] in names],
    }


def _edge(catalogue: Catalogue, edge: Edge, seen: Seen, leases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = {edge.name, target(catalogue, edge)} if edge.kind is not EdgeKind.MESSAGE else set()
    return {
        "name": target(catalogue, edge),
        "from": edge.consumer,
        "to": edge.provider,
        "port": edge.port,
        "kind": edge.kind.value,
        "evidence": [evidence.value for evidence in edge.evidence],
        "on_loss": edge.on_loss.value if edge.on_loss else None,
        "wired": (edge.name, edge.port) in seen.wires,
        "breaker": _breaker(edge, seen.breakers),
        "leases": [lease["id"] for lease in leases if lease["target"] in names],
    }


def _breaker(edge: Edge, gauge: Mapping[str, float] | None) -> str | None:
    """None where none reports; never closed because nobody could be asked."""
    if edge.kind is EdgeKind.MESSAGE:
        return None
    if gauge is None:
        return UNKNOWN
    value = gauge.get(edge.name)
    if value is None:
        return None
    return BREAKER_STATES[int(value)] if value in range(len(BREAKER_STATES)) else UNKNOWN


def _lease(lease: Mapping[str, Any], now: float, run: str) -> dict[str, Any]:
    """`left` in seconds until the supervisor undoes it by itself."""
    told = {key: lease[key] for key in ("id", "run", "fault", "target", "arguments", "state", "error", "mend")}
    return {
        **told,
        "left": max(0.0, lease["intent_wall"] + lease["ttl"] - now),
        "met": lease["exercised"]["holds"],
        "mine": lease["run"] == run,
    }
