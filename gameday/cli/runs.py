"""`gameday runs list|prune`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="The runs kept on disk.", no_args_is_help=True)
_MIB = 2**20


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="runs")


@app.command("list", epilog="Example: $ gameday runs list --json")
def list_(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """List the runs of this project, the newest first."""
    from gameday import runs
    from gameday.state import State

    found = runs.found(State.find())
    if as_json:
        print(json.dumps([{"id": run.id, "verdict": run.verdict, "directory": str(run.directory)} for run in found]))
        return
    table = Table("run", "verdict", "MiB", "started")
    for run in found:
        started = datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds")
        table.add_row(run.id, run.verdict or "none", f"{run.bytes / _MIB:.1f}", started)
    Console().print(table)


@app.command("prune", epilog="Example: $ gameday runs prune --keep 20")
def prune(keep: int = typer.Option(20, "--keep", min=0, help="How many of the newest to keep.")) -> None:
    """Remove all but the newest runs."""
    from gameday import runs
    from gameday.state import State

    for run in runs.prune(State.find(), keep):
        print(f"removed {_relative(run.directory)}")


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
