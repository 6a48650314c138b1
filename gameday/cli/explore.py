"""`gameday explore`: breaks every edge with every fault, and shows what users of each route saw."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from gameday.cli._judged import STYLES, catalogue, files_option, interruptible, seconds, show, wide_console
from gameday.report import words
from gameday.verdict import Finding, Result, Verdict, Verdicts

EXAMPLE = "Example: $ gameday explore --edge 'user-svc->postgres' --fault down --hold 2s"


def edge_option() -> list[str]:
    option: list[str] = typer.Option([], "--edge", help="CONSUMER->PROVIDER; may be repeated. Default: all.")
    return option


def fault_option() -> list[str]:
    option: list[str] = typer.Option(
        [], "--fault", help="down, latency, timeout, reset_peer or limit_data. Default: all."
    )
    return option


def load_option() -> str:
    option: str = typer.Option(None, "--load", help="A profile of loadtests/profiles. Default: that of most routes.")
    return option


def hold_option() -> str:
    option: str = typer.Option("3s", "--hold", help="How long each fault is in force at least.")
    return option


def register(app: typer.Typer) -> None:
    app.command("explore", epilog=EXAMPLE)(run)


def run(  # noqa: PLR0917 - options of a command line
    file: list[Path] = files_option(),
    edge: list[str] = edge_option(),
    fault: list[str] = fault_option(),
    load: str = load_option(),
    hold: str = hold_option(),
    time_scale: float = typer.Option(30.0, "--time-scale", min=1.0, max=100.0, help="How much faster timers run."),
    out: Path = typer.Option(None, "--out", help="Directory of the reports. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Break every edge with every fault under load, and show what users of each route saw.

    No expectation is needed: each request must be answered in time and well-formed, none by a crash, and
    each route must be back after the fault. Where `on-loss` says how the loss of an edge looks, that is
    demanded too. Edges that the load does not use are left out, and listed.
    """
    from gameday import gate
    from gameday.exploration import Exploration
    from gameday.progress import Progress

    holding = seconds("--hold", hold)
    system = catalogue(file)
    wanted = Exploration.of(system, edge, fault, load, holding)
    with interruptible(), Progress() as progress:
        verdicts, directory = gate.explore(system, wanted, time_scale, out, progress)
    if as_json:
        show(verdicts, directory, as_json=True)
    print_pairs(verdicts, directory)
    raise typer.Exit(verdicts.exit_code)


def print_pairs(verdicts: Verdicts, directory: Path) -> None:
    """A line a pair and route, then what was found, then what was left out."""
    console = wide_console()
    table = Table("pair", "route", "what users saw", "verdict", title="Edge x fault", title_justify="left")
    for result in verdicts.results:
        for index, finding in enumerate(each for each in result.findings if each.check == "users"):
            table.add_row("" if index else result.title, finding.subject, finding.observed, _word(finding.verdict))
        for finding in _doubts(result):
            table.add_row(result.title, finding.subject, finding.observed, _word(finding.verdict))
    console.print(table)
    for result in verdicts.results:
        for finding in result.findings:
            if finding.verdict is not Verdict.CONFIRMED:
                said = f" {result.title}: {finding.subject}: {finding.detail or finding.observed}"
                console.print(Text.assemble(_word(finding.verdict), said), soft_wrap=True)
    for left in verdicts.left_out:
        console.print(f"left out: {left}", markup=False)
    console.print(Text.assemble(_word(verdicts.verdict), f" in {verdicts.seconds:.1f}s: {words.summary(verdicts)}"))
    console.print(f"report: {directory / 'report.html'}", markup=False, soft_wrap=True)


def _doubts(result: Result) -> list[Finding]:
    return [each for each in result.findings if each.check != "users" and each.verdict is not Verdict.CONFIRMED]


def _word(verdict: Verdict) -> Text:
    return Text(f"{words.SYMBOLS[verdict]} {verdict}", style=STYLES.get(verdict, "yellow"))
