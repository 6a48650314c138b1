"""`gameday contracts list|verify`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from gameday.cli._judged import catalogue, files_option, interruptible, show

app = typer.Typer(help="Verify what consumers wrote down in pacts.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="contracts")


def _pacts_option() -> Path:
    option: Path = typer.Option(None, "--pacts", help="Directory of the pacts. Default: contracts/pacts.")
    return option


@app.command("list", epilog="Example: $ gameday contracts list --json")
def list_(
    file: list[Path] = files_option(),
    pacts: Path = _pacts_option(),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the pacts of this project and what each promises."""
    from gameday import contracts

    rows: list[dict[str, Any]] = [
        {
            "consumer": pact.consumer,
            "provider": pact.provider,
            "interactions": [interaction.description for interaction in pact.interactions],
            "file": str(pact.file),
            "sha256": pact.sha256,
        }
        for pact in contracts.read_all(pacts or contracts.directory(catalogue(file)))
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("consumer", "provider", "interactions")
    for row in rows:
        table.add_row(row["consumer"], row["provider"], "\n".join(row["interactions"]))
    Console().print(table)


@app.command("verify", epilog="Example: $ gameday contracts verify --json")
def verify(
    file: list[Path] = files_option(),
    pacts: Path = _pacts_option(),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Verify every pact against an instance of its provider, on the stores of the system that runs here."""
    from gameday import contracts, gate
    from gameday.control import Control
    from gameday.state import State

    system = catalogue(file)
    promised = contracts.read_all(pacts or contracts.directory(system))
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    with interruptible(), Control.connect(State.find(system.directory).directory) as control:
        running = contracts.endpoints(control.call("endpoints"))
        scale = float(control.call("status")["time_scale"])
        results = list(contracts.verify(system, running, promised))
    show(gate.conclude(results, began, started, scale), system.directory, as_json)
