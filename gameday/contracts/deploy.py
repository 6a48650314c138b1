"""May a service be deployed? Only where each contract that it is a part of was seen to be kept, by exactly these two.

Without an environment the other side is what the catalogue holds; with one, what was said to stand there. What was not
verified is no yes: it is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from gameday.catalogue import Catalogue
from gameday.contracts.ledger import Deployment, Ledger, Verification
from gameday.contracts.pacts import Pact
from gameday.contracts.versions import version
from gameday.verdict import Finding, Result, Verdict

CHECK = "can-deploy"


def can_deploy(
    catalogue: Catalogue, ledger: Ledger, pacts: Sequence[Pact], service: str, environment: str | None
) -> Result:
    """One finding for each contract of `service`."""
    standing = ledger.standing(environment) if environment else {}
    findings: list[Finding] = []
    for pact in pacts:
        if pact.consumer == service:
            findings.append(_relies(catalogue, ledger, pact, standing, environment))
        if pact.provider == service:
            findings += _serves(catalogue, ledger, pact, standing, environment)
    if not findings:
        told = "nobody in the environment relies on it, and it relies on nobody"
        findings.append(_finding(service, Verdict.CONFIRMED, told if environment else "it is part of no contract"))
    where = f" to {environment}" if environment else ""
    return Result(
        suite="contracts",
        name=f"{CHECK} {service}",
        title=f"{service} can be deployed{where}",
        findings=tuple(findings),
    )


def deployment(catalogue: Catalogue, pacts: Sequence[Pact], service: str, environment: str, wall: float) -> Deployment:
    """`service` as the catalogue holds it now, said to stand in `environment`."""
    relied = {pact.name: pact.sha256 for pact in pacts if pact.consumer == service}
    return Deployment(environment, service, version(catalogue, catalogue.services[service]), relied, wall)


def _relies(
    catalogue: Catalogue, ledger: Ledger, pact: Pact, standing: Mapping[str, Deployment], environment: str | None
) -> Finding:
    """The service as a consumer: does what stands there keep what it relies on?"""
    if environment is None:
        provider = version(catalogue, catalogue.services[pact.provider])
    elif pact.provider in standing:
        provider = standing[pact.provider].version
    else:
        return _finding(pact.name, Verdict.REFUTED, f"{pact.provider} does not stand in {environment}")
    found = ledger.verification(pact.name, pact.sha256, provider)
    if found is not None and found.pending:
        return _finding(
            pact.name,
            Verdict.REFUTED,
            f"{pact.provider} {provider} does not keep what is pending",
            "\n".join(found.pending),
        )
    return _kept(pact.name, found, f"{pact.provider} {provider}")


def _serves(
    catalogue: Catalogue, ledger: Ledger, pact: Pact, standing: Mapping[str, Deployment], environment: str | None
) -> Iterator[Finding]:
    """The service as a provider: does it keep what those rely on who stand there? Who does not, cannot be broken."""
    own = version(catalogue, catalogue.services[pact.provider])
    if environment is None:
        yield _kept(pact.name, ledger.verification(pact.name, pact.sha256, own), f"{pact.provider} {own}")
    elif pact.consumer in standing and pact.name in standing[pact.consumer].pacts:
        relied = standing[pact.consumer].pacts[pact.name]
        yield _kept(pact.name, ledger.verification(pact.name, relied, own), f"{pact.provider} {own}")


def _kept(name: str, found: Verification | None, provider: str) -> Finding:
    if found is None:
        mend = "run gameday contracts verify"
        return _finding(name, Verdict.INCONCLUSIVE, f"never verified by {provider}", mend)
    when = datetime.fromtimestamp(found.wall).astimezone().isoformat(timespec="seconds")
    return _finding(name, found.verdict, f"{found.verdict} by {provider} at {when}", "\n".join(found.told))


def _finding(subject: str, verdict: Verdict, observed: str, detail: str = "") -> Finding:
    expected = "kept by exactly these two"
    return Finding(check=CHECK, subject=subject, verdict=verdict, expected=expected, observed=observed, detail=detail)
