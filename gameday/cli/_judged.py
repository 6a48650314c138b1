"""What the commands that judge have in common: options, the table at the end, signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gameday import durations, killmatrix, runs
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError, Problem
from gameday.journal import History
from gameday.report import words
from gameday.state import State
from gameday.verdict import Result, Verdict, Verdicts

STYLES = {Verdict.CONFIRMED: "green", Verdict.REFUTED: "red", Verdict.LEAKED: "bold red"}
# A pipe has no width of its own.
_PIPE_WIDTH = 200


def files_option() -> list[Path]:
    option: list[Path] = typer.Option(
        [], "--file", "-f", help="Compose file; may be repeated. Default: as Docker finds it."
    )
    return option


def catalogue(files: Sequence[Path]) -> Catalogue:
    """The catalogue of `files`; without any, of the system that runs here, else as Docker finds it."""
    described = None if files else State.find().describe()
    described = described or {}
    running = [Path(file) for file in described.get("files", ())]
    found = files or running or compose.find(Path.cwd(), os.environ)
    return compose.load(found, environment=os.environ, scale=described.get("scale"))


def newest_gate(system: Catalogue) -> Path:
    """The directory of the last gate. Raises InputError where there is none."""
    gates = [run.directory for run in runs.found(State.find(system.directory)) if "-gate-" in run.id]
    if not gates:
        raise InputError(Problem("there is no gate whose experiments could prove anything", "gameday gate experiments"))
    return gates[0]


def of_one_scale(places: Sequence[Path]) -> tuple[Mapping[str, History], float]:
    """The histories of the experiments in `places`, and their time scale. Raises InputError unless they share one."""
    histories = killmatrix.experiments(places)
    scales = killmatrix.time_scales(histories)
    if len(scales) != 1:
        seen = ", ".join(f"{scale:g}" for scale in sorted(scales)) or "no experiment at all"
        raise InputError(Problem("runs of one time scale are needed", "name others", value=seen))
    return histories, scales.pop()


def seconds(option: str, given: str) -> float:
    """A duration such as 3s or 1m. Raises InputError."""
    try:
        return durations.seconds(given)
    except ValueError as error:
        raise InputError(Problem(str(error), "write it as 3s or 1m", key=option, value=given)) from None


def wide_console() -> Console:
    """As wide as the terminal, and wide enough where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_PIPE_WIDTH, highlight=False)


def show(verdicts: Verdicts, directory: Path, as_json: bool) -> None:
    """The verdicts as a table, or as JSON; where to read more; exits with their code."""
    if as_json:
        print(verdicts.model_dump_json(indent=2))
    else:
        _print(verdicts, directory)
    raise typer.Exit(verdicts.exit_code)


def _print(verdicts: Verdicts, directory: Path) -> None:
    console = wide_console()
    for result in verdicts.results:
        head = Text.assemble(_verdict(result.verdict), (f" {result.suite}: {result.name}", "bold"), f": {result.title}")
        console.print(head, soft_wrap=True)
        console.print(Padding(_table(result), (0, 0, 1, 2)))
        if killmatrix.FACT in result.facts:
            console.print(Padding(_kill_matrix(result.facts[killmatrix.FACT]), (0, 0, 1, 2)))
    for left in verdicts.left_out:
        console.print(f"left out: {left}", markup=False)
    console.print(Text.assemble(_verdict(verdicts.verdict), f" in {verdicts.seconds:.1f}s: {words.summary(verdicts)}"))
    report = directory / "report.html"
    if report.exists():
        console.print(f"report: {report}", markup=False, soft_wrap=True)


def _table(result: Result) -> Table:
    """A line a finding; what was expected, and where it is written, only where it was not seen."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in result.findings:
        said = [finding.observed]
        if finding.verdict is not Verdict.CONFIRMED:
            said += [finding.detail, f"expected: {finding.expected}", words.place(finding)]
        what = Text(f"{finding.check}: {finding.subject}")
        table.add_row(_verdict(finding.verdict), what, Text("\n".join(filter(None, said))))
    return table


def _kill_matrix(matrix: Mapping[str, Any]) -> Table:
    """An experiment a line, an alert a column; seconds until it was delivered and, behind the arrow, resolved."""
    table = Table("kill matrix", title_justify="left")
    for alert in matrix["alerts"]:
        table.add_column(alert["alert"], justify="right", overflow="fold")
    for row in matrix["experiments"]:
        table.add_row(row["experiment"], *(words.heard(row["alerts"][each["alert"]]) for each in matrix["alerts"]))
    table.add_row("predicted at most", *(f"{alert['predicted_s']:.1f}s" for alert in matrix["alerts"]), style="dim")
    return table


def _verdict(verdict: Verdict) -> Text:
    return Text(f"{words.SYMBOLS[verdict]} {verdict}", style=STYLES.get(verdict, "yellow"))


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: after the undo."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: what this command broke is mended, what it started is ended", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
