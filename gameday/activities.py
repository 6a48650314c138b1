"""Chaos Toolkit activities: put a fault in force, hold it, undo it.

They speak to the supervisor of the running system (`GAMEDAY_STATE`, else
`./.gameday`), so stock `chaos run` executes them as `gameday` does. A lease ends
with the process that asked for it, should that process die before its rollbacks.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gameday import durations
from gameday.control import Control
from gameday.errors import GamedayError, InputError, Problem
from gameday.runtime import procfs

__all__ = ["hold", "inject", "undo"]

# An undo restarts a service and waits until it is healthy; the keeper's own deadline is shorter.
_CALL_SECONDS = 180.0
_LOOK_EVERY = 0.1


def inject(fault: str, target: str, lease: str = "120s", arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Puts `fault` in force on `target` for at most `lease` (a real duration) and returns its lease.

    Raises where the fault could not be seen in force: nothing was broken then.
    """
    ttl = _seconds("lease", lease)
    with Control.connect() as control:
        return put_in_force(control, fault, target, arguments or {}, ttl=ttl, run=_run())


def put_in_force(
    control: Control, fault: str, target: str, arguments: Mapping[str, Any], *, ttl: float, run: str
) -> dict[str, Any]:
    """The lease of `fault` on `target`, for `ttl` seconds and no longer than this process lives.

    Raises InputError where it cannot be, GamedayError where it was not seen in force.
    """
    owner = procfs.identify(os.getpid())
    held: dict[str, Any] = control.call(
        "inject",
        fault=fault, target=target, arguments=dict(arguments), ttl=ttl, run=run,
        owner=asdict(owner) if owner else None, timeout=_CALL_SECONDS,
    )  # fmt: skip
    if held["state"] != "in-force":
        raise GamedayError(f"{fault} on {target} is {held['state']}: {held['error']}" + _mend(held))
    return held


def hold(limit: str = "30s") -> dict[str, Any]:
    """Keeps the faults of this run in force for `limit`, or until no lease of the run is in force any more.

    Under gameday, which sets `$GAMEDAY_RUN_DIR`, `limit` is not used: the engine knows
    how long the expected observers may take, and ends the window by the file `release`.
    """
    seconds, release = _seconds("limit", limit), _release()
    started = time.monotonic()
    deadline = math.inf if release else started + seconds
    with Control.connect() as control:
        while (reason := _over(control, deadline, release)) is None:
            time.sleep(_LOOK_EVERY)
    return {"seconds": round(time.monotonic() - started, 3), "ended_by": reason}


def undo() -> list[dict[str, Any]]:
    """Undoes every fault of this run and returns the leases. Raises where one leaked."""
    with Control.connect() as control:
        leases: list[dict[str, Any]] = control.call("undo", run=_run(), timeout=_CALL_SECONDS)
    if leaked := [lease for lease in leases if lease["state"] == "leaked"]:
        raise GamedayError("; ".join(f"{lease['id']} leaked: {lease['error']}" + _mend(lease) for lease in leaked))
    return leases


def _over(control: Control, deadline: float, release: Path | None) -> str | None:
    if time.monotonic() >= deadline:
        return "limit"
    if release is not None and release.exists():
        return "release"
    if not any(lease["state"] == "in-force" for lease in control.call("leases", run=_run())):
        return "no lease in force"
    return None


def _run() -> str:
    return os.environ.get("GAMEDAY_RUN") or f"stock-{os.getpid()}"


def _release() -> Path | None:
    directory = os.environ.get("GAMEDAY_RUN_DIR")
    return Path(directory) / "release" if directory else None


def _seconds(name: str, duration: str) -> float:
    try:
        return durations.seconds(duration)
    except ValueError as error:
        raise InputError(Problem(str(error), "write it as 90s or 1m30s", key=name, value=duration)) from error


def _mend(lease: Mapping[str, Any]) -> str:
    return f"; mend: {lease['mend']}" if lease["mend"] else ""
