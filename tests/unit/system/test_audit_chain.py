"""The audit trail's hash chain, without a database: what is changed is named, and nothing else is."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from system.audit import chain
from system.audit.chain import Entry, Erased, Personal
from system.kit.decisions import canonical

START = datetime(2026, 11, 1, tzinfo=UTC)
NOTHING = Erased([])


def made(count: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, count + 1):
        content = canonical({"userId": "ada", "input": {"limit": number}, "output": {}})
        personal = Personal("ada", bytes([number]) * 32, content)
        entry = Entry(
            number=number,
            id=uuid.UUID(int=number),
            type="RECOMMENDATION_GENERATED",
            model="ease",
            confidence=Decimal("0.5"),
            occurred_at=START + timedelta(seconds=number),
            recorded_at=START + timedelta(seconds=number, microseconds=1),
            facts=None,
            commitment=personal.commitment(),
            personal=personal,
        )
        entries.append(chain.linked(entry, entries[-1].hash if entries else chain.GENESIS))
    return entries


def found(entries: list[Entry], erased: Erased = NOTHING, before: Entry | None = None) -> list[tuple[int, str]]:
    return [(finding.number, finding.problem) for finding in chain.check(entries, erased, before)]


def test_what_nobody_touched_is_sound_in_one_piece_or_in_several() -> None:
    entries = made(5)
    assert found(entries) == []
    assert found(entries[2:], before=entries[1]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": uuid.UUID(int=77)},
        {"type": "CHAT_ANSWER_GENERATED"},
        {"model": "other"},
        {"confidence": Decimal("0.500001")},
        {"confidence": None},
        {"occurred_at": START},
        {"recorded_at": START},
        {"facts": "{}"},
        {"previous": bytes([1]) * 32},
        {"hash": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_changed_field_names_its_row_and_no_other(change: dict[str, Any], place: int) -> None:
    entries = made(5)
    entries[place] = replace(entries[place], **change)
    assert found(entries) == [(place + 1, "changed")]


def test_a_row_rewritten_with_its_hash_is_named_by_the_memory_of_the_next() -> None:
    entries = made(5)
    entries[2] = chain.linked(replace(entries[2], model="other"), entries[1].hash)
    assert found(entries) == [(3, "replaced")]
    assert found(entries[3:], before=entries[2]) == [(3, "replaced")]


def test_a_row_that_is_gone_is_named() -> None:
    entries = made(5)
    assert found([*entries[:1], *entries[3:]]) == [(2, "missing"), (3, "missing")]
    assert found(entries[1:]) == [(1, "missing")]


def test_a_changed_personal_part_is_named_whichever_of_its_columns_it_is() -> None:
    for change in ({"content": canonical({"userId": "ada", "input": {}, "output": {}})}, {"salt": b""}):
        entries = made(3)
        part = entries[1].personal
        assert part
        entries[1] = replace(entries[1], personal=replace(part, **change))
        assert found(entries) == [(2, "personal part changed")]
    entries[1] = replace(entries[1], personal=replace(part, user_id="bob"))
    assert found(entries) == [(2, "personal part changed")]


def test_a_personal_part_may_be_missing_only_where_the_trail_says_why() -> None:
    entries = [replace(entry, personal=None) if entry.number in (2, 3) else entry for entry in made(5)]
    assert found(entries) == [(2, "personal part missing"), (3, "personal part missing")]
    assert found(entries, Erased([canonical({"numbers": [[2, 2]]})])) == [(3, "personal part missing")]
    assert found(entries, Erased([canonical({"numbers": [[3, 3]]}), canonical({"numbers": [[1, 2]]})])) == []


def test_the_commitment_hides_the_content_from_who_has_no_salt() -> None:
    parts = [Personal("ada", bytes([salt]) * 32, "{}") for salt in (1, 2)]
    assert parts[0].commitment() != parts[1].commitment()


def test_spans_of_erasures_hold_what_they_name_and_survive_nonsense() -> None:
    assert chain.spans([7, 1, 2, 3, 9]) == [[1, 3], [7, 7], [9, 9]]
    erased = Erased(['{"numbers":[[5,9]]}', '{"numbers":[[1,3],[6,7]]}', "no json", "{}", '{"numbers":[1]}'])
    assert [number for number in range(12) if number in erased] == [1, 2, 3, 5, 6, 7, 8, 9]
