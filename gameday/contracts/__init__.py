"""Contracts: what consumers wrote down in pact files, verified against real providers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gameday.catalogue import Catalogue, Service
from gameday.contracts import grpc, provider, versions
from gameday.contracts.broker import Broker, shared
from gameday.contracts.coverage import Covered, coverage, missing
from gameday.contracts.deploy import can_deploy, deployment
from gameday.contracts.ledger import Ledger, Verification
from gameday.contracts.pacts import Interaction, Pact, read_all
from gameday.contracts.provider import Endpoints
from gameday.contracts.stubs import stubbed
from gameday.errors import GamedayError
from gameday.runtime import Endpoint
from gameday.state import State
from gameday.tools import pact as verifier
from gameday.verdict import Finding, Result, Verdict

__all__ = [
    "NOT_ASKED",
    "PENDING",
    "Broker",
    "Covered",
    "Endpoints",
    "Interaction",
    "Ledger",
    "Pact",
    "Verification",
    "can_deploy",
    "coverage",
    "deployment",
    "directory",
    "endpoints",
    "missing",
    "read_all",
    "shared",
    "stubbed",
    "verified",
    "verify",
    "verify_at",
]

CHECK = "contract"
# The fact that holds what is pending and not kept.
PENDING = "pending"
# And the one of what cannot be asked of somebody else's provider.
NOT_ASKED = "not asked"
VERIFY_SECONDS = 30.0
# Providers that start and are verified at a time: starting one costs processor time, verifying it mostly waits.
AT_ONCE = 2 * (os.cpu_count() or 1)
Results = Mapping[tuple[str, tuple[str, ...]], dict[str, Any]]
REQUEST_SECONDS = 5.0


def directory(catalogue: Catalogue) -> Path:
    """Where a project keeps its pacts."""
    return catalogue.directory / "contracts" / "pacts"


def verify(catalogue: Catalogue, running: Endpoints, pacts: Iterable[Pact]) -> Iterator[Result]:
    """One result a pact, one finding an interaction.

    `running` says where the services are that a provider needs. Whatever keeps
    an interaction from being verified is inconclusive, never a pass. Providers are
    verified side by side, each in one instance for all of its pacts.
    """
    by_provider: dict[str, list[Pact]] = {}
    for pact in pacts:
        by_provider.setdefault(pact.provider, []).append(pact)
    with provider.stage(catalogue, running) as stage, ThreadPoolExecutor(AT_ONCE) as workers:
        for results in workers.map(lambda theirs: _verified(stage, theirs), by_provider.values()):
            yield from results


def verified(
    catalogue: Catalogue, state: State, told: Mapping[str, Mapping[str, str]], pacts: Sequence[Pact]
) -> Iterator[Result]:
    """As `verify`, with what the supervisor tells under `endpoints`; remembered, by a named Pact Broker too."""
    broker, ledger, results = Broker.of(os.environ), Ledger(state), []
    for result in verify(catalogue, endpoints(told), pacts):
        ledger.verified([result])
        results.append(result)
        yield result
    if broker:
        with broker:
            yield shared(broker, catalogue, pacts, results)


def verify_at(provider: str, url: str, headers: Mapping[str, str], pacts: Iterable[Pact]) -> Iterator[Result]:
    """Holds what answers at `url` to what `provider` promised, such as somebody else's service that it stands for.

    It has no states that could be entered: what needs one, or is a message, is not asked and told in the facts.
    """
    for pact in pacts:
        if pact.provider == provider and not pact.grpc:
            yield _verified_at(pact, url, headers)


def _verified_at(pact: Pact, url: str, headers: Mapping[str, str]) -> Result:
    started = time.monotonic()
    asked = [each for each in pact.interactions if not each.states and not each.message]
    wanted = verifier.Verification(str(pact.file), pact.provider, url, None, None, VERIFY_SECONDS, headers)
    try:
        results = _said(wanted) if asked else {}
    except GamedayError as error:
        findings = [_finding(pact, each, Verdict.INCONCLUSIVE, "not verified", str(error)) for each in asked]
    else:
        findings = [_judged(pact, each, results) for each in asked]
    result = _result(pact, findings, time.monotonic() - started)
    rest = [f"{pact.name}: {each.subject}" for each in pact.interactions if each not in asked]
    return result.model_copy(update={"facts": result.facts | ({NOT_ASKED: rest} if rest else {})})


def endpoints(told: Mapping[str, Mapping[str, str]]) -> Endpoints:
    """What the supervisor says under `endpoints`, as `verify` wants it."""
    return {service: {int(port): _endpoint(where) for port, where in ports.items()} for service, ports in told.items()}


def _endpoint(where: str) -> Endpoint:
    host, _, port = where.rpartition(":")
    return Endpoint(host, int(port))


def _verified(stage: provider.Stage, pacts: Sequence[Pact]) -> list[Result]:
    """The results of one provider, in the order of `pacts`."""
    obstacles = {pact: obstacle for pact in pacts if (obstacle := _obstacle(stage.catalogue, pact))}
    judged: dict[Pact, Result] = {}
    possible = [pact for pact in pacts if pact not in obstacles]
    if possible:
        try:
            for pact, result in _with_instance(stage, possible):
                judged[pact] = result
        except GamedayError as error:
            # The instance did not start, or not end: what was judged before stands.
            obstacles |= {pact: str(error) for pact in possible if pact not in judged}
    return [judged[pact] if pact in judged else _not_verified(pact, obstacles[pact]) for pact in pacts]


def _with_instance(stage: provider.Stage, pacts: Sequence[Pact]) -> Iterator[tuple[Pact, Result]]:
    """Raises GamedayError where the provider does not start."""
    catalogue = stage.catalogue
    service = catalogue.services[pacts[0].provider]
    asked = versions.version(catalogue, service)
    with stage.instance(service) as ports:
        for pact in pacts:
            started = time.monotonic()
            try:
                findings = _grpc(catalogue, pact, ports) if pact.grpc else _http(service, pact, _first(ports))
            except GamedayError as error:
                obstacle = f"{error}\nThe last words of {pact.provider}:\n{provider.tail(stage.log(service))}"
                yield pact, _not_verified(pact, obstacle)
            else:
                yield pact, _result(pact, findings, time.monotonic() - started, asked)


def _not_verified(pact: Pact, obstacle: str) -> Result:
    findings = [
        _finding(pact, interaction, Verdict.INCONCLUSIVE, "not verified", obstacle) for interaction in pact.interactions
    ]
    return _result(pact, findings, 0.0)


def _result(pact: Pact, findings: Sequence[Finding], seconds: float, version: str | None = None) -> Result:
    """What is pending and not kept is told in the facts, and is no finding: it was not promised."""
    pending = {interaction.subject for interaction in pact.interactions if interaction.pending}
    told = [each for each in findings if each.subject in pending and each.verdict is not Verdict.CONFIRMED]
    facts: dict[str, Any] = {"file": str(pact.file), "sha256": pact.sha256}
    if version:
        facts["version"] = version
    if told:
        facts[PENDING] = [": ".join(filter(None, (pact.name, each.subject, each.observed))) for each in told]
    return Result(
        suite="contracts",
        name=pact.name,
        title=f"{pact.provider} keeps what it promised {pact.consumer}",
        findings=tuple(_promised(each) if each.subject in pending else each for each in findings if each not in told),
        seconds=seconds,
        facts=facts,
    )


def _promised(finding: Finding) -> Finding:
    return finding.model_copy(update={"detail": "kept, and not pending any more: take the mark away"})


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
    message = next((interaction for interaction in pact.interactions if interaction.message), None)
    if message is not None and (service.provider_states is None or service.provider_states.messages is None):
        return (
            f"{message.description!r} is a message, and x-gameday.provider-states.messages "
            f"of {pact.provider} does not say how to have one made"
        )
    return None


def _first(ports: Mapping[int, Endpoint]) -> Endpoint:
    return next(iter(ports.values()))


def _http(service: Service, pact: Pact, where: Endpoint) -> list[Finding]:
    """Raises GamedayError."""
    results = _results(service, pact, where)
    return [_judged(pact, interaction, results) for interaction in pact.interactions]


def _grpc(catalogue: Catalogue, pact: Pact, ports: Mapping[int, Endpoint]) -> list[Finding]:
    """First whether the .proto is still what was released, then each recorded call. Raises GamedayError."""
    recorded = json.loads(pact.file.read_bytes())
    contract = recorded["grpc"]
    released = grpc.released(contract)
    findings = [_proto(pact, grpc.differences(released, grpc.compiled(catalogue.directory / contract["proto"])))]
    states = catalogue.services[pact.provider].provider_states
    url = f"http://{_first(ports)}{states.path}" if states else ""
    if contract["port"] not in ports:
        raise GamedayError(f"{pact.provider} exposes no port {contract['port']}")
    caller = grpc.Caller(released, contract["method"], str(ports[contract["port"]]))
    try:
        for interaction, call in zip(pact.interactions, recorded["interactions"], strict=True):
            grpc.enter(url, call.get("providerStates", ()), "setup", REQUEST_SECONDS)
            found = caller.answer(call["request"], REQUEST_SECONDS)
            grpc.enter(url, call.get("providerStates", ()), "teardown", REQUEST_SECONDS)
            findings.append(_told(pact, interaction, grpc.lacking(call["response"], found)))
    finally:
        caller.close()
    return findings


def _proto(pact: Pact, differences: Sequence[str]) -> Finding:
    return _told(pact, Interaction("the .proto that was released", (), None), differences)


def _told(pact: Pact, interaction: Interaction, differences: Sequence[str]) -> Finding:
    if differences:
        return _finding(pact, interaction, Verdict.REFUTED, differences[0], "\n".join(differences[1:]))
    return _finding(pact, interaction, Verdict.CONFIRMED, "as promised", "")


def _results(service: Service, pact: Pact, where: Endpoint) -> Results:
    """The verifier's results by description and states. Raises GamedayError."""
    states = service.provider_states
    wanted = verifier.Verification(
        file=str(pact.file),
        provider=pact.provider,
        url=f"http://{where}",
        states=f"http://{where}{states.path}" if states else None,
        messages=states.messages if states else None,
        request_timeout=REQUEST_SECONDS,
    )
    return _said(wanted)


def _said(wanted: verifier.Verification) -> Results:
    found = verifier.verify(wanted, timeout=VERIFY_SECONDS)
    return {
        (result["description"], tuple(result.get("providerStates") or ())): result
        for result in found.get("interactionResults", ())
    }


def _judged(pact: Pact, interaction: Interaction, results: Results) -> Finding:
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
    if interaction.test and verdict is not Verdict.CONFIRMED:
        detail = "\n".join(filter(None, (detail, f"agreed by {interaction.test}")))
    return Finding(
        check=CHECK,
        subject=interaction.subject,
        verdict=verdict,
        expected=f"the answer that {pact.consumer} relies on",
        observed=observed,
        detail=detail,
        file=str(pact.file),
        line=interaction.line,
    )
