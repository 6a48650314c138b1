"""A command of gameday, called in this process."""

from __future__ import annotations

from types import ModuleType

import typer
from typer.testing import CliRunner


def invoke(command: ModuleType, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of `command`, a module with `register`."""
    app = typer.Typer()
    command.register(app)
    ran = CliRunner().invoke(app, arguments)
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.stdout
