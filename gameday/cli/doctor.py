"""`gameday doctor`: what is needed, what is here, what to install."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from gameday import doctor
from gameday.catalogue import compose
from gameday.catalogue.model import Catalogue

EXAMPLE = "Example: $ gameday doctor"


def register(app: typer.Typer) -> None:
    app.command("doctor", epilog=EXAMPLE)(run)


def run(
    file: list[Path] = typer.Option(
        [], "--file", "-f", help="Compose file; may be repeated. Default: as Docker finds it."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List what the compose file here needs of this machine, and what to install.

    Nothing of the project is executed. Exits with 2 where something is missing.
    """
    items = doctor.examine(_catalogue(file))
    if as_json:
        Console().print_json(data=[asdict(item) for item in items])
    else:
        Console().print(_table(items))
    if any(not item.found for item in items):
        raise typer.Exit(2)


def _catalogue(files: list[Path]) -> Catalogue | None:
    found = files or compose.find(Path.cwd(), os.environ)
    return compose.load(found, environment=os.environ) if found else None


def _table(items: list[doctor.Item]) -> Table:
    table = Table(box=box.SIMPLE)
    for heading in ("needed", "by", "found", "where, or what to do"):
        table.add_column(heading, overflow="fold")
    for item in items:
        table.add_row(item.what, item.needed_by, item.found or "[red]missing[/red]", item.mend or item.where)
    return table
