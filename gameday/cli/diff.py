"""`gameday diff`: two stored runs beside each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from gameday.cli._judged import wide_console
from gameday.verdict import Verdict

if TYPE_CHECKING:
    from gameday.comparison import Row

EXAMPLE = "Example: $ gameday diff 20261125-031500-gate-3f9a 20261126-031500-gate-77b0"
_STYLES = {"worse": "red", "better": "green", "other": "yellow", "same": "dim"}


def register(app: typer.Typer) -> None:
    app.command("diff", epilog=EXAMPLE)(run)


def run(
    before: str = typer.Argument(..., help="A run as `gameday runs list` shows it, or its directory."),
    after: str = typer.Argument(..., help="The run that is held against it."),
    every: bool = typer.Option(False, "--all", help="Show what is the same, too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Compare two runs: verdicts, findings, what users saw, how soon faults were detected and got over.

    Exits with 0 where nothing got worse, 1 where something did, 3 where the two have nothing in common.
    """
    from gameday import comparison
    from gameday.state import State

    state = State.find()
    runs = [comparison.read(comparison.find(state, name)) for name in (before, after)]
    rows = comparison.compare(*runs)
    verdict = comparison.verdict(rows)
    if as_json:
        told = {"before": runs[0].name, "after": runs[1].name, "rows": [asdict(row) for row in rows]}
        print(json.dumps(told | {"verdict": verdict, "exit_code": verdict.exit_code}))
    else:
        _print(rows, every=every)
        print(_summary(rows, verdict))
    raise typer.Exit(verdict.exit_code)


def _print(rows: Sequence[Row], *, every: bool) -> None:
    table = Table("result", "what", "before", "after", "change", box=None, pad_edge=False)
    for row in rows:
        if every or row.change != "same":
            told = (row.result, row.what, row.before or "-", row.after or "-", str(row.change))
            table.add_row(*map(Text, told), style=_STYLES.get(row.change, ""))
    if table.row_count:
        wide_console().print(table)


def _summary(rows: Sequence[Row], verdict: Verdict) -> str:
    counts = Counter(row.change for row in rows)
    told = ", ".join(f"{count} {change}" for change, count in counts.items())
    heads = {
        Verdict.CONFIRMED: "nothing got worse",
        Verdict.REFUTED: "something got worse",
        Verdict.INCONCLUSIVE: "the two have nothing in common",
    }
    return f"{heads[verdict]}: {told or 'nothing was judged'}"
