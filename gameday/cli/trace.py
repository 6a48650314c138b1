"""`gameday trace`: the way of one request through the services, and the requests there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Column, Table

from gameday.cli._judged import catalogue, files_option, wide_console
from gameday.errors import GamedayError, InputError, Problem

if TYPE_CHECKING:
    from gameday.tools.jaeger import Span

EXAMPLE = "Example: $ gameday trace --limit 5"


def register(app: typer.Typer) -> None:
    app.command("trace", epilog=EXAMPLE)(run)


def run(
    identifier: str = typer.Argument("", metavar="[ID]", help="Trace id, as in logs. Without it: the newest traces."),
    service: str = typer.Option("", "--service", help="Newest traces of this service. Default: the entry."),
    limit: int = typer.Option(20, "--limit", min=1, max=1000, help="How many of the newest."),
    file: list[Path] = files_option(),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Draw the waterfall of a trace, or list the newest traces."""
    from gameday.cli._running import traces
    from gameday.control import Control
    from gameday.state import State

    system = catalogue(file)
    if system.telemetry.traces is None:
        raise InputError(
            [Problem("nothing keeps traces here", mend="name a service under x-gameday: telemetry: traces")]
        )
    with Control.connect(State.find(system.directory).directory) as control:
        store = traces(system, control)
    with closing(store) as jaeger:
        if identifier:
            _show(jaeger.trace(identifier), identifier, as_json)
        else:
            _list(jaeger.recent(service or system.entry or "", limit), as_json)


def _show(spans: Sequence[Span], identifier: str, as_json: bool) -> None:
    from gameday.waterfall import waterfall

    if not spans:
        raise GamedayError(f"no trace {identifier} is kept; spans arrive some seconds after the request")
    if as_json:
        print(json.dumps([asdict(span) for span in spans]))
    else:
        wide_console().print(waterfall(spans))


def _list(traces: Sequence[Sequence[Span]], as_json: bool) -> None:
    rows = [
        {
            "trace": spans[0].trace,
            "name": spans[0].name,
            "ms": round((max(span.end for span in spans) - spans[0].start) * 1000, 1),
            "spans": len(spans),
            "services": sorted({span.service for span in spans}),
            "errors": sum(span.error is not None for span in spans),
        }
        for spans in traces
    ]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(Column("trace", no_wrap=True, min_width=32), "request", "ms", "spans", "errors", "services")
    for row in rows:
        table.add_row(
            *(
                ", ".join(each) if isinstance(each, list) else str(each)
                for each in (row["trace"], row["name"], row["ms"], row["spans"], row["errors"], row["services"])
            )
        )
    wide_console().print(table)
