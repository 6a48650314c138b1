"""`gameday edges`: who calls whom, as a compose file and a running system say."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from gameday.catalogue import Catalogue, Edge, compose
from gameday.catalogue.edges import observe
from gameday.control import Control
from gameday.errors import GamedayError, InputError
from gameday.state import State

EXAMPLE = "Example: $ gameday edges -f docker-compose.yml --json"
_ANSWER_SECONDS = 5.0
_WIDEST = 10_000


def register(app: typer.Typer) -> None:
    app.command("edges", epilog=EXAMPLE)(run)


def run(
    file: list[Path] = typer.Option(
        [], "--file", "-f", help="Compose file; may be repeated. Default: as Docker finds it."
    ),
    profile: list[str] = typer.Option([], "--profile", help="Profile to switch on; may be repeated."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the edges of a compose system and how each is known.

    Declared by an environment value, stated by the file, or observed where this
    system runs. Nothing of the file is executed.
    """
    catalogue = compose.load(file or compose.find(Path.cwd(), os.environ), environment=os.environ, profiles=profile)
    catalogue = observe(catalogue, _connections(catalogue))
    if as_json:
        Console().print_json(data=document(catalogue))
    else:
        _print(_table(catalogue))


def document(catalogue: Catalogue) -> dict[str, Any]:
    return {"services": list(catalogue.services), "edges": [_row(edge) for edge in catalogue.edges]}


def _row(edge: Edge) -> dict[str, Any]:
    return {
        "from": edge.consumer,
        "to": edge.provider,
        "port": edge.port,
        "kind": edge.kind.value,
        "evidence": [evidence.value for evidence in edge.evidence],
        "env": list(edge.env),
        "on_loss": edge.on_loss.value if edge.on_loss else None,
    }


def _connections(catalogue: Catalogue) -> list[tuple[str, str, int | None]]:
    """What the supervisor of this very system saw; nothing where none answers."""
    try:
        control = Control.connect(State.find(catalogue.directory).directory)
    except InputError:
        return []
    with control:
        try:
            if not _same_system(control.call("status", timeout=_ANSWER_SECONDS), catalogue):
                return []
            seen = control.call("connections", timeout=_ANSWER_SECONDS)
        except GamedayError as error:
            print(f"gameday: observed edges are missing: {error}", file=sys.stderr)
            return []
    return [(each["from"], each["to"], each["port"]) for each in seen]


def _same_system(status: dict[str, Any], catalogue: Catalogue) -> bool:
    return [Path(file).resolve() for file in status["files"]] == list(catalogue.files)


def _table(catalogue: Catalogue) -> Table:
    table = Table("edge", "port", "kind", "evidence", "declared by", "on loss")
    for edge in catalogue.edges:
        table.add_row(
            edge.name,
            str(edge.port or ""),
            edge.kind.value,
            ", ".join(edge.evidence),
            ", ".join(edge.env),
            edge.on_loss.value if edge.on_loss else "",
        )
    return table


def _print(table: Table) -> None:
    """A pipe has no width: nothing is cut there."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=Console(width=_WIDEST).measure(table).maximum)
    console.print(table)
