"""`gameday view`: the running system on a local page."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

import typer

EXAMPLE = "Example: $ gameday view --port 8475 --lease 2m"
TOKEN = "GAMEDAY_VIEW_TOKEN"  # noqa: S105 - the name of a variable


def register(app: typer.Typer) -> None:
    app.command("view", epilog=EXAMPLE)(run)


def run(
    port: int = typer.Option(8475, "--port", min=0, max=65535, help="Of the loopback; 0: any."),
    lease: str = typer.Option("2m", "--lease", help="How long a fault of the page may last at most."),
    directory: Path = typer.Option(
        None, "--dir", help="Directory with the JSON of boards. Default: dashboards/_gen of the system."
    ),
    prometheus: str = typer.Option("", "--prometheus", help="Address. Default: the Prometheus of the running system."),
) -> None:
    """Show the running system on a local page until Ctrl-C: the edge map, the boards, the runs.

    A click on an edge or a service breaks it, as a lease that ends with its time, with this command, or by
    `gameday recover --all`. The address that is printed has a token; without it nobody is let in.
    """
    from gameday.cli._judged import interruptible, seconds
    from gameday.control import Control
    from gameday.state import State
    from gameday.verdict import Verdict

    longest = seconds("--lease", lease)
    state = State.find()
    Control.connect(state.directory).close()

    import uvicorn

    from gameday.view.running import Running
    from gameday.view.server import app

    running = Running(state, longest, prometheus or None, directory)
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(16)
    server = uvicorn.Server(
        uvicorn.Config(app(running, token), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    with interruptible(), _bound(port) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}", flush=True)
        try:
            server.run(sockets=[listening])
        finally:
            leaked = running.close()
            for each in leaked:
                print(f"LEAKED: {each['fault']} on {each['target']}: {each['error']}; mend: {each['mend']}", flush=True)
            if leaked:  # worse than whatever ended the command
                raise typer.Exit(Verdict.LEAKED.exit_code)


def _bound(port: int) -> socket.socket:
    from gameday.errors import InputError, Problem

    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
        bound.listen()  # who follows the address at once waits
    except OSError as error:
        bound.close()
        problem = Problem(f"port {port} cannot be used: {error.strerror}", "gameday view --port 0", value=port)
        raise InputError(problem) from error
    return bound
