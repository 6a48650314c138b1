"""A running system as the commands that break and load it see it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gameday import alerts as alerting
from gameday.alerts import timers
from gameday.catalogue import Catalogue, compose
from gameday.control import Control, variable
from gameday.durations import TimeScale
from gameday.errors import GamedayError, InputError, Problem
from gameday.state import State
from gameday.tools.jaeger import Jaeger
from gameday.tools.prometheus import Prometheus

# What a notification or a sample takes through the programs of this machine, beyond every timer. Seconds.
HANDLING = 0.5
_POLL = 0.2
_LIST_SECONDS = 5.0


@dataclass(frozen=True)
class Bench:
    """`endpoints` are real addresses, past any proxy: service -> container port -> host:port."""

    control: Control
    catalogue: Catalogue
    status: Mapping[str, Any]
    endpoints: Mapping[str, Mapping[str, str]]
    prometheus: Prometheus | None
    jaeger: Jaeger | None = None

    @classmethod
    def open(cls, state: State) -> Bench:
        """The system that runs in `state`. Raises InputError where none does."""
        control = Control.connect(state.directory)
        status = control.call("status")
        catalogue = compose.load(
            [Path(file) for file in status["files"]],
            environment=os.environ,
            time_scale=status["time_scale"],
            scale=status["scale"],
        )
        endpoints = control.call("endpoints")
        name = catalogue.telemetry.prometheus
        prometheus = Prometheus(f"http://{_first(endpoints, name)}") if name in endpoints else None
        traces = catalogue.telemetry.traces
        jaeger = Jaeger.at(endpoints[traces]) if endpoints.get(traces or "") else None
        return cls(control, catalogue, status, endpoints, prometheus, jaeger)

    def close(self) -> None:
        self.control.close()
        for client in (self.prometheus, self.jaeger):
            if client:
                client.close()

    @property
    def state(self) -> State:
        return self.control.state

    @property
    def scale(self) -> TimeScale:
        return TimeScale(float(self.status["time_scale"]))

    @property
    def lacking(self) -> Sequence[str]:
        """The services of the catalogue that were not started."""
        started = {service["service"] for service in self.status["services"]}
        return [name for name in self.catalogue.services if name not in started]

    def url(self, service: str) -> str:
        if not self.endpoints.get(service):
            raise GamedayError(f"{service} has no port to send requests to")
        return f"http://{_first(self.endpoints, service)}"

    def entries(self, service: str, path: str) -> list[Any]:
        """The JSON list that `service` shows at `path`. Raises GamedayError."""
        url = f"{self.url(service)}{path}"
        try:
            answer = httpx.get(url, timeout=_LIST_SECONDS, trust_env=False).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise GamedayError(f"{url}: {type(error).__name__}: {error}") from error
        if not isinstance(answer, list):
            raise GamedayError(f"{url}: not a JSON list")
        return answer

    def environment(self) -> dict[str, str]:
        """What `gameday env` exports: `GAMEDAY_API_GATEWAY=http://127.0.0.1:3000`."""
        services = (name for name, ports in self.endpoints.items() if ports)
        return {variable(name): self.url(name) for name in services}

    def require_wired(self) -> None:
        if not self.status["wired"]:
            mend = "gameday down && gameday up --wire all"
            raise InputError(Problem("the system runs unwired: nobody would see whether a fault was met", mend))

    def require_whole(self) -> None:
        """Raises GamedayError unless every service is ready and no fault is in force."""
        status = self.control.call("status")
        ill = [f"{each['name']} {each['state']}" for each in status["services"] if each["state"] != "healthy"]
        if ill:
            raise GamedayError(f"the system is not ready: {', '.join(ill)}; mend: gameday status, gameday restart")
        open_states = ("intended", "in-force", "leaked")
        held = [f"{each['fault']} {each['target']}" for each in status["faults"] if each["state"] in open_states]
        if held:
            raise GamedayError(f"faults are in force: {', '.join(held)}; mend: gameday recover")

    def require_quiet(self, expected: Collection[str], limit: float) -> None:
        """Waits at most `limit` seconds until no alert fires and none of `expected` is pending.

        Raises GamedayError where one goes on, or where Prometheus has no rule of an expected name.
        """
        if self.prometheus is None:
            return
        deadline = time.monotonic() + limit
        while loud := _loud(self.prometheus.rules(), expected):
            if time.monotonic() > deadline:
                raise GamedayError(f"an alert is active before the fault: {', '.join(loud)}{self._hint()}")
            time.sleep(_POLL)

    def _hint(self) -> str:
        """An alert on something that nobody started is never silent."""
        return f"; it may be about a service that was not started: {', '.join(self.lacking)}" if self.lacking else ""

    def require_watched(self, limit: float) -> None:
        """Waits at most `limit` seconds until Prometheus knows its targets: a fresh one takes seconds to find them."""
        prometheus = self.prometheus
        if prometheus is not None and not wait(lambda: bool(prometheus.targets()), limit):
            raise GamedayError("Prometheus scrapes nothing; mend: gameday logs prometheus")

    def slack(self, alerts: Collection[str]) -> dict[str, float]:
        """Seconds by which the limit of each kind of expectation is extended, whatever the time scale.

        A scrape, an evaluation and a grouping do not get faster than their floors,
        and a timer at its floor is longer than its production value divided.
        """
        factor = self.scale.factor
        own = sum(timer.scaled(factor) - timer.value / factor for timer in self.catalogue.timers.values())
        scrape = self.prometheus.scrape_interval() if self.prometheus else 0.0
        return {
            "users": round(HANDLING + own, 3),
            "breaker": round(HANDLING + own + scrape, 3),
            "alerts": round(HANDLING + own + scrape + self._alerting(alerts), 3),
        }

    def _alerting(self, names: Collection[str]) -> float:
        """Evaluation and grouping, and what floors add to the windows of the alerts."""
        if self.prometheus is None or not names:
            return 0.0
        evaluation = max((rule["interval"] for rule in self.prometheus.rules() if rule["name"] in names), default=0.0)
        grouping = max(timers.timer(name, self.scale.factor) for name in ("group_wait", "group_interval"))
        return float(evaluation) + grouping + self._floors(names)

    def _floors(self, names: Collection[str]) -> float:
        if self.catalogue.telemetry.slos is None:
            return 0.0
        slos = alerting.read(self.catalogue.telemetry.slos, self.catalogue)
        windows = {each.alert: each.window for each in slos.shares}
        windows |= {each.alert: each.window for each in slos.limit if each.window}
        holds = {each.alert: each.hold for each in slos.held}
        mine = [name for name in holds if name in names]
        return max(
            (self._excess("window", windows.get(name, 0.0)) + self._excess("for", holds[name]) for name in mine),
            default=0.0,
        )

    def _excess(self, name: str, production: float) -> float:
        factor = self.scale.factor
        return timers.timer(name, factor, production) - production / factor if production else 0.0

    def undo(self, run: str) -> Sequence[Mapping[str, Any]]:
        """On a connection of its own: the other may have been interrupted in the middle of a call.

        What leaked was tried for long already, and is tried again by `gameday recover`.
        """
        with Control.connect(self.state.directory) as control:
            leases: Sequence[Mapping[str, Any]] = control.call("leases", run=run)
            if not any(lease["state"] in ("intended", "in-force") for lease in leases):
                return leases
            undone: Sequence[Mapping[str, Any]] = control.call("undo", run=run, timeout=120.0)
            return undone


def wait(condition: Callable[[], bool], limit: float, poll: float = _POLL) -> bool:
    """Whether `condition` held within `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def _first(endpoints: Mapping[str, Mapping[str, str]], service: str | None) -> str:
    return next(iter(endpoints[service or ""].values()))


def _loud(rules: Sequence[Mapping[str, Any]], expected: Collection[str]) -> list[str]:
    missing = set(expected) - {rule["name"] for rule in rules}
    if missing:
        raise GamedayError(f"Prometheus has no alert called {', '.join(sorted(missing))}; mend: gameday alerts build")
    return sorted({rule["name"] for rule in rules if _active(rule, expected)})


def _active(rule: Mapping[str, Any], expected: Collection[str]) -> bool:
    return rule["state"] == "firing" or (rule["name"] in expected and rule["state"] != "inactive")
