"""`gameday env`: where the services are, for a shell."""

from __future__ import annotations

import shlex

import typer

EXAMPLE = 'Example: $ eval "$(gameday env)"'


def register(app: typer.Typer) -> None:
    app.command("env", epilog=EXAMPLE)(run)


def run() -> None:
    """Print `export` lines: GAMEDAY_STATE, and the address of each service as GAMEDAY_<SERVICE>."""
    from gameday.control import Control, variable
    from gameday.state import VARIABLE

    with Control.connect() as control:
        status = control.call("status")
        state = str(control.state.directory)
    print(f"export {VARIABLE}={shlex.quote(state)}")
    addresses = {service["name"]: service["url"] for service in status["services"]} | status["replicated"]
    for name, url in addresses.items():
        if url:
            print(f"export {variable(name)}={shlex.quote(url)}")
