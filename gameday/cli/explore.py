"""`gameday explore`: breaks every edge with every fault, or two edges at once, and shows what users saw."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from gameday.cli._judged import STYLES, catalogue, files_option, interruptible, seconds, show, wide_console
from gameday.report import words
from gameday.verdict import Finding, Result, Verdict, Verdicts

TOGETHER = frozenset({"only_together", "not_compared"})
EXAMPLE = "Example: $ gameday explore --edge 'user-svc->postgres' --fault down --hold 2s"


def edge_option() -> list[str]:
    option: list[str] = typer.Option([], "--edge", help="CONSUMER->PROVIDER; may be repeated. Default: all.")
    return option


def fault_option(also: str = "") -> list[str]:
    known = f"down, latency, timeout, reset_peer or limit_data{also}"
    option: list[str] = typer.Option([], "--fault", help=f"{known}. Default: all.")
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
    pairs: bool = typer.Option(False, "--pairs", help="Break two edges at once that one request may use."),
    most: int = typer.Option(20, "--most", min=1, help="With --pairs: so many pairs of faults at most."),
    seed: int = typer.Option(0, "--seed", help="With --pairs: which of them come first."),
    time_scale: float = typer.Option(30.0, "--time-scale", min=1.0, max=100.0, help="How much faster timers run."),
    out: Path = typer.Option(None, "--out", help="Directory of the reports. Default: a new one under .gameday/runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Break every edge with every fault under load, and show what users of each route saw.

    No expectation is needed: each request must be answered in time and well-formed, none by a crash, and
    each route must be back after the fault. Where `on-loss` says how the loss of an edge looks, that is
    demanded too. Edges that the load does not use are left out, and listed.

    With --pairs two edges are broken at once, after each of the two faults alone: a table shows what users saw that
    they saw under neither. Edges that no recorded request used both are left out, and listed.
    """
    from gameday import gate
    from gameday.cases import Pairs
    from gameday.exploration import Exploration
    from gameday.progress import Progress

    holding = seconds("--hold", hold)
    system = catalogue(file)
    order = Pairs(seed, most) if pairs else None
    wanted = Exploration.of(system, edge, fault, load, holding, order=order)
    with interruptible(), Progress() as progress:
        verdicts, directory = gate.explore(system, wanted, time_scale, out, progress)
    if as_json:
        show(verdicts, directory, as_json=True)
    print_cases(verdicts, directory)
    raise typer.Exit(verdicts.exit_code)


def print_cases(verdicts: Verdicts, directory: Path) -> None:
    """A line a case and route, then what two faults did together, then what was found, then what was left out."""
    console = wide_console()
    table = Table("fault", "route", "what users saw", "verdict")
    for result in verdicts.results:
        for index, finding in enumerate(each for each in result.findings if each.check == "users"):
            table.add_row("" if index else result.title, finding.subject, finding.observed, _word(finding.verdict))
        for finding in _doubts(result):
            table.add_row(result.title, finding.subject, finding.observed, _word(finding.verdict))
    console.print(table)
    if any(TOGETHER & result.facts.keys() for result in verdicts.results):
        console.print(_together(verdicts))
    for result in verdicts.results:
        for finding in result.findings:
            if finding.verdict is not Verdict.CONFIRMED:
                said = f" {result.title}: {finding.subject}: {finding.detail or finding.observed}"
                console.print(Text.assemble(_word(finding.verdict), said), soft_wrap=True)
    for left in verdicts.left_out:
        console.print(f"left out: {left}", markup=False)
    console.print(Text.assemble(_word(verdicts.verdict), f" in {verdicts.seconds:.1f}s: {words.summary(verdicts)}"))
    console.print(f"report: {directory / 'report.html'}", markup=False, soft_wrap=True)


def _together(verdicts: Verdicts) -> Table:
    """A line a pair of faults and route; what an inconclusive run did not show may be there all the same."""
    table = Table("faults at once", "route", "what users saw under neither alone")
    for result in verdicts.results:
        if unknown := result.facts.get("not_compared"):
            table.add_row(result.title, "", f"not known: nothing is certain of {' and '.join(unknown)}")
        elif new := result.facts.get("only_together"):
            for route, outcomes in new.items():
                table.add_row(result.title, route, ", ".join(outcomes))
        elif "only_together" in result.facts:
            table.add_row(result.title, "", "nothing" if result.certain else "not known: too little was seen")
    return table


def _doubts(result: Result) -> list[Finding]:
    return [each for each in result.findings if each.check != "users" and each.verdict is not Verdict.CONFIRMED]


def _word(verdict: Verdict) -> Text:
    return Text(f"{words.SYMBOLS[verdict]} {verdict}", style=STYLES.get(verdict, "yellow"))
