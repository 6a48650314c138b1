"""Pact files: who promised what to whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.errors import InputError, Problem


@dataclass(frozen=True)
class Interaction:
    """`states` are the provider states that have to hold before it; a `message` is made, not asked for.

    What is `pending` is work in progress: its provider has not promised it yet, and is broken by nothing in it.
    `test` is the consumer's that wrote it, where that left its name.
    """

    description: str
    states: tuple[str, ...]
    line: int | None
    message: bool = False
    pending: bool = False
    test: str | None = None

    @property
    def subject(self) -> str:
        """What findings call it."""
        return self.description + (f", given {' and '.join(self.states)}" if self.states else "")


@dataclass(frozen=True)
class Pact:
    """`sha256` is of the file as it stands. A `grpc` contract is none of Pact's, and is verified by gameday itself."""

    file: Path
    consumer: str
    provider: str
    interactions: tuple[Interaction, ...]
    sha256: str
    grpc: bool = False

    @property
    def name(self) -> str:
        return f"{self.consumer}->{self.provider}"


def read_all(directory: Path) -> list[Pact]:
    """Every pact in `directory`. Raises InputError with the problems of all files, or where there is none."""
    pacts: list[Pact] = []
    problems: list[Problem] = []
    for file in sorted([*directory.glob("*.json"), *directory.glob("grpc/*.json")]):
        try:
            pacts.append(read(file))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    if not pacts:
        mend = "name the directory with --pacts, or run the consumer tests, which write them"
        raise InputError(Problem(f"no pact in {directory}", mend=mend, file=directory))
    return pacts


def read(file: Path) -> Pact:
    """Raises InputError: a contract that cannot be read must not look like one that is kept."""
    try:
        content = file.read_bytes()
        raw = json.loads(content)
    except OSError as error:
        raise InputError(Problem(f"the pact cannot be read: {error.strerror}", "write it again", file)) from error
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise InputError(Problem(f"this is no JSON: {error}", _MEND, file, line)) from error
    try:
        consumer, provider = str(raw["consumer"]["name"]), str(raw["provider"]["name"])
        interactions = tuple(_interactions(raw, content.decode().splitlines()))
        if "grpc" in raw:
            _check_grpc(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(Problem(f"this is no pact: {error} is missing", _MEND, file)) from error
    if not interactions:
        raise InputError(Problem("the pact has no interaction: it promises nothing", _MEND, file, key="interactions"))
    return Pact(file, consumer, provider, interactions, hashlib.sha256(content).hexdigest(), "grpc" in raw)


def _check_grpc(raw: dict[str, Any]) -> None:
    """Raises KeyError for what a gRPC contract lacks."""
    for key in ("proto", "port", "method", "released"):
        raw["grpc"][key]
    for interaction in raw["interactions"]:
        interaction["request"], interaction["response"]


_MEND = "run the consumer tests, which write it"


def _interactions(raw: dict[str, Any], lines: list[str]) -> Iterator[Interaction]:
    """Of every version of Pact's: 2 names one state, 3 has messages in a list of their own."""
    messages = [each | {"type": "Asynchronous/Messages"} for each in raw.get("messages", ())]
    for interaction in (*raw.get("interactions", ()), *messages):
        description = str(interaction["description"])
        only = interaction.get("providerState")
        listed = interaction.get("providerStates") or ([{"name": only}] if only else ())
        states = tuple(str(state["name"]) for state in listed)
        message = "Messages" in str(interaction.get("type", ""))
        pending = interaction.get("pending") is True
        test = (interaction.get("comments") or {}).get("testname")
        yield Interaction(description, states, _line(lines, description), message, pending, test)


def _line(lines: list[str], description: str) -> int | None:
    wanted = f'"description": {json.dumps(description)}'
    return next((number for number, line in enumerate(lines, 1) if wanted in line), None)
