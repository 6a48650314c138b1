"""The running system as the page asks for it. Every question goes over a connection of its own."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from gameday import activities, dashboards, runs
from gameday.catalogue import Catalogue, compose
from gameday.catalogue.edges import observe
from gameday.checks.breaker import METRIC
from gameday.control import Control, nothing_runs
from gameday.errors import GamedayError, InputError, Problem
from gameday.state import State
from gameday.tools.prometheus import Prometheus
from gameday.view import board as boards
from gameday.view import edgemap, figure
from gameday.view.board import Board, Range

_BREAKERS = f"max by (edge) ({METRIC})"
_CALL_SECONDS = 180.0
_MIB = 2**20


class GoneError(GamedayError):
    """No system runs any more, or not yet."""


@dataclass(frozen=True)
class Running:
    """`longest` is how long a fault may last, in seconds.

    `prometheus` is an address, None: that of the system. `directory` holds the JSON of boards, None: `_gen` of the
    system's own. All methods raise GoneError where no system runs, and may wait: call them from threads.
    """

    state: State
    longest: float
    prometheus: str | None = None
    directory: Path | None = None
    run: str = field(default_factory=lambda: f"view-{secrets.token_hex(4)}")

    def map(self) -> dict[str, Any]:
        with self._control() as control:
            status, leases, wires, connections = (
                control.call(op) for op in ("status", "leases", "wires", "connections")
            )
        catalogue = observe(self._catalogue(), [(each["from"], each["to"], each["port"]) for each in connections])
        breakers, silent = self._breakers()
        wired = frozenset((wire["edge"], wire["port"]) for wire in wires)
        seen = edgemap.Seen(status, leases, wired, breakers, time.time())
        told = {key: status[key] for key in ("ready", "failure", "wired", "time_scale", "state")}
        return {**told, "prometheus": silent, **edgemap.document(catalogue, seen, self.run)}

    def faults(self, target: str) -> dict[str, Any]:
        """Those that can be put in force on `target`, and for how long at most."""
        return {"longest": self.longest, "faults": edgemap.faults(self._catalogue(), target)}

    def inject(self, fault: str, target: str, arguments: Mapping[str, Any], ttl: float) -> dict[str, Any]:
        """The lease. Raises InputError where the supervisor refuses, GamedayError where the fault was not seen."""
        if not 0 < ttl <= self.longest:
            mend = f"ask for at most {self.longest:g}s, or start gameday view with a longer --lease"
            raise InputError(Problem(f"a fault from here cannot last {ttl:g}s", mend, key="seconds", value=ttl))
        with self._control() as control:
            return activities.put_in_force(control, fault, target, arguments, ttl=ttl, run=self.run)

    def undo(self, lease: str) -> dict[str, Any]:
        """The lease as it ended. Those of others, of an experiment say, are theirs to undo."""
        with self._control() as control:
            if lease not in {each["id"] for each in control.call("leases", run=self.run)}:
                raise InputError(Problem(f"{lease} is no lease of this page", "gameday recover --all", key="lease"))
            (ended,) = control.call("undo", lease=lease, timeout=_CALL_SECONDS)
        if ended["state"] == "leaked":
            raise GamedayError(f"{lease} leaked: {ended['error']}; mend: {ended['mend']}")
        told: dict[str, Any] = ended
        return told

    def close(self) -> list[dict[str, Any]]:
        """Undoes all that was put in force here; what leaked. Where the system has ended, so have its faults."""
        with suppress(GoneError), self._control() as control:
            ended = control.call("undo", run=self.run, timeout=_CALL_SECONDS)
            return [lease for lease in ended if lease["state"] == "leaked"]
        return []

    def boards(self) -> list[Board]:
        """As their files are now: a board that is built again is shown at the next look."""
        place = self.directory or self._catalogue().directory / "dashboards" / dashboards.GENERATED
        return [boards.read(path) for path in sorted(place.glob("*.json"))]

    def board(self, uid: str) -> Board:
        """Raises KeyError where there is none."""
        return {each.uid: each for each in self.boards()}[uid]

    def variables(self, board: Board) -> list[dict[str, Any]]:
        """Each variable with its values as Prometheus has them now."""
        found = []
        for each in board.variables:
            asked = each.label_values()
            values = each.listed() if asked is None else self._source().label_values(asked[1], asked[0])
            every = [boards.ALL] if each.every else []
            chosen = each.default if each.default in (*every, *values) else next(iter((*every, *values)), "")
            found.append({"name": each.name, "label": each.label, "values": [*every, *values], "value": chosen})
        return found

    def panel(self, board: Board, number: int, seconds: float, variables: Mapping[str, str]) -> figure.Drawn:
        """The last `seconds` of it. Raises KeyError where there is none, GamedayError where nobody answers."""
        panel, source = board.panel(number), self._source()
        asked = Range.last(seconds, time.time(), source.scrape_interval())
        found = [
            source.range(boards.expression(query.expr, variables, asked), asked.start, asked.end, asked.step)
            for query in panel.queries
        ]
        return figure.draw(panel, figure.lines(panel, found), asked)

    def runs(self) -> list[dict[str, Any]]:
        """The newest first, with the path of the report where there is one."""
        return [
            {
                "id": run.id,
                "verdict": run.verdict,
                "started": datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds"),
                "mib": round(run.bytes / _MIB, 1),
                "report": f"/runs/{run.id}/report.html" if (run.directory / "report.html").exists() else None,
            }
            for run in runs.found(self.state)
        ]

    def report(self, identity: str) -> Path:
        """Raises KeyError where no such run was kept with a report."""
        path = {run.id: run.directory for run in runs.found(self.state)}[identity] / "report.html"
        if not path.exists():
            raise KeyError(identity)
        return path

    def _control(self) -> Control:
        try:
            return Control.connect(self.state.directory)
        except InputError as error:
            raise GoneError(str(error)) from None

    def _catalogue(self) -> Catalogue:
        told = self.state.describe()
        if told is None:
            raise GoneError(nothing_runs(self.state).message)
        return _load(tuple(told["files"]), tuple(told["profiles"]), tuple(told["scale"].items()), told["pid"])

    def _breakers(self) -> tuple[Mapping[str, float] | None, str | None]:
        """The gauge by edge; None, and why, where nobody can be asked."""
        try:
            return {sample.labels.get("edge", ""): sample.value for sample in self._source().instant(_BREAKERS)}, None
        except GamedayError as error:
            return None, str(error)

    def _source(self) -> Prometheus:
        if self.prometheus:
            return _client(self.prometheus)
        name = self._catalogue().telemetry.prometheus
        if name is None:
            raise GamedayError("this system names no Prometheus (x-gameday: telemetry: prometheus)")
        with self._control() as control:
            ports = control.call("endpoints").get(name)
        if not ports:
            raise GamedayError(f"{name} does not run here")
        return _client(f"http://{next(iter(ports.values()))}")


@lru_cache(maxsize=2)
def _load(
    files: Sequence[str], profiles: Sequence[str], scale: Sequence[tuple[str, int]], supervisor: int
) -> Catalogue:
    """Read once for each system: `supervisor` is the process that runs it."""
    del supervisor
    return compose.load(list(map(Path, files)), environment=os.environ, profiles=profiles, scale=dict(scale))


@lru_cache(maxsize=4)
def _client(url: str) -> Prometheus:
    return Prometheus(url)
