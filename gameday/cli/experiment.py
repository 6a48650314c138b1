"""`gameday experiment list|check|run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from gameday.cli._judged import catalogue, files_option, interruptible, show

app = typer.Typer(help="Run Chaos Toolkit experiments and prove what others saw.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="experiment")


@app.command("list", epilog="Example: $ gameday experiment list --json")
def list_(file: list[Path] = files_option(), as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """List the experiments of this project and what each expects."""
    from gameday import experiment

    system = catalogue(file)
    found = experiment.check(experiment.files(system.directory), system)
    rows: list[dict[str, Any]] = [
        {"name": each.name, "title": each.title, "load": each.load.name, "expect": each.expect} for each in found
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("experiment", "title", "load", "expects")
    for row in rows:
        expects = ", ".join(f"{len(entries)} {kind}" for kind, entries in row["expect"].items())
        table.add_row(row["name"], row["title"], row["load"], expects)
    Console().print(table)


@app.command("check", epilog="Example: $ gameday experiment check experiments/recommendation-down.yaml")
def check(
    paths: list[Path] = typer.Argument(..., metavar="FILE...", help="Experiment files."),
    file: list[Path] = files_option(),
) -> None:
    """Find everything that is wrong with experiment files. Starts nothing."""
    from gameday import experiment

    for each in experiment.check(paths, catalogue(file)):
        print(f"{each.source.path}: fine")


@app.command("run", epilog="Example: $ gameday experiment run experiments/recommendation-down.yaml")
def run(
    paths: list[Path] = typer.Argument(..., metavar="FILE...", help="Experiment files, run one after another."),
    file: list[Path] = files_option(),
    out: Path = typer.Option(None, "--out", help="Directory of the results. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Run experiments on the system that runs here, and judge them."""
    from gameday import experiment, gate
    from gameday.progress import Progress

    system = catalogue(file)
    experiments = experiment.check(paths, system)
    with interruptible(), Progress() as progress:
        verdicts, directory = gate.run_experiments(system, experiments, out, progress)
    show(verdicts, directory, as_json)
