"""Contracts: what consumers wrote down in pact files, verified against real providers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gameday.catalogue import Catalogue
from gameday.contracts import provider
from gameday.contracts.pacts import Interaction, Pact, read_all
from gameday.contracts.provider import Endpoints
from gameday.errors import GamedayError
from gameday.runtime import Endpoint
from gameday.tools import pact as verifier
from gameday.verdict import Finding, Result, Verdict

__all__ = ["Endpoints", "Interaction", "Pact", "directory", "endpoints", "read_all", "verify"]

CHECK = "contract"
VERIFY_SECONDS = 30.0
REQUEST_SECONDS = 5.0


def directory(catalogue: Catalogue) -> Path:
    """Where a project keeps its pacts."""
    return catalogue.directory / "contracts" / "pacts"


def verify(catalogue: Catalogue, running: Endpoints, pacts: Iterable[Pact]) -> Iterator[Result]:
    """One result a pact, one finding an interaction.

    `running` says where the services are that a provider needs. Whatever keeps
    an interaction from being verified is inconclusive, never a pass.
    """
    return (_verified(catalogue, running, pact) for pact in pacts)


def endpoints(told: Mapping[str, Mapping[str, str]]) -> Endpoints:
    """What the supervisor says under `endpoints`, as `verify` wants it."""
    return {service: {int(port): _endpoint(where) for port, where in ports.items()} for service, ports in told.items()}


def _endpoint(where: str) -> Endpoint:
    host, _, port = where.rpartition(":")
    return Endpoint(host, int(port))


def _verified(catalogue: Catalogue, running: Endpoints, pact: Pact) -> Result:
    started = time.monotonic()
    findings = tuple(_findings(catalogue, running, pact))
    return Result(
        suite="contracts",
        name=pact.name,
        title=f"{pact.provider} keeps what it promised {pact.consumer}",
        findings=findings,
        seconds=time.monotonic() - started,
        facts={"file": str(pact.file), "sha256": pact.sha256},
    )


def _findings(catalogue: Catalogue, running: Endpoints, pact: Pact) -> Iterator[Finding]:
    """Exactly one for each interaction of the file."""
    obstacle = _obstacle(catalogue, pact)
    if obstacle is None:
        try:
            results = _results(catalogue, running, pact)
        except GamedayError as error:
            obstacle = str(error)
    if obstacle is not None:
        for interaction in pact.interactions:
            yield _finding(pact, interaction, Verdict.INCONCLUSIVE, "not verified", obstacle)
        return
    for interaction in pact.interactions:
        yield _judged(pact, interaction, results)


def _obstacle(catalogue: Catalogue, pact: Pact) -> str | None:
    """Why the pact cannot be verified at all."""
    service = catalogue.services.get(pact.provider)
    if service is None:
        return f"{catalogue.files[0].name} has no service {pact.provider!r}"
    stateful = next((interaction for interaction in pact.interactions if interaction.states), None)
    if stateful is not None and service.provider_states is None:
        return (
            f"{stateful.description!r} wants the provider state {stateful.states[0]!r}, "
            f"and x-gameday.provider-states of {pact.provider} does not say how to enter one"
        )
    return None


def _results(catalogue: Catalogue, running: Endpoints, pact: Pact) -> dict[tuple[str, tuple[str, ...]], dict[str, Any]]:
    """The verifier's results by description and states. Raises GamedayError."""
    service = catalogue.services[pact.provider]
    with (
        tempfile.TemporaryDirectory(prefix="gameday-provider-") as scratch,
        provider.instance(catalogue, service, running, log := Path(scratch) / "log") as where,
    ):
        states = f"http://{where}{service.provider_states.path}" if service.provider_states else None
        wanted = verifier.Verification(
            file=str(pact.file),
            provider=pact.provider,
            host=where.host,
            port=where.port,
            states=states,
            request_timeout=REQUEST_SECONDS,
        )
        try:
            found = verifier.verify(wanted, timeout=VERIFY_SECONDS)
        except GamedayError as error:
            raise GamedayError(f"{error}\nThe last words of {pact.provider}:\n{provider.tail(log)}") from error
    return {
        (result["description"], tuple(result.get("providerStates") or ())): result
        for result in found.get("interactionResults", ())
    }


def _judged(
    pact: Pact, interaction: Interaction, results: Mapping[tuple[str, tuple[str, ...]], dict[str, Any]]
) -> Finding:
    result = results.get((interaction.description, interaction.states))
    if result is None:
        return _finding(pact, interaction, Verdict.INCONCLUSIVE, "not verified", "the verifier gave no result for it")
    if result["result"] == "OK":
        return _finding(pact, interaction, Verdict.CONFIRMED, "as promised", "")
    mismatch = result.get("mismatch") or {}
    differences = [_difference(each) for each in mismatch.get("mismatches", ())]
    if differences:
        return _finding(pact, interaction, Verdict.REFUTED, differences[0], "\n".join(differences[1:]))
    # No answer to compare: the provider, or the way into its state, failed.
    return _finding(pact, interaction, Verdict.INCONCLUSIVE, "not verified", str(mismatch.get("message", "no reason")))


def _difference(mismatch: Mapping[str, Any]) -> str:
    where = mismatch.get("path") or mismatch.get("key") or mismatch.get("type", "")
    said = mismatch.get("mismatch") or f"expected {mismatch.get('expected')}, got {mismatch.get('actual')}"
    return f"{where}: {said}"


def _finding(pact: Pact, interaction: Interaction, verdict: Verdict, observed: str, detail: str) -> Finding:
    given = f", given {' and '.join(interaction.states)}" if interaction.states else ""
    return Finding(
        check=CHECK,
        subject=f"{interaction.description}{given}",
        verdict=verdict,
        expected=f"the answer that {pact.consumer} relies on",
        observed=observed,
        detail=detail,
        file=str(pact.file),
        line=interaction.line,
    )
