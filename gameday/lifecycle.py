"""Brings a system up, joins one that runs, takes it down: what commands and suites share."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

from gameday import guardian, trust
from gameday.catalogue import Catalogue, compose
from gameday.control import Control, decode_problem
from gameday.errors import GamedayError, InputError, Problem
from gameday.plan import Plan
from gameday.runtime import ProcessId, ports, preflight, procfs
from gameday.runtime.order import closure
from gameday.runtime.tracker import MARKER
from gameday.state import State

_SUPERVISOR_SECONDS = 20.0
_READY_SECONDS = 240.0
_STOP_SECONDS = 60.0
_LEAVE_SECONDS = 5.0
_POLL_SECONDS = 0.1

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Options:
    """What a command asks for. None leaves it to the running system, or else to the default."""

    files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    wired: bool | None = None
    time_scale: float | None = None
    scale: Mapping[str, int] | None = None
    stubs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class System:
    """A running system, all healthy. `joined` where it ran already."""

    control: Control
    status: Mapping[str, Any]
    joined: bool


def state_of(options: Options) -> State:
    return State.find(_files(options)[0].parent)


def plan(options: Options, state: State) -> Plan:
    """Reads the compose files; generates scaled alert rules. Raises InputError with all problems."""
    factor = options.time_scale or 1.0
    catalogue = _load(options, factor)
    rules, slos = catalogue.telemetry.rules, catalogue.telemetry.slos
    if factor != 1 and rules and slos and rules not in os.environ:
        from gameday import alerts

        state.create()
        directory = state.scaled_alerts(factor)
        alerts.build(slos, catalogue, factor, directory)
        catalogue = _load(options, factor, {rules: str(directory)})
    unknown = [name for name in options.services if name not in catalogue.services]
    if unknown:
        raise InputError([_unknown(name, catalogue) for name in unknown])
    started, stubs = options.services, options.stubs or ()
    if stubs:
        from gameday import contracts

        pacts = contracts.read_all(contracts.directory(catalogue))
        catalogue, standing_in = contracts.stubbed(catalogue, stubs, pacts)
        started = (*started, *standing_in)
    wired, scale = bool(options.wired), options.scale or {}
    return Plan(catalogue, options.profiles, started or None, wired, factor, scale, stubs)


def up(
    options: Options, *, trusted: Callable[[Catalogue], bool] = trust.approved, progress: Progress = lambda _: None
) -> System:
    """Joins the system of these files or starts it, and returns when everything is healthy.

    Raises InputError before anything is started where something is wrong with the
    files or the machine, where another system runs in the state directory, or where
    `trusted` says no; GamedayError, with everything ended again, where starting failed.
    `progress` gets the status every now and then.
    """
    state = state_of(options)
    running = _running(state)
    if running is not None:
        return _join(options, state, running, progress)
    wanted = plan(options, state)
    if not trusted(wanted.catalogue):
        raise InputError(_untrusted(wanted.catalogue))
    ours = False
    try:
        with state.locked() as lock:
            if lock is not None:
                clean(state)
                _check_machine(wanted)
                ours = True
                _spawn(wanted, state, lock)
        control = _await_supervisor(state)
        if not ours:  # another `up` was faster
            return _join(options, state, control, progress)
        return System(control, _await_ready(control, state, progress), joined=False)
    except BaseException:
        if ours:  # a failed start has ended itself; an interrupted one has not
            down(state)
        raise


def down(state: State) -> list[str]:
    """Ends the system of `state`, however much of it is left. Returns what had to be ended by force."""
    told = _supervisor(state)
    if told is not None and procfs.state(told) in ("T", "t"):
        # It hears nothing any more: its guardian ends the rest.
        procfs.send(told, SIGKILL)
    with suppress(GamedayError, InputError), Control.connect(state.directory) as control:
        control.call("stop", timeout=_STOP_SECONDS)
    if not _released(state, _LEAVE_SECONDS) and told is not None:
        procfs.send(told, SIGKILL)
        _released(state, _LEAVE_SECONDS)
    return clean(state)


def exists(state: State) -> bool:
    """Something of a system of `state` may be there: it is held, or was not ended in order."""
    if not state.directory.is_dir():
        return False
    with state.locked() as lock:
        return lock is None


def remove_volumes(state: State) -> None:
    shutil.rmtree(state.volumes, ignore_errors=True)


def clean(state: State) -> list[str]:
    """Ends what a crash left of the system of `state` and closes its leases. Returns what was ended."""
    ended = guardian.sweep(state)
    if state.leases.exists():
        # Not before: it brings every fault with it, and most systems begin and end without one.
        from gameday import leases

        leases.settle(state.leases, list(guardian.leftovers(state)))
    return ended


def _files(options: Options) -> tuple[Path, ...]:
    files = options.files or tuple(compose.find(Path.cwd(), os.environ))
    if not files:
        raise InputError(Problem(f"no compose file in {Path.cwd()} or above", mend="name one with -f FILE"))
    return tuple(file.absolute() for file in files)


def _load(options: Options, factor: float, overrides: Mapping[str, str] | None = None) -> Catalogue:
    return compose.load(
        _files(options),
        environment=os.environ,
        profiles=options.profiles,
        time_scale=factor,
        overrides=overrides,
        scale=options.scale,
    )


def _running(state: State) -> Control | None:
    try:
        return Control.connect(state.directory)
    except InputError:
        return None


def _join(options: Options, state: State, control: Control, progress: Progress) -> System:
    told = state.describe() or {}
    wanted = plan(_filled(options, told), state).describe()
    if not options.services:
        wanted["services"] = told.get("services")
    elif set(wanted["services"]) <= set(told.get("services", ())):
        wanted["services"] = told["services"]
    different = _different(wanted, told)
    if different:
        control.close()
        raise InputError(_other_system(state, different, wanted, told))
    return System(control, _await_ready(control, state, progress), joined=True)


def _different(wanted: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """What the command asks for and the running system is not."""
    found = {key for key, value in wanted.items() if told.get(key) != value}
    if "catalogue" not in found:
        # Asked for by --scale or by the file: it is the same.
        found.discard("scale")
    elif found & {"scale", "time_scale"}:
        found.remove("catalogue")
    return sorted(found)


def _filled(options: Options, told: Mapping[str, Any]) -> Options:
    """What the command left open is as the running system has it."""
    return Options(
        options.files,
        options.profiles or tuple(told.get("profiles", ())),
        options.services,
        options.wired if options.wired is not None else told.get("wired"),
        options.time_scale if options.time_scale is not None else told.get("time_scale"),
        options.scale if options.scale is not None else told.get("scale"),
        options.stubs if options.stubs is not None else tuple(told.get("stubs", ())),
    )


def _other_system(state: State, different: list[str], wanted: Mapping[str, Any], told: Mapping[str, Any]) -> Problem:
    shown = {"catalogue": "the compose files or the environment changed since"}
    what = "; ".join(shown.get(key) or f"{key}: {told.get(key)} runs, {wanted[key]} is asked for" for key in different)
    return Problem(
        f"another system runs in {state.directory}: {what}", mend="gameday down, then the same command again"
    )


def _unknown(name: str, catalogue: Catalogue) -> Problem:
    return Problem(
        f"no service is called {name}",
        mend=f"one of: {', '.join(catalogue.services)}",
        file=catalogue.files[0],
        value=name,
    )


def _untrusted(catalogue: Catalogue) -> Problem:
    listed = "\n".join(f"    {service}: {command}" for service, command in trust.commands(catalogue))
    return Problem(
        f"this file runs commands on this machine that nobody approved yet:\n{listed}",
        mend="read them, then gameday up --trust",
        file=catalogue.files[0],
    )


def _check_machine(wanted: Plan) -> None:
    names = closure(wanted.catalogue, wanted.services)
    services = [wanted.catalogue.services[name] for name in names]
    problems = [*preflight.problems(wanted.catalogue, names), *ports.problems(services)]
    if problems:
        raise InputError(problems)


def _released(state: State, timeout: float) -> bool:
    """Waits until neither supervisor nor guardian holds `state`."""
    deadline = time.monotonic() + timeout
    while state.directory.is_dir():
        with state.locked() as lock:
            if lock is not None:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS / 5)
    return True


def _spawn(wanted: Plan, state: State, lock: int) -> None:
    system = uuid.uuid4().hex
    state.supervisor.unlink(missing_ok=True)
    state.processes.unlink(missing_ok=True)
    with state.supervisor_log.open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "gameday.guardian", str(state.directory), system, str(lock)],
            pass_fds=[lock],
            cwd=wanted.catalogue.directory,
            env=os.environ | {MARKER: f"{system}/guardian"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        daemon.communicate(pickle.dumps(wanted))


def _await_supervisor(state: State) -> Control:
    deadline = time.monotonic() + _SUPERVISOR_SECONDS
    while time.monotonic() < deadline:
        control = _running(state)
        if control is not None:
            return control
        _raise_failure(state)
        time.sleep(_POLL_SECONDS / 5)
    raise GamedayError(f"the supervisor did not start; see {state.supervisor_log}")


def _await_ready(control: Control, state: State, progress: Progress) -> Mapping[str, Any]:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            status: Mapping[str, Any] = control.call("status")
        except GamedayError:
            # Either too early, or it failed and is gone.
            _raise_failure(state)
        else:
            progress(status)
            if status["ready"]:
                return status
            if status["failure"]:
                _released(state, _STOP_SECONDS)
                _raise_failure(state)
        time.sleep(_POLL_SECONDS)
    raise GamedayError(f"the system was not ready after {_READY_SECONDS:g}s; see {state.supervisor_log}")


def _raise_failure(state: State) -> None:
    failure = (state.describe() or {}).get("failure")
    if failure is None:
        return
    if "problems" in failure:
        raise InputError(map(decode_problem, failure["problems"]))
    raise GamedayError(failure["error"])


def _supervisor(state: State) -> ProcessId | None:
    """The one that last ran in `state`, where it lives."""
    told = state.describe()
    found = procfs.stat(told["pid"]) if told else None
    if told is None or found is None or procfs.environment(found.id.pid).get(MARKER) != f"{told['system']}/supervisor":
        return None
    return found.id
