"""`gameday env`: where the services are, for a shell."""

from __future__ import annotations

import shlex

import typer

EXAMPLE = 'Example: $ eval "$(gameday env)"'


def register(app: typer.Typer) -> None:
    app.command("env", epilog=EXAMPLE)(run)


def run() -> None:
    """Print `export` lines: GAMEDAY_STATE, and the address of each service as GAMEDAY_<SERVICE>."""
    from gameday.control import Control
    from gameday.state import VARIABLE

    with Control.connect() as control:
        services = control.call("status")["services"]
        state = str(control.state.directory)
    print(f"export {VARIABLE}={shlex.quote(state)}")
    for service in services:
        if service["url"]:
            print(f"export {variable(service['name'])}={shlex.quote(service['url'])}")


def variable(service: str) -> str:
    """`api-gateway` -> `GAMEDAY_API_GATEWAY`."""
    return "GAMEDAY_" + "".join(letter if letter.isalnum() else "_" for letter in service).upper()
