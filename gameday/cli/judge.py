"""`gameday judge`: a stored history, judged again; or those of all shards of a gate, as one."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from gameday.cli._judged import catalogue, files_option, show


def register(app: typer.Typer) -> None:
    app.command("judge", epilog="Example: $ gameday judge .gameday/runs/20261125-031500-recommendation-down")(run)


def run(
    directories: list[Path] = typer.Argument(..., help="The directory of a run, or those of all shards of a gate."),
    file: list[Path] = files_option(),
    out: Path = typer.Option(None, "--out", help="Directory of the reports of all shards. Default: none are written."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Judge the history of a run again, or those of `gameday gate --shard 1/4` and its like as one gate.

    The same history gives the same verdict; nothing is started. Of shards, one that is missing or crashed is
    inconclusive; one that is there twice, or of another commit or catalogue, is refused.
    """
    from gameday import gate
    from gameday.judge import JOURNAL, judge, read
    from gameday.merge import merge

    began, first = time.monotonic(), directories[0]
    if len(directories) > 1 or (not (first / JOURNAL).exists() and (first / "verdict.json").exists()):
        merged = merge(directories, catalogue(file))
        if out:
            gate.write(merged, out)
        show(merged, out or first, as_json)
    result = judge(read(first), first)
    scale = float(result.facts.get("time_scale", 1.0))
    show(gate.conclude([result], began, gate.now(), scale), first, as_json)
