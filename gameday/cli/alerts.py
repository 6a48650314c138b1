"""`gameday alerts`: from `slos.toml` to Prometheus, Alertmanager and the tests of their rules."""

from __future__ import annotations

import filecmp
import os
import sys
import tempfile
import time
from enum import StrEnum
from pathlib import Path

import typer

from gameday import alerts
from gameday.alerts import exchange, openslo, sloth
from gameday.alerts.exchange import Exchanged
from gameday.catalogue import Catalogue, compose
from gameday.cli._findings import finish
from gameday.cli._judged import catalogue as described
from gameday.cli._judged import newest_gate, of_one_scale, show
from gameday.cli._running import prometheus_at, prometheus_option
from gameday.errors import InputError, Problem
from gameday.state import State
from gameday.tools import promtool
from gameday.verdict import Finding, Verdict

BUILD_EXAMPLE = "Example: $ gameday alerts build"
TEST_EXAMPLE = "Example: $ gameday alerts test --time-scale 30"
CHECK_EXAMPLE = "Example: $ gameday alerts check alerts/_gen/rules.yml --tests alerts/_gen/rules_test.yml"
PROVE_EXAMPLE = "Example: $ gameday alerts prove .gameday/runs/20261125-031500-gate-3f9a"
EXPORT_EXAMPLE = "Example: $ gameday alerts export --format openslo"
IMPORT_EXAMPLE = "Example: $ gameday alerts import --format sloth slos.yml"

_FILE = typer.Option([], "--file", "-f", help="Compose file; may be repeated. Default: as Docker finds it.")
_SCALE = typer.Option(1.0, "--time-scale", min=1.0, help="How many times faster the timers run than in production.")

_FORMAT = typer.Option(..., "--format", help="Whose SLO format: OpenSLO v1, or sloth's prometheus/v1.")


class Format(StrEnum):
    OPENSLO = "openslo"
    SLOTH = "sloth"


_FORMATS = {Format.OPENSLO: openslo, Format.SLOTH: sloth}


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Generate the alerts from their SLO file, and test them.", no_args_is_help=True)
    group.command("build", epilog=BUILD_EXAMPLE)(build)
    group.command("test", epilog=TEST_EXAMPLE)(test)
    group.command("check", epilog=CHECK_EXAMPLE)(check)
    group.command("prove", epilog=PROVE_EXAMPLE)(prove)
    group.command("export", epilog=EXPORT_EXAMPLE)(export)
    group.command("import", epilog=IMPORT_EXAMPLE)(import_)
    app.add_typer(group, name="alerts")


def build(
    file: list[Path] = _FILE,
    time_scale: float = _SCALE,
    out: Path | None = typer.Option(None, "--out", help="Directory to write to. Default: _gen beside the SLO file."),
) -> None:
    """Write what Prometheus and Alertmanager read, and the unit tests of the rules."""
    catalogue, slos = _load(file, time_scale)
    if out is None and time_scale != 1:
        raise InputError(
            Problem("the files in _gen are those of production", "name a directory with --out", key="--time-scale")
        )
    for path in alerts.build(slos, catalogue, time_scale, out or _generated(slos)):
        print(os.path.relpath(path))


def test(
    file: list[Path] = _FILE,
    time_scale: float = _SCALE,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Let promtool and amtool judge the generated files; in production scale also whether _gen is up to date."""
    catalogue, slos = _load(file, time_scale)
    with tempfile.TemporaryDirectory(prefix="gameday-alerts-") as directory:
        paths = alerts.build(slos, catalogue, time_scale, Path(directory))
        result = promtool.check(Path(directory))
        if time_scale == 1:
            fresh = tuple(_fresh(path, _generated(slos) / path.name) for path in paths)
            result = result.model_copy(update={"findings": result.findings + fresh})
    finish(result, as_json=as_json)


def check(
    rules: list[Path] = typer.Argument(None, help="Rule files. Default: those that the running system has."),
    tests: list[Path] = typer.Option([], "--tests", help="Files of promtool's unit tests for these rules."),
    prometheus: str = prometheus_option(),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Ask a healthy Prometheus about each rule: its series, whether it is silent, its runbook, its test.

    Takes any rule files, also those of others. Nothing is started or broken.
    """
    from gameday.alerts import lint

    if rules:
        read, directory = lint.read(rules), Path.cwd()
    else:
        catalogue = described(())
        state, directory = State.find(catalogue.directory), catalogue.directory
        scale = (state.describe() or {}).get("time_scale", 1.0)
        read, beside = lint.own(alerts.file(catalogue), state, scale)
        tests = [*tests, *beside]
    with prometheus_at(prometheus) as source:
        result = lint.lint(read, tests, source, directory)
    finish(result, as_json=as_json)


def prove(
    directories: list[Path] = typer.Argument(None, help="Directories of runs or gates. Default: the newest gate."),
    file: list[Path] = _FILE,
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """The kill matrix: which alert fired under which fault, how soon, and resolved; and which nothing fires.

    Judges what experiments recorded; nothing is started or broken.
    """
    from gameday import experiment, gate, suites

    catalogue = described(file)
    began, places = time.monotonic(), directories or [newest_gate(catalogue)]
    histories, scale = of_one_scale(places)
    known = suites.expected(experiment.check(experiment.files(catalogue.directory), catalogue))
    result = suites.prove(catalogue, histories, known, scale)
    show(gate.conclude([result], began, gate.now(), scale), places[0], as_json)


def export(file: list[Path] = _FILE, form: Format = _FORMAT) -> None:
    """Print the SLOs for another tool. What its format has no word for is told."""
    catalogue, _ = _load(file, 1.0)
    exchanged = _FORMATS[form].write(alerts.promised(catalogue), catalogue.entry or catalogue.name)
    print("---\n".join(map(alerts.yaml, exchanged.documents)), end="")
    _tell(exchanged)


def import_(
    source: Path = typer.Argument(..., help="The file to read."),
    form: Format = _FORMAT,
) -> None:
    """Print the SLOs of another tool as entries for the SLO file. What of them gameday has no word for is told."""
    exchanged = _FORMATS[form].read(source)
    if not exchanged.slos:
        raise InputError(Problem(f"nothing to import: {'; '.join(exchanged.lost)}", "see docs/slo-formats.md", source))
    print(exchange.toml(exchanged.slos), end="")
    _tell(exchanged)


def _tell(exchanged: Exchanged) -> None:
    for lost in exchanged.lost:
        print(f"not carried over: {lost}", file=sys.stderr)


def _load(files: list[Path], time_scale: float) -> tuple[Catalogue, Path]:
    found = files or compose.find(Path.cwd(), os.environ)
    catalogue = compose.load(found, environment=os.environ, time_scale=time_scale)
    return catalogue, alerts.file(catalogue)


def _generated(slos: Path) -> Path:
    return slos.parent / "_gen"


def _fresh(built: Path, committed: Path) -> Finding:
    same = committed.exists() and filecmp.cmp(built, committed, shallow=False)
    return Finding(
        check="generated",
        subject=os.path.relpath(committed),
        verdict=Verdict.CONFIRMED if same else Verdict.REFUTED,
        expected="as `gameday alerts build` writes it",
        observed="up to date" if same else "out of date" if committed.exists() else "missing",
        detail="" if same else "mend: gameday alerts build",
    )
