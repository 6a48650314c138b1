"""`gameday load list|run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from gameday.cli._judged import catalogue, files_option, interruptible, show
from gameday.durations import seconds

app = typer.Typer(help="Send load at a constant rate and hold it to thresholds.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="load")


@app.command("list", epilog="Example: $ gameday load list --json")
def list_(file: list[Path] = files_option(), as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """List the load profiles of this project."""
    from gameday import load

    system = catalogue(file)
    profiles = [load.read(name, system) for name in load.names(system.directory)]
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "title": each.profile.title,
            "rate": sum(arrivals.rate for arrivals in each.profile.users),
            "duration": each.profile.duration,
            "routes": list(each.profile.routes),
            "gate": each.profile.gate,
        }
        for each in profiles
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("profile", "title", "arrivals/s", "seconds", "routes", "in the gate")
    for row in rows:
        cells = (row["name"], row["title"], row["rate"], row["duration"], ", ".join(row["routes"]), row["gate"])
        table.add_row(*map(str, cells))
    Console().print(table)


@app.command("run", epilog="Example: $ gameday load run steady-homepage --duration 10s")
def run(
    profile: str = typer.Argument(..., help="A profile of loadtests/profiles."),
    file: list[Path] = files_option(),
    duration: str = typer.Option(None, "--duration", help="Such as 20s. Default: the profile's."),
    out: Path = typer.Option(None, "--out", help="Directory of the results. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Run a load profile on the system that runs here, without any fault."""
    from gameday import gate, load
    from gameday.errors import InputError, Problem
    from gameday.progress import Progress

    system = catalogue(file)
    chosen = load.read(profile, system)
    try:
        lasting = seconds(duration) if duration else None
    except ValueError as error:
        raise InputError(Problem(str(error), "write it as 20s or 1m", key="--duration", value=duration)) from None
    with interruptible(), Progress() as progress:
        verdicts, directory = gate.run_load(system, chosen, lasting, out, progress)
    show(verdicts, directory, as_json)
