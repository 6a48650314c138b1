"""`gameday judge`: a stored history, judged again."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from gameday.cli._judged import show


def register(app: typer.Typer) -> None:
    app.command("judge", epilog="Example: $ gameday judge .gameday/runs/20261125-031500-recommendation-down")(run)


def run(
    directory: Path = typer.Argument(..., help="The directory of a run."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Judge the history of a run again. The same history gives the same verdict; nothing is started or written."""
    from gameday import gate
    from gameday.judge import judge, read

    began = time.monotonic()
    result = judge(read(directory), directory)
    scale = float(result.facts.get("time_scale", 1.0))
    show(gate.conclude([result], began, gate.now(), scale), directory, as_json)
