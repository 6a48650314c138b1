"""`gameday status`: what runs, where it listens, how much memory it takes, which faults are in force."""

from __future__ import annotations

import json
from typing import Any

import typer

EXAMPLE = "Example: $ gameday status --json"


def register(app: typer.Typer) -> None:
    app.command("status", epilog=EXAMPLE)(run)


def run(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Show the services of the running system and the faults in force.

    Memory is the proportional set size (PSS): pages that processes share are counted
    once in the sum.
    """
    from gameday.control import Control

    with Control.connect() as control:
        status = control.call("status")
    if as_json:
        print(json.dumps(status))
    else:
        _print(status)


def _print(status: dict[str, Any]) -> None:
    from rich.console import Console

    from gameday.cli._services import table

    console = Console(highlight=False)
    console.print(table(status["services"]))
    console.print(
        f"\n{status['total_pss_mb']:.0f} MiB in all, of which gameday itself {status['gameday_pss_mb']:.0f} MiB"
        f"; {'every edge wired' if status['wired'] else 'not wired'}, time scale {status['time_scale']:g}",
        soft_wrap=True,
    )
    for service, url in status["replicated"].items():
        console.print(f"{service}: each replica in turn at {url}", markup=False, soft_wrap=True)
    for service, what in status["substitutions"].items():
        console.print(f"{service}: {what}", style="dim", markup=False, soft_wrap=True)
    for lease in status["faults"]:
        console.print(f"fault {lease['state']}: {lease['fault']} on {lease['target']} ({lease['id']})", style="red")
