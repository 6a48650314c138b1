"""The hash chain over the trail: each entry's hash covers its fields and the hash before it.

Pure: what is stored goes in, what is wrong with it comes out.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from system.kit.decisions import canonical

GENESIS = bytes(32)
STEP = Decimal("0.000001")

Problem = Literal["changed", "missing", "replaced", "personal part changed", "personal part missing"]


@dataclass(frozen=True)
class Personal:
    """What an entry says about a person. `content` is canonical JSON."""

    user_id: str | None
    salt: bytes
    content: str

    def commitment(self) -> bytes:
        """Proves the content to who has the salt, and says nothing to who has not."""
        return hashlib.sha256(self.salt + self.content.encode()).digest()


@dataclass(frozen=True)
class Entry:
    """A row of the trail. An erasure has `facts`; a decision has a `model`, and a `commitment` to what is personal."""

    number: int
    id: UUID
    type: str
    model: str | None
    confidence: Decimal | None
    occurred_at: datetime
    recorded_at: datetime
    facts: str | None
    commitment: bytes | None
    previous: bytes = GENESIS
    hash: bytes = b""
    personal: Personal | None = None


@dataclass(frozen=True)
class Finding:
    """`id` is None for an entry that is not there."""

    number: int
    id: UUID | None
    problem: Problem


def digest(entry: Entry) -> bytes:
    fields = {
        "number": entry.number,
        "id": str(entry.id),
        "type": entry.type,
        "model": entry.model,
        "confidence": None if entry.confidence is None else str(entry.confidence.quantize(STEP)),
        "occurredAt": entry.occurred_at.astimezone(UTC).isoformat(),
        "recordedAt": entry.recorded_at.astimezone(UTC).isoformat(),
        "facts": entry.facts,
        "commitment": entry.commitment.hex() if entry.commitment is not None else None,
    }
    return hashlib.sha256(entry.previous + canonical(fields).encode()).digest()


def linked(entry: Entry, previous: bytes) -> Entry:
    """The entry as the next after the one whose hash is `previous`."""
    entry = replace(entry, previous=previous)
    return replace(entry, hash=digest(entry))


class Erased:
    """The numbers of the entries whose personal part may be missing, as the erasures in the trail say."""

    def __init__(self, facts: Iterable[str]) -> None:
        spans = sorted(span for each in facts for span in _spans(each))
        self._starts = [start for start, _ in spans]
        self._ends: list[int] = []
        for _, end in spans:
            self._ends.append(max(end, self._ends[-1] if self._ends else 0))

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._starts, number) - 1
        return place >= 0 and number <= self._ends[place]


def _spans(facts: str) -> list[tuple[int, int]]:
    """None for facts that somebody spoilt: the entry's own hash tells of that."""
    try:
        return [(int(first), int(last)) for first, last in json.loads(facts)["numbers"]]
    except (ValueError, KeyError, TypeError):
        return []


def spans(numbers: Iterable[int]) -> list[list[int]]:
    """[first, last] of each run without a gap."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def check(entries: Sequence[Entry], erased: Erased, before: Entry | None = None) -> list[Finding]:
    """What is wrong with consecutive entries, in the order of their numbers; `before` is the one that precedes them."""
    findings: list[Finding] = []
    sound = before is not None and digest(before) == before.hash
    for entry in entries:
        was_sound, sound = sound, digest(entry) == entry.hash
        missing = _missing(before, entry)
        findings += missing
        if not sound:
            findings.append(Finding(entry.number, entry.id, "changed"))
        elif not missing and entry.previous != (before.hash if before else GENESIS):
            findings += _replaced(before, was_sound)
        if problem := _personal(entry, erased):
            findings.append(Finding(entry.number, entry.id, problem))
        before = entry
    return findings


def _replaced(before: Entry | None, was_sound: bool) -> list[Finding]:
    """An entry that was changed together with its hash is betrayed by the next, which remembers the old one."""
    return [Finding(before.number, before.id, "replaced")] if before and was_sound else []


def _missing(before: Entry | None, entry: Entry) -> list[Finding]:
    expected = before.number + 1 if before else 1
    return [Finding(number, None, "missing") for number in range(expected, entry.number)]


def _personal(entry: Entry, erased: Erased) -> Problem | None:
    part = entry.personal
    if part is None:
        return "personal part missing" if entry.commitment is not None and entry.number not in erased else None
    true = part.commitment() == entry.commitment and json.loads(part.content)["userId"] == part.user_id
    return None if true else "personal part changed"
