"""The command line: one command a module, imported only when it is the one to run, or to be listed."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence

import typer

from gameday import __version__
from gameday.errors import GamedayError, InputError, render
from gameday.verdict import INTERRUPTED, Verdict

# In the order of `gameday --help`. A module here has `register(app)`.
COMMANDS = (
    "up",
    "status",
    "logs",
    "restart",
    "down",
    "env",
    "edges",
    "lint",
    "gate",
    "experiment",
    "explore",
    "monkey",
    "judge",
    "load",
    "contracts",
    "alerts",
    "dashboards",
    "trace",
    "recover",
    "toxiproxy",
    "view",
    "runs",
    "diff",
    "doctor",
)

app = typer.Typer(
    help="Break a compose system on purpose and prove what users, traces, dashboards and alerts saw.",
    epilog=(
        "Exit codes: 0 confirmed, 1 refuted, 2 wrong input, 3 inconclusive or not injected, 4 leaked, 130 interrupted."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gameday {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _wanted(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS


def main() -> None:
    """Runs the command named by the arguments and exits with its code."""
    for command in _wanted(sys.argv[1:]):
        importlib.import_module(f"gameday.cli.{command}").register(app)
    try:
        app()
    except InputError as error:
        print("\n\n".join(render(problem) for problem in error.problems), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except GamedayError as error:
        print(f"gameday: {error}", file=sys.stderr)
        sys.exit(Verdict.INCONCLUSIVE.exit_code)
    except Exception:  # noqa: BLE001 - left to itself a crash would exit 1, which means refuted
        traceback.print_exc()
        sys.exit(Verdict.INCONCLUSIVE.exit_code)
