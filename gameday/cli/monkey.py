"""`gameday monkey`: breaks edges and services at random for a while, and again in the same order by its seed."""

from __future__ import annotations

import random
from pathlib import Path

import typer
from rich.table import Table

from gameday.cli._judged import catalogue, files_option, interruptible, seconds, show, wide_console
from gameday.cli.explore import edge_option, fault_option, hold_option, load_option, print_cases
from gameday.report.words import clock
from gameday.verdict import Verdicts

EXAMPLE = "Example: $ gameday monkey --seed 7 --for 1s --hold 1s --fault down"


def register(app: typer.Typer) -> None:
    app.command("monkey", epilog=EXAMPLE)(run)


def run(  # noqa: PLR0917 - options of a command line
    file: list[Path] = files_option(),
    seed: int = typer.Option(None, "--seed", help="Draws the same faults in the same order. Default: a new one."),
    lasting: str = typer.Option("10m", "--for", help="New faults are drawn for so long."),
    edge: list[str] = edge_option(),
    service: list[str] = typer.Option([], "--service", help="May be repeated. Default: all, unless edges are named."),
    fault: list[str] = fault_option(", kill, stop, pause or cpu"),
    at_once: int = typer.Option(1, "--at-once", min=1, help="How many faults are in force at a time."),
    load: str = load_option(),
    hold: str = hold_option(),
    time_scale: float = typer.Option(30.0, "--time-scale", min=1.0, max=100.0, help="How much faster timers run."),
    out: Path = typer.Option(None, "--out", help="Directory of the reports. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Break edges and services at random under load, and judge what users saw as `gameday explore` does.

    Each time from a system at rest, and never two faults on one target, or on a service and an edge of it: what goes
    wrong is due to what was in force, which the seed finds again.
    """
    from gameday import gate
    from gameday.cases import Draw
    from gameday.exploration import Exploration
    from gameday.progress import Progress

    drawn = Draw(random.randrange(10_000) if seed is None else seed, seconds("--for", lasting), at_once)  # noqa: S311
    system = catalogue(file)
    wanted = Exploration.of(system, edge, fault, load, seconds("--hold", hold), order=drawn, services=service)
    with interruptible(), Progress() as progress:
        progress.say(f"seed {drawn.seed}")
        verdicts, directory = gate.explore(system, wanted, time_scale, out, progress)
    if as_json:
        show(verdicts, directory, as_json=True)
    print_cases(verdicts, directory)
    print_held(verdicts)
    print(f"again: the same command with --seed {drawn.seed}")
    raise typer.Exit(verdicts.exit_code)


def print_held(verdicts: Verdicts) -> None:
    """What was in force when, as the histories tell."""
    table = Table("in force", "from", "to")
    for result in verdicts.results:
        for held in result.facts.get("in_force", ()):
            table.add_row(f"{held['fault']} {held['target']}", clock(held["from"]), clock(held["to"]))
    wide_console().print(table)
