"""gameday recover: undo the faults that nobody will undo any more."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gameday.verdict import Verdict

if TYPE_CHECKING:
    from gameday.recovery import Recovery


def recover(
    everything: Annotated[bool, typer.Option("--all", help="Also undo the faults that a run still holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Undo the faults that nobody will undo any more, and say what is left.

    In a running system: the faults whose undo failed; with --all every fault in force.
    After a crash: what outlived its supervisor is ended and its faults are closed.
    Ends with 4 where something stays broken.
    """
    from gameday import recovery
    from gameday.state import State

    found = recovery.recover(State.find(), everything=everything)
    print(json.dumps(asdict(found), indent=2) if as_json else "\n".join(_lines(found)))
    if found.leaked:
        raise typer.Exit(Verdict.LEAKED.exit_code)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: $ gameday recover")(recover)


def _lines(found: Recovery) -> list[str]:
    lines = [f"ended {process}: it had outlived its supervisor" for process in found.ended]
    lines += [f"mended {_name(lease)}: {lease['undone']['facts'].get('reason', 'undone')}" for lease in found.mended]
    lines += [
        f"in force: {_name(lease)}, held by {lease['run']}; mend: gameday recover --all" for lease in found.in_force
    ]
    lines += [f"LEAKED: {_name(lease)}: {lease['error']}; mend: {lease['mend']}" for lease in found.leaked]
    if not found.in_force and not found.leaked:
        lines.append("nothing is left: no fault is in force")
    return lines


def _name(lease: dict[str, Any]) -> str:
    return f"{lease['fault']} on {lease['target']} ({lease['id']})"
