"""Pact's own verifier, as a team would run it without gameday, takes the same files."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from program import PROGRAM, ROOT, Gameday

from gameday import contracts
from gameday.catalogue import Catalogue, compose
from gameday.contracts import Pact, provider

pytestmark = pytest.mark.alone

PACTS = [pact for pact in contracts.read_all(ROOT / "contracts/pacts") if not pact.grpc]
PROVIDERS = sorted({pact.provider for pact in PACTS})


def test_it_accepts_every_pact_of_every_provider(wired: Gameday) -> None:
    """gRPC aside, for which it needs a plugin."""
    system = compose.load([ROOT / "docker-compose.yml"], environment=wired.env, time_scale=30)
    running = contracts.endpoints(wired.call("endpoints"))

    def verified(stage: provider.Stage, name: str) -> list[tuple[str, int, str]]:
        theirs = [pact for pact in PACTS if pact.provider == name]
        with stage.instance(system.services[name]) as ports:
            where = next(iter(ports.values()))
            return [(pact.name, *stock(system, pact, where.host, where.port)) for pact in theirs]

    with provider.stage(system, running) as stage, ThreadPoolExecutor(2) as two:
        results = [each for found in two.map(partial(verified, stage), PROVIDERS) for each in found]
    assert len(results) == len(PACTS)
    assert [(name, said) for name, code, said in results if code] == []


def stock(system: Catalogue, pact: Pact, host: str, port: int) -> tuple[int, str]:
    """The exit code and the last words of `pact verifier`."""
    states = system.services[pact.provider].provider_states
    command: list[str] = [str(PROGRAM.with_name("pact")), "verifier", "--file", str(pact.file)]
    command += ["--provider-name", pact.provider, "--hostname", host, "--port", str(port), "--no-colour"]
    if states:
        command += ["--state-change-url", f"http://{host}:{port}{states.path}", "--state-change-teardown"]
        command += transports(pact, port, states.messages)
    done = subprocess.run(
        command, env={"PACT_DO_NOT_TRACK": "true"}, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, "\n".join((done.stdout + done.stderr).splitlines()[-30:])


def transports(pact: Pact, port: int, messages: str | None) -> Sequence[str]:
    made = any(interaction.message for interaction in pact.interactions)
    return ["--transports", f"message:{port}{messages}"] if made else []
