"""`gameday toxiproxy`: Toxiproxy's HTTP API for the edges of the running system."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gameday.toxiproxy import Server, Toxiproxy

TOKEN = "GAMEDAY_TOXIPROXY_TOKEN"  # noqa: S105 - the name of a variable


def register(app: typer.Typer) -> None:
    app.command("toxiproxy", epilog="Example: $ gameday toxiproxy --port 8474 --lease 5m")(run)


def run(
    port: int = typer.Option(8474, "--port", min=0, max=65535, help="Of the loopback; 0: any."),
    lease: str = typer.Option("10m", "--lease", help="How long a toxic may last at most."),
) -> None:
    """Let Toxiproxy's clients break the edges of the system that runs, until Ctrl-C.

    Its proxies are the edges as `gameday edges` names them. Every toxic is a lease: it ends with its time, with this
    command, or by `gameday recover --all`. Clients need the token: as the password in the address, or as a bearer.
    """
    from gameday import toxiproxy
    from gameday.cli._judged import interruptible, seconds
    from gameday.control import Control
    from gameday.errors import InputError, Problem
    from gameday.state import State

    ttl = seconds("--lease", lease)
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(16)
    with interruptible(), Control.connect(State.find().directory) as control:
        if not control.call("wires"):
            raise InputError(Problem("no edge runs through a proxy", "gameday down && gameday up --wire all"))
        api = toxiproxy.Toxiproxy(control, ttl)
        try:
            with _listening(toxiproxy.Server, api, port, token) as server:
                print(f"http://gameday:{token}@127.0.0.1:{server.server_port}", flush=True)
                server.serve_forever()
        finally:
            api.close()


def _listening(make: type[Server], api: Toxiproxy, port: int, token: str) -> Server:
    from gameday.errors import InputError, Problem

    try:
        return make(api, port, token)
    except OSError as error:
        problem = Problem(f"port {port} cannot be used: {error.strerror}", "gameday toxiproxy --port 0", value=port)
        raise InputError(problem) from error
