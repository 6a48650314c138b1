"""What the system of a catalogue, if it is the one that runs here, has to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import typer

from gameday.catalogue import Catalogue
from gameday.cli._judged import catalogue as described
from gameday.control import Control
from gameday.errors import InputError, Problem
from gameday.state import State
from gameday.tools.jaeger import Jaeger

ANSWER_SECONDS = 5.0


@contextmanager
def supervisor(catalogue: Catalogue) -> Iterator[Control | None]:
    """The supervisor of this very system; None where none answers, or that of another."""
    try:
        control = Control.connect(State.find(catalogue.directory).directory)
    except InputError:
        yield None
        return
    with control:
        files = control.call("status", timeout=ANSWER_SECONDS)["files"]
        yield control if [Path(file).resolve() for file in files] == list(catalogue.files) else None


def traces(catalogue: Catalogue, control: Control) -> Jaeger:
    """Raises KeyError where the catalogue names no service that keeps them."""
    return Jaeger.at(control.call("endpoints")[catalogue.telemetry.traces])


def prometheus_option() -> str:
    option: str = typer.Option("", "--prometheus", help="Address. Default: the Prometheus of the running system.")
    return option


@contextmanager
def prometheus_at(url: str) -> Iterator[Any]:
    """The Prometheus at `url`; where that is empty, of the running system. Raises InputError where it has none."""
    from gameday.tools.prometheus import Prometheus

    with closing(Prometheus(url or _own())) as source:
        yield source


def _own() -> str:
    with closing(Control.connect()) as control:
        endpoints = control.call("endpoints")
    system = described(())
    name = system.telemetry.prometheus
    ports = endpoints.get(name, {}) if name else {}
    if not ports:
        mend = "name the service under x-gameday.telemetry.prometheus, or give --prometheus URL"
        raise InputError(Problem("the running system has no Prometheus", mend, system.files[0]))
    return f"http://{next(iter(ports.values()))}"
