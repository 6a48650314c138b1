"""What the commands that judge have in common: options, the table at the end, signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gameday.catalogue import Catalogue, compose
from gameday.state import State
from gameday.verdict import Verdict, Verdicts

COLOURS = {Verdict.CONFIRMED: "green", Verdict.REFUTED: "red", Verdict.LEAKED: "bold red"}


def files_option() -> list[Path]:
    option: list[Path] = typer.Option(
        [], "--file", "-f", help="Compose file; may be repeated. Default: as Docker finds it."
    )
    return option


def catalogue(files: Sequence[Path]) -> Catalogue:
    """The catalogue of `files`; without any, of the system that runs here, else as Docker finds it."""
    described = None if files else State.find().describe()
    running = [Path(file) for file in (described or {}).get("files", ())]
    return compose.load(files or running or compose.find(Path.cwd(), os.environ), environment=os.environ)


def show(verdicts: Verdicts, directory: Path, as_json: bool) -> None:
    """The verdicts as a table, or as JSON; where to read more; exits with their code."""
    if as_json:
        print(verdicts.model_dump_json(indent=2))
    else:
        _print(verdicts, directory)
    raise typer.Exit(verdicts.exit_code)


def _print(verdicts: Verdicts, directory: Path) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    table = Table("suite", "what", "check", "expected", "observed", "verdict", title=None)
    for result in verdicts.results:
        for number, finding in enumerate(result.findings):
            observed = finding.observed
            if finding.verdict is not Verdict.CONFIRMED and finding.detail:
                observed += f"\n{finding.detail}"
            table.add_row(
                *map(Text, (result.suite, result.name) if number == 0 else ("", "")),
                Text(f"{finding.check}: {finding.subject}"),
                Text(finding.expected),
                Text(observed),
                Text(finding.verdict, style=COLOURS.get(finding.verdict, "yellow")),
            )
        table.add_section()
    console.print(table)
    for left in verdicts.left_out:
        console.print(f"left out: {left}", markup=False)
    style = COLOURS.get(verdicts.verdict, "yellow")
    console.print(Text.assemble((verdicts.verdict.upper(), f"bold {style}"), f" in {verdicts.seconds:.1f}s"))
    report = directory / "report.html"
    if report.exists():
        console.print(f"report: {report}", markup=False, soft_wrap=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: after the undo."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
