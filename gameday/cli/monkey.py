"""`gameday monkey`: breaks edges at random for a while, and again in the same order by its seed."""

from __future__ import annotations

import random
from pathlib import Path

import typer

from gameday.cli._judged import catalogue, files_option, interruptible, seconds, show
from gameday.cli.explore import edge_option, fault_option, hold_option, load_option, print_pairs

EXAMPLE = "Example: $ gameday monkey --seed 7 --for 1s --hold 1s --fault down"


def register(app: typer.Typer) -> None:
    app.command("monkey", epilog=EXAMPLE)(run)


def run(  # noqa: PLR0917 - options of a command line
    file: list[Path] = files_option(),
    seed: int = typer.Option(None, "--seed", help="Draws the same faults in the same order. Default: a new one."),
    lasting: str = typer.Option("10m", "--for", help="New faults are drawn for so long."),
    edge: list[str] = edge_option(),
    fault: list[str] = fault_option(),
    load: str = load_option(),
    hold: str = hold_option(),
    time_scale: float = typer.Option(30.0, "--time-scale", min=1.0, max=100.0, help="How much faster timers run."),
    out: Path = typer.Option(None, "--out", help="Directory of the reports. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Break edges at random, one fault after another, under load, and judge each as `gameday explore` does.

    One at a time, and each from a system at rest: what goes wrong is due to one fault, which the seed finds again.
    """
    from dataclasses import replace

    from gameday import gate
    from gameday.exploration import Draw, Exploration
    from gameday.progress import Progress

    drawn = Draw(random.randrange(10_000) if seed is None else seed, seconds("--for", lasting))  # noqa: S311
    system = catalogue(file)
    wanted = replace(Exploration.of(system, edge, fault, load, seconds("--hold", hold)), draw=drawn)
    with interruptible(), Progress() as progress:
        progress.say(f"seed {drawn.seed}")
        verdicts, directory = gate.explore(system, wanted, time_scale, out, progress)
    if as_json:
        show(verdicts, directory, as_json=True)
    print_pairs(verdicts, directory)
    print(f"again: the same command with --seed {drawn.seed}")
    raise typer.Exit(verdicts.exit_code)
