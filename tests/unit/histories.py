"""Hand-made histories: a run that went well, and ways to spoil it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from gameday.journal import History, Record

EDGE = "api-gateway->recommendation-svc"
ROUTE = "GET /api/homepage"
ALERT = "RecommendationUnavailable"

# Wall times. Samples come once a second, requests forty times.
CONTROL, INJECT, IN_FORCE, RELEASE, UNDONE, END = 1000.0, 1010.0, 1011.0, 1021.0, 1022.0, 1034.0
OPENED, CLOSED, FIRED, RESOLVED = 1012.0, 1024.0, 1015.0, 1030.0

EXPECT: dict[str, Any] = {
    "users": [
        {
            "route": ROUTE,
            "status": 200,
            "json": {
                "recommendations.source": "fallback",
                "recommendations.items": {"type": "array", "minItems": 1},
            },
            "bad": "<= 1 of 300",
            "p99": "<= 800ms",
            "recovers": "<= 60s",
        }
    ],
    "breaker": [{"edge": EDGE, "opens": "<= 5s", "closes": "<= 35s"}],
    "alerts": [
        {"name": ALERT, "fires": "<= 90s", "resolves": "<= 240s"},
        {"name": "HomepageUnavailable", "silent": True},
    ],
}

Entry = tuple[str, dict[str, Any]]


def lease(**changes: Any) -> dict[str, Any]:
    whole = {
        "id": "kill-1",
        "run": "r",
        "fault": "kill",
        "target": "recommendation-svc",
        "arguments": {},
        "ttl": 300.0,
        "state": "undone",
        "intent_wall": INJECT,
        "in_force_wall": IN_FORCE,
        "undone_wall": UNDONE,
        "in_force": {"holds": True, "facts": {"dead": 1}},
        "exercised": {"holds": True, "facts": {"met": 3}},
        "undone": {"holds": True, "facts": {}},
        "error": None,
        "mend": None,
    }
    return whole | changes


def request(wall: float, **changes: Any) -> Entry:
    fallback = IN_FORCE <= wall <= UNDONE + 1
    answer = {
        "recommendations.source": "fallback" if fallback else "model",
        "recommendations.items": [{"id": "p1"}],
    }
    data = {
        "route": ROUTE,
        "status": 200,
        "ms": 20.0,
        "lag_ms": 1.0,
        "intended_wall": wall,
        "started_wall": wall,
        "json": answer,
        "error": None,
    }
    return "request", data | changes


def sample(wall: float, value: Any = None) -> Entry:
    state = 2 if OPENED <= wall < CLOSED else 0
    labels = {"edge": EDGE, "job": "api-gateway"}
    return "sample", {
        "metric": "circuit_breaker_state",
        "labels": labels,
        "wall": wall,
        "value": state if value is None else value,
    }


def alert(status: str, wall: float, name: str = ALERT, started: float | None = None) -> Entry:
    times = {"started_wall": started or wall - 1, "received_wall": wall, "startsAt": "", "endsAt": ""}
    return "alert", {"name": name, "status": status, "labels": {}, **times}


def firing(wall: float, name: str = ALERT) -> Entry:
    return "alert_state", {"name": name, "labels": {}, "state": "firing", "wall": wall}


def toolkit(**changes: Any) -> Entry:
    runs = [{"name": name, "type": "action", "status": "succeeded"} for name in ("kill", "hold")]
    runs.append({"name": "undo", "type": "rollback", "status": "succeeded"})
    whole = {"status": "completed", "deviated": False, "runs": runs, "steady_before": True, "steady_after": True}
    return "toolkit", whole | changes


def window(name: str, start: float, end: float) -> list[Entry]:
    return [
        ("window", {"window": name, "edge": "start", "wall": start}),
        ("window", {"window": name, "edge": "end", "wall": end}),
    ]


def good() -> list[Entry]:
    """The records of a run of which everything is confirmed."""
    run = {
        "id": "r",
        "suite": "experiments",
        "experiment": "recommendation-down",
        "title": "Recommendation dies",
        "time_scale": 30.0,
        "scrape_interval": 1.0,
        "slack": {"users": 0.5, "breaker": 1.5, "alerts": 3.5},
        "expect": copy.deepcopy(EXPECT),
        "file": "experiments/recommendation-down.yaml",
        "lines": {"users.0": 35, "breaker.0": 44, "alerts.0": 46, "alerts.1": 47},
    }
    entries: list[Entry] = [("run", run)]
    entries += window("control", CONTROL, INJECT)
    entries += window("fault", INJECT, RELEASE)
    entries += window("recovery", UNDONE, END)
    entries += [request(CONTROL + number / 40) for number in range(int((END - CONTROL) * 40))]
    for number in range(int(END - CONTROL) + 1):
        entries.append(("scrape", {"job": "api-gateway", "instance": "a", "wall": CONTROL + number, "up": 1.0}))
        entries.append(sample(CONTROL + number))
    entries += [firing(FIRED - 0.5 + number) for number in range(15)]
    entries += [alert("firing", FIRED), alert("resolved", RESOLVED, started=FIRED - 1)]
    entries.append(("lease", {"phase": "undone", "lease": lease()}))
    entries += [toolkit(), ("end", {})]
    return entries


def history(entries: list[Entry], *, torn: bool = False) -> History:
    return History(tuple(Record(number, 0.0, float(number), *entry) for number, entry in enumerate(entries)), torn)


def without(kind: str, when: Callable[[dict[str, Any]], bool] = lambda _: True) -> Callable[[list[Entry]], list[Entry]]:
    """Takes the records of `kind` away for which `when` holds."""
    return lambda entries: [entry for entry in entries if entry[0] != kind or not when(entry[1])]


def change(
    kind: str, when: Callable[[dict[str, Any]], bool] = lambda _: True, **changes: Any
) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [
        (name, data | changes) if name == kind and when(data) else (name, data) for name, data in entries
    ]


def add(*more: Entry) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [*entries, *more]


def replace(entry: Entry) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [*without(entry[0])(entries), entry]


def leases(*held: dict[str, Any]) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [
        *without("lease")(entries),
        *(("lease", {"phase": "undone", "lease": each}) for each in held),
    ]


def during(start: float, end: float, key: str = "intended_wall") -> Callable[[dict[str, Any]], bool]:
    return lambda data: start <= data[key] < end
