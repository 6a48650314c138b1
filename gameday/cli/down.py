"""`gameday down`: end the running system."""

from __future__ import annotations

import typer

EXAMPLE = "Example: $ gameday down"


def register(app: typer.Typer) -> None:
    app.command("down", epilog=EXAMPLE)(run)


def run(
    volumes: bool = typer.Option(False, "--volumes", "-v", help="Also remove what the services stored."),
) -> None:
    """Undo every fault and end every process of the system, also what a crash left.

    What the services stored is kept for the next `up`.
    """
    from gameday import lifecycle
    from gameday.state import State

    state = State.find()
    ran = lifecycle.exists(state)
    ended = lifecycle.down(state)
    for process in ended:
        print(f"ended {process}: it had outlived its supervisor")
    if volumes:
        lifecycle.remove_volumes(state)
    print("everything is ended" if ran or ended else "nothing was running")
