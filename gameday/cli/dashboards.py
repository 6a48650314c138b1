"""`gameday dashboards`: build them, check that they show data, prove that faults move them, push them to a Grafana."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from gameday import dashboards
from gameday.cli._findings import finish
from gameday.cli._judged import catalogue, files_option, newest_gate, of_one_scale, show
from gameday.cli._running import prometheus_at, prometheus_option

BUILD_EXAMPLE = "Example: $ gameday dashboards build"
CHECK_EXAMPLE = "Example: $ gameday dashboards check"
PROVE_EXAMPLE = "Example: $ gameday dashboards prove .gameday/runs/20261125-031500-gate-3f9a"
PUSH_EXAMPLE = "Example: $ gameday dashboards push --url http://localhost:3000 --token $GRAFANA_TOKEN"

_DIRECTORY = typer.Option(Path("dashboards"), "--dir", help="Directory with the descriptions.")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Generate dashboards, prove them, push them.", no_args_is_help=True)
    group.command("build", epilog=BUILD_EXAMPLE)(build)
    group.command("check", epilog=CHECK_EXAMPLE)(check)
    group.command("prove", epilog=PROVE_EXAMPLE)(prove)
    group.command("push", epilog=PUSH_EXAMPLE)(push)
    app.add_typer(group, name="dashboards")


def build(directory: Path = _DIRECTORY) -> None:
    """Write Grafana's JSON for each description into _gen."""
    for path in dashboards.build(directory):
        print(path)


def check(
    directory: Path = _DIRECTORY,
    prometheus: str = prometheus_option(),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Ask Prometheus every query of every panel; one that is empty is refuted."""
    from gameday.dashboards import shown
    from gameday.dashboards.check import check as judge

    boards = dashboards.read_all(directory)
    with prometheus_at(prometheus) as source:
        result = judge([query for board in boards for query in shown.of(board)], source)
    finish(result, as_json=as_json)


def prove(
    directories: list[Path] = typer.Argument(None, help="Directories of runs or gates. Default: the newest gate."),
    file: list[Path] = files_option(),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Which panel moved under which fault, as declared or not; which is empty, and which nothing moves.

    Judges what experiments recorded; nothing is started or broken.
    """
    from gameday import gate, suites

    system = catalogue(file)
    began, places = time.monotonic(), directories or [newest_gate(system)]
    histories, scale = of_one_scale(places)
    result = suites.prove_dashboards(system, histories)
    show(gate.conclude([result], began, gate.now(), scale), places[0], as_json)


def push(
    directory: Path = _DIRECTORY,
    url: str = typer.Option(..., "--url", envvar="GRAFANA_URL", help="Grafana's address."),
    token: str = typer.Option(..., "--token", envvar="GRAFANA_TOKEN", help="A service account token that may write."),
) -> None:
    """Make Grafana's dashboards equal to the descriptions. A second push changes nothing."""
    from gameday.tools.grafana import Grafana

    boards = dashboards.read_all(directory)
    grafana = Grafana(url, token)
    for board in boards:
        print(f"{board.uid}: {grafana.push(dashboards.render(board))}")
