"""`gameday restart`: end services and start them again at the same addresses."""

from __future__ import annotations

import typer

EXAMPLE = "Example: $ gameday restart recommendation-svc"
_SECONDS = 180.0


def register(app: typer.Typer) -> None:
    app.command("restart", epilog=EXAMPLE)(run)


def run(services: list[str] = typer.Argument(..., help="The services to restart, one after another.")) -> None:
    """Restart services and wait until each is healthy again. Their mounted configuration is read anew.

    Replicas are restarted one after another, so that one of them always answers; web-2 is the second one alone.
    """
    from gameday.control import Control

    with Control.connect() as control:
        for name in services:
            for service in control.call("restart", service=name, timeout=_SECONDS):
                print(f"{service['name']} {service['state']}, process {service['pid']}")
