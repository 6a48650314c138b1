"""What the system of a catalogue, if it is the one that runs here, has to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gameday.catalogue import Catalogue
from gameday.control import Control
from gameday.errors import InputError
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
