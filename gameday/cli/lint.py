"""`gameday lint`: anti-patterns of a compose system that uses AI."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gameday.cli._judged import catalogue, files_option, seconds, show

if TYPE_CHECKING:
    from gameday.catalogue import Catalogue
    from gameday.lint import Limits, System

EXAMPLE = "Example: $ gameday lint -f docker-compose.yml --traces 0"
_SCALE = 1.0


def register(app: typer.Typer) -> None:
    app.command("lint", epilog=EXAMPLE)(run)


def run(
    file: list[Path] = files_option(),
    *,
    calls: int = typer.Option(5, "--calls", min=1, help="Calls on one edge for one request that are not too many."),
    wait: str = typer.Option("2s", "--wait", help="How long a request may wait for one call."),
    dependencies: int = typer.Option(3, "--dependencies", min=1, help="Models that one service may load and ask."),
    traces: int = typer.Option(
        500, "--traces", min=0, max=10_000, help="How many of the newest to read. 0: the file alone."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON."),
) -> None:
    """Find what makes a system of AI services slow, fragile or hard to change.

    Reads the compose file and, where this system runs, its connections and traces; nothing is started. Exits with 1
    where something was found. What could not be looked at is told.
    """
    from gameday import gate
    from gameday.lint import Limits, lint

    began, today = time.monotonic(), datetime.now(UTC).date()
    system = _system(catalogue(file), Limits(calls, seconds("--wait", wait), dependencies), traces)
    results, unseen = lint(system, today)
    show(gate.conclude(results, began, gate.now(), _SCALE, unseen), Path(), as_json)


def _system(described: Catalogue, limits: Limits, newest: int) -> System:
    """With what was observed, where this very system runs, unless the file alone is to be read."""
    from gameday.catalogue.edges import observe
    from gameday.cli import _running
    from gameday.lint import System, read

    if not newest:
        return System(described, limits=limits)
    with _running.supervisor(described) as control:
        if control is None:
            return System(described, limits=limits)
        seen = control.call("connections", timeout=_running.ANSWER_SECONDS)
        described = observe(described, [(each["from"], each["to"], each["port"]) for each in seen])
        if described.telemetry.traces is None or described.entry is None:
            why = "x-gameday names no service that keeps traces, or none that users reach first"
            return System(described, untraced=why, limits=limits)
        store = _running.traces(described, control)
    try:
        requests = read(store.recent(described.entry, newest), described.entry)
    finally:
        store.close()
    return System(described, requests, f"no request to {described.entry} among the newest {newest} traces", limits)
