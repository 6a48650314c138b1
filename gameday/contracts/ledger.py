"""What is remembered of contracts: how each was last verified, and what stands in which environment.

Two journals, which only grow: nothing is lost to a crash, the last word counts, and a torn last line is as if it had
not been written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gameday.journal import Journal, read
from gameday.state import State
from gameday.verdict import Result, Verdict


@dataclass(frozen=True)
class Verification:
    """Of the pact with this hash by a provider of this `version`. `told` are the findings that were not confirmed.

    `pending` is what the consumer wants and the provider does not keep: its `verdict` is on the rest.
    """

    pact: str
    sha256: str
    version: str
    verdict: Verdict
    wall: float
    told: Sequence[str] = ()
    pending: Sequence[str] = ()


@dataclass(frozen=True)
class Deployment:
    """What stands in an environment: the service's version, and by name the hashes of the pacts that it relies on."""

    environment: str
    service: str
    version: str
    pacts: Mapping[str, str] = field(default_factory=dict)
    wall: float = 0.0


class Ledger:
    def __init__(self, state: State) -> None:
        self._verifications = state.contracts / "verifications.jsonl"
        self._deployments = state.contracts / "deployments.jsonl"

    def verified(self, results: Sequence[Result]) -> None:
        """Remembers those that are about a pact and say which provider was asked."""
        for result in results:
            if {"sha256", "version"} <= result.facts.keys():
                told = [_told(finding) for finding in result.findings if finding.verdict is not Verdict.CONFIRMED]
                facts, pending = result.facts, result.facts.get("pending", ())
                # Nothing that was promised is broken where nothing was promised yet.
                verdict = result.verdict if result.findings or not pending else Verdict.CONFIRMED
                _append(
                    self._verifications,
                    Verification(result.name, facts["sha256"], facts["version"], verdict, time.time(), told, pending),
                )

    def verification(self, pact: str, sha256: str, version: str | None = None) -> Verification | None:
        """The last of the pact with this hash, by that version of its provider where one is named."""
        found = None
        for line in _all(self._verifications):
            each = Verification(**line | {"verdict": Verdict(line["verdict"])})
            if (each.pact, each.sha256) == (pact, sha256) and version in (None, each.version):
                found = each
        return found

    def deployed(self, deployment: Deployment) -> None:
        _append(self._deployments, deployment)

    def standing(self, environment: str) -> Mapping[str, Deployment]:
        """By service what was last said to stand in `environment`."""
        every = (Deployment(**line) for line in _all(self._deployments))
        return {each.service: each for each in every if each.environment == environment}

    def environments(self) -> list[str]:
        return sorted({str(line["environment"]) for line in _all(self._deployments)})


def _told(finding: Any) -> str:
    return ": ".join(filter(None, (finding.subject, finding.observed, finding.detail)))


def _append(file: Path, record: Verification | Deployment) -> None:
    journal = Journal(file)
    try:
        journal.append(type(record).__name__.lower(), sync=True, **asdict(record))
    finally:
        journal.close()


def _all(file: Path) -> Iterator[dict[str, Any]]:
    return (record.data for record in read(file).records)
