"""`gameday edges`: who calls whom, as a compose file and a running system say."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from gameday.catalogue import Catalogue, Edge

EXAMPLE = "Example: $ gameday edges -f docker-compose.yml --json"
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
    from gameday.catalogue import compose
    from gameday.catalogue.edges import observe

    files = file or compose.find(Path.cwd(), os.environ)
    catalogue = compose.load(files, environment=os.environ, profiles=profile)
    catalogue = observe(catalogue, _connections(catalogue))
    if as_json:
        print(json.dumps(document(catalogue)))
    else:
        _print(catalogue)


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
    from gameday.cli._running import ANSWER_SECONDS, supervisor
    from gameday.errors import GamedayError

    try:
        with supervisor(catalogue) as control:
            seen = control.call("connections", timeout=ANSWER_SECONDS) if control else ()
    except GamedayError as error:
        print(f"gameday: observed edges are missing: {error}", file=sys.stderr)
        return []
    return [(each["from"], each["to"], each["port"]) for each in seen]


def _print(catalogue: Catalogue) -> None:
    from rich.console import Console

    table = _table(catalogue)
    # A pipe has no width: nothing is cut there.
    width = None if sys.stdout.isatty() else Console(width=_WIDEST).measure(table).maximum
    Console(width=width, highlight=False).print(table)


def _table(catalogue: Catalogue) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("edge", "port", "kind", "evidence", "declared by", "on loss", box=None, pad_edge=False)
    for edge in catalogue.edges:
        row = _row(edge)
        cells = (edge.name, row["port"] or "", row["kind"], ", ".join(row["evidence"]), ", ".join(row["env"]))
        table.add_row(*(Text(str(cell)) for cell in (*cells, row["on_loss"] or "")))
    return table
