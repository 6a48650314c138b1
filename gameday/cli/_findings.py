"""How a command prints a judged thing, and with which code it ends."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gameday.report.words import SYMBOLS
from gameday.verdict import Result, Verdict

_STYLES = {
    Verdict.CONFIRMED: "green",
    Verdict.REFUTED: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_INJECTED: "magenta",
    Verdict.LEAKED: "bold red",
}


def finish(result: Result, *, as_json: bool) -> None:
    """Prints `result` and leaves with the exit code of its verdict."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    if as_json:
        console.print_json(result.model_dump_json())
    else:
        console.print(_table(result))
        for finding in result.findings:
            if finding.verdict is not Verdict.CONFIRMED:
                console.print(
                    f"\n{escape(finding.subject)}: {escape(finding.observed)}", style=_STYLES[finding.verdict]
                )
                console.print(escape(finding.detail), highlight=False)
        console.print(
            f"[{_STYLES[result.verdict]}]{SYMBOLS[result.verdict]} {result.verdict}[/]: {escape(result.title)}"
        )
    raise typer.Exit(result.verdict.exit_code)


def _table(result: Result) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("verdict", "what", "observed"):
        table.add_column(column)
    for finding in result.findings:
        verdict = f"[{_STYLES[finding.verdict]}]{SYMBOLS[finding.verdict]} {finding.verdict}[/]"
        table.add_row(verdict, escape(finding.subject), escape(finding.observed))
    return table
