"""`gameday up`: start the system that a compose file describes, or join the one that runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from gameday.catalogue import Catalogue
from gameday.errors import InputError, Problem

EXAMPLE = "Example: $ gameday up --wire all --time-scale 30"


class Wiring(StrEnum):
    ALL = "all"
    NONE = "none"


def register(app: typer.Typer) -> None:
    app.command("up", epilog=EXAMPLE)(run)


def run(  # noqa: PLR0917 - options of a command line
    services: list[str] = typer.Argument(None, help="Only these and what they depend on. Default: all."),
    file: list[Path] = typer.Option(
        [], "--file", "-f", help="Compose file; may be repeated. Default: as Docker finds it."
    ),
    profile: list[str] = typer.Option([], "--profile", help="Profile to switch on; may be repeated."),
    wire: Wiring = typer.Option(None, "--wire", help="all: every edge runs through a proxy that can misbehave."),
    time_scale: float = typer.Option(None, "--time-scale", min=1.0, help="How much faster timers run. Default: 1."),
    scale: list[str] = typer.Option(
        [], "--scale", metavar="SERVICE=N", help="Replicas of a service, whatever the file says; may be repeated."
    ),
    stubs: bool = typer.Option(
        False, "--stubs", help="The services' providers are served from their contracts; their stores are real."
    ),
    trust: bool = typer.Option(False, "--trust", help="Approve the commands that the compose file runs."),
    runtime: str = typer.Option("process", "--runtime", help="How the services are run: process."),
) -> None:
    """Start the services of a compose file and wait until all are healthy.

    A second `up` joins the first. A port of this machine that is in use, an image
    without a local server, a program that is missing: all are told before anything is
    started. Where a service does not come up its last words are shown and everything
    is ended.
    """
    from gameday import lifecycle
    from gameday.cli._starting import Starting

    if runtime != "process":
        raise InputError(Problem(f"there is no runtime {runtime}", mend="gameday up --runtime process", value=runtime))
    options = lifecycle.Options(
        files=tuple(file),
        profiles=tuple(profile),
        services=tuple(services or ()),
        wired=None if wire is None else wire is Wiring.ALL,
        time_scale=time_scale,
        scale=_scale(scale),
        stubs=_alone(services) if stubs else None,
    )
    began = time.monotonic()
    with Starting() as starting:
        system = lifecycle.up(options, trusted=_approval(trust, starting.pause), progress=starting.show)
    system.control.close()
    print(_summary(system.status, None if system.joined else time.monotonic() - began))


def _scale(given: list[str]) -> dict[str, int] | None:
    """`web=2` -> {"web": 2}; None where nothing was given. Raises InputError."""
    pairs = {each: each.rpartition("=") for each in given}
    wrong = [each for each, (service, _, count) in pairs.items() if not service or not count.isdecimal()]
    if wrong:
        raise InputError([Problem(f"--scale {each}", "write SERVICE=N, such as web=2", value=each) for each in wrong])
    return {service: int(count) for service, _, count in pairs.values()} or None


def _alone(services: list[str] | None) -> tuple[str, ...]:
    """Raises InputError where nothing says who is to be developed."""
    if not services:
        raise InputError(Problem("--stubs needs a service", mend="gameday up SERVICE --stubs"))
    return tuple(services)


def _summary(status: Mapping[str, Any], seconds: float | None) -> str:
    count = len(status["services"])
    healthy = f"{count} service{'s' * (count != 1)} healthy"
    began = f"joined the system that runs: {healthy}" if seconds is None else f"{healthy} after {seconds:.1f} s"
    wired = "every edge wired" if status["wired"] else "not wired"
    told = f"{began}, {status['total_pss_mb']:.0f} MiB, {wired}, time scale {status['time_scale']:g}"
    alone = " and ".join(status["stubs_for"])
    return told + (f"\nwhat {alone} asks by HTTP is answered from contracts/pacts" if alone else "")


def _approval(given: bool, pause: Callable[[], None]) -> Callable[[Catalogue], bool]:
    """Asks where somebody can answer; `given` answers."""
    from gameday import trust

    def trusted(catalogue: Catalogue) -> bool:
        if trust.approved(catalogue):
            return True
        if not given and not (sys.stdin.isatty() and ask(catalogue)):
            return False
        trust.approve(catalogue)
        return True

    def ask(catalogue: Catalogue) -> bool:
        pause()
        print(f"{catalogue.files[0]} runs these commands on this machine:")
        for service, command in trust.commands(catalogue):
            print(f"  {service}: {command}")
        return typer.confirm("Run them?")

    return trusted
