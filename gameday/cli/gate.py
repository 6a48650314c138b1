"""`gameday gate`: every suite in one go, with one exit code and one report."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from gameday.cli._judged import files_option, interruptible, show

EXAMPLE = "Example: $ gameday gate contracts --time-scale 30 --out report"


def register(app: typer.Typer) -> None:
    app.command("gate", epilog=EXAMPLE)(run)


def run(  # noqa: PLR0917 - options of a command line
    suites: list[str] = typer.Argument(None, help="Suites, such as contracts and experiments. Default: all."),
    file: list[Path] = files_option(),
    time_scale: float = typer.Option(30.0, "--time-scale", min=1.0, max=100.0, help="How much faster timers run."),
    everything: bool = typer.Option(False, "--all", help="Run what the covering set leaves out, too."),
    since: str = typer.Option(None, "--since", help="Run what the services that changed since this commit touch."),
    shard: str = typer.Option(None, "--shard", help="Run one part of it: 2/4 is the second of four."),
    out: Path = typer.Option(None, "--out", help="Directory of the reports. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Run the suites on the system that runs, or on one started for them and ended after.

    Writes report.html, junit.xml, verdict.json and summary.md. With --shard, what falls to others is listed, and
    `gameday judge DIR...` makes one verdict of the directories of all shards.
    """
    from gameday.catalogue import compose
    from gameday.gate import gate
    from gameday.progress import Progress
    from gameday.shards import Shard

    part = Shard.read(shard) if shard else None
    files = file or compose.find(Path.cwd(), os.environ)
    with interruptible(), Progress() as progress:
        verdicts, directory = gate(
            files, suites or (), time_scale, out, progress, everything=everything, since=since, shard=part
        )
    show(verdicts, directory, as_json)
