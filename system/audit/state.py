"""What the trail amounts to: for each user, model and type of decision how many there were, and how sure.

A fold over the entries, so that it can be made anew from them at any time. Exact
numbers and no order: two ways to the same entries give the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from system.audit.chain import Entry


class Key(NamedTuple):
    """`user` is None for nobody known, and for those who were forgotten."""

    user: str | None
    model: str
    type: str


@dataclass(frozen=True)
class Total:
    """`confidence` is the sum over the `confident` decisions that have one; `last` is when the latest was made."""

    decisions: int
    confident: int
    confidence: Decimal
    last: datetime

    def __add__(self, other: Total) -> Total:
        return Total(
            self.decisions + other.decisions,
            self.confident + other.confident,
            self.confidence + other.confidence,
            max(self.last, other.last),
        )


State = dict[Key, Total]


def replay(entries: Iterable[Entry], state: State | None = None) -> State:
    """`state` after `entries`, of which erasures count for nothing: what they took is no longer in the entries."""
    state = {} if state is None else state
    for entry in entries:
        if entry.model is not None:
            key = Key(entry.personal.user_id if entry.personal else None, entry.model, entry.type)
            total = _of(entry)
            state[key] = state[key] + total if key in state else total
    return state


def differences(one: State, other: State) -> list[Key]:
    """The keys at which the two are not the same."""
    return [key for key in {**one, **other} if one.get(key) != other.get(key)]


def _of(entry: Entry) -> Total:
    known = entry.confidence is not None
    return Total(1, int(known), entry.confidence or Decimal(0), entry.occurred_at.astimezone(UTC))
