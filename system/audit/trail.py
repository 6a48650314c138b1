"""The trail in PostgreSQL: one function a statement, or a few that belong together in one transaction."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

from system.audit import chain
from system.audit.chain import GENESIS, STEP, Entry, Personal
from system.audit.state import Key, State, Total, replay
from system.kit.database import Connection, Row
from system.kit.decisions import Decision, canonical

# Held while something is added, so that the chain has one end. Any fixed number does that no other lock here has.
LOCK = 5_118_002
ERASURE, RETENTION = "PERSON_ERASED", "RETENTION_APPLIED"

Outcome = Literal["appended", "duplicate", "conflict"]

_ENTRY = """SELECT t.*, p.number AS part, p.user_id, p.salt, p.content
    FROM trail t LEFT JOIN personal p ON p.number = t.number"""

_COLUMNS = tuple(field.name for field in fields(Entry) if field.name != "personal")


@dataclass(frozen=True)
class Wanted:
    """What is looked for; None: whatever. `since` is included, `until` is not; `before` is a number in the trail."""

    user: str | None = None
    model: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


async def append(connection: Connection, decisions: Sequence[Decision]) -> list[Outcome]:
    """Adds those that are new, in this order, and says of each what became of it.

    A decision that came before counts once. One that has its id and says something
    else is a `conflict`, and is not added.
    """
    head = await _lock_head(connection)
    known = await _by_ids(connection, [decision.id for decision in decisions])
    forgotten = await _forgotten(connection, decisions)
    outcomes: list[Outcome] = []
    added: list[Entry] = []
    for decision in decisions:
        if entry := known.get(decision.id):
            outcomes.append("duplicate" if _same(entry, decision) else "conflict")
            continue
        previous = added[-1] if added else head
        entry = _entry(decision, previous, keep=not _late(decision, forgotten))
        known[decision.id] = entry
        added.append(entry)
        outcomes.append("appended")
    await _insert(connection, added)
    await _count(connection, replay(added))
    return outcomes


async def erase(connection: Connection, user: str) -> int:
    """Forgets what the decisions so far say of `user`, also those that are still on their way; how many there were."""
    head = await _lock_head(connection)
    cursor = await connection.execute("SELECT number FROM personal WHERE user_id = %s", (user,))
    numbers = [row["number"] for row in await cursor.fetchall()]
    await connection.execute(
        "INSERT INTO erased (person, through) VALUES (%s, now())"
        " ON CONFLICT (person) DO UPDATE SET through = excluded.through",
        (_person(user),),
    )
    await _forget(connection, head, numbers, ERASURE, person=_person(user).hex())
    return len(numbers)


async def retire(connection: Connection, before: datetime, limit: int) -> int:
    """Forgets what at most `limit` decisions recorded `before` say of persons; how many they were."""
    head = await _lock_head(connection)
    cursor = await connection.execute(
        """SELECT p.number FROM personal p JOIN trail t ON t.number = p.number
            WHERE t.recorded_at < %s ORDER BY p.number LIMIT %s""",
        (before, limit),
    )
    numbers = [row["number"] for row in await cursor.fetchall()]
    if numbers:
        await _forget(connection, head, numbers, RETENTION, before=before.astimezone(UTC).isoformat())
    return len(numbers)


async def find(connection: Connection, wanted: Wanted, limit: int) -> list[Entry]:
    """Decisions, the latest in the trail first."""
    conditions = {
        "t.model IS NOT NULL": None,
        "p.user_id = %s": wanted.user,
        "t.model = %s": wanted.model,
        "t.type = %s": wanted.type,
        "t.occurred_at >= %s": wanted.since,
        "t.occurred_at < %s": wanted.until,
        "t.number < %s": wanted.before,
    }
    asked = {text: value for text, value in conditions.items() if value is not None or "%s" not in text}
    values = [value for value in asked.values() if value is not None]
    statement = f"{_ENTRY} WHERE {' AND '.join(asked)} ORDER BY t.number DESC LIMIT %s"
    cursor = await connection.execute(statement, (*values, limit))
    return [_read(row) for row in await cursor.fetchall()]


async def by_id(connection: Connection, decision: UUID) -> Entry | None:
    return (await _by_ids(connection, [decision])).get(decision)


async def entries(connection: Connection, after: int, limit: int) -> list[Entry]:
    """All entries behind the number `after`, in the order of the trail."""
    cursor = await connection.execute(f"{_ENTRY} WHERE t.number > %s ORDER BY t.number LIMIT %s", (after, limit))
    return [_read(row) for row in await cursor.fetchall()]


async def at(connection: Connection, number: int) -> Entry | None:
    cursor = await connection.execute(f"{_ENTRY} WHERE t.number = %s", (number,))
    row = await cursor.fetchone()
    return _read(row) if row else None


async def head(connection: Connection) -> Entry | None:
    cursor = await connection.execute(f"{_ENTRY} ORDER BY t.number DESC LIMIT 1")
    row = await cursor.fetchone()
    return _read(row) if row else None


async def erasures(connection: Connection) -> chain.Erased:
    cursor = await connection.execute("SELECT facts FROM trail WHERE facts IS NOT NULL")
    return chain.Erased([row["facts"] for row in await cursor.fetchall()])


async def totals(connection: Connection, user: str | None = None, model: str | None = None) -> State:
    """As they were counted while the trail grew; None: of all."""
    cursor = await connection.execute(
        "SELECT * FROM totals WHERE (%(user)s::text IS NULL OR user_id = %(user)s)"
        " AND (%(model)s::text IS NULL OR model = %(model)s)",
        {"user": user, "model": model},
    )
    return _state(await cursor.fetchall())


async def _lock_head(connection: Connection) -> Entry | None:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    return await head(connection)


async def _by_ids(connection: Connection, ids: list[UUID]) -> dict[UUID, Entry]:
    cursor = await connection.execute(f"{_ENTRY} WHERE t.id = ANY(%s)", (ids,))
    return {row["id"]: _read(row) for row in await cursor.fetchall()}


async def _forgotten(connection: Connection, decisions: Iterable[Decision]) -> dict[bytes, datetime]:
    persons = [_person(decision.userId) for decision in decisions if decision.userId]
    cursor = await connection.execute("SELECT * FROM erased WHERE person = ANY(%s)", (persons,))
    return {row["person"]: row["through"] for row in await cursor.fetchall()}


def _late(decision: Decision, forgotten: dict[bytes, datetime]) -> bool:
    """Whether it was made before its person was erased, and was only on its way for longer."""
    through = forgotten.get(_person(decision.userId)) if decision.userId else None
    return through is not None and decision.occurred_at <= through


def _person(user: str) -> bytes:
    """Under which an erasure is remembered: users' ids are random, so that this leads back to nobody."""
    return hashlib.sha256(user.encode()).digest()


def _same(entry: Entry, decision: Decision) -> bool:
    if entry.personal and entry.personal.content != canonical(decision.personal()):
        return False
    told = (decision.type, decision.model, _confidence(decision), decision.occurred_at)
    return (entry.type, entry.model, entry.confidence, entry.occurred_at.astimezone(UTC)) == told


def _entry(decision: Decision, previous: Entry | None, *, keep: bool) -> Entry:
    content = canonical(decision.personal())
    personal = Personal(decision.userId, secrets.token_bytes(32), content) if keep else None
    return chain.linked(
        Entry(
            number=_next(previous),
            id=decision.id,
            type=decision.type,
            model=decision.model,
            confidence=_confidence(decision),
            occurred_at=decision.occurred_at,
            recorded_at=datetime.now(UTC),
            facts=None,
            commitment=personal.commitment() if personal else None,
            personal=personal,
        ),
        _hash(previous),
    )


def _confidence(decision: Decision) -> Decimal | None:
    return None if decision.confidence is None else Decimal(decision.confidence).quantize(STEP)


def _next(previous: Entry | None) -> int:
    return previous.number + 1 if previous else 1


def _hash(previous: Entry | None) -> bytes:
    return previous.hash if previous else GENESIS


async def _forget(connection: Connection, head: Entry | None, numbers: list[int], kind: str, **facts: str) -> None:
    """Deletes the personal parts of the entries `numbers`, and says so in the trail."""
    taken = replay(await _among(connection, numbers))
    await connection.execute("DELETE FROM personal WHERE number = ANY(%s)", (numbers,))
    await _recount(connection, list({key.user for key in taken if key.user is not None}))
    nameless: State = {}
    for key, total in taken.items():
        to = key._replace(user=None)
        if key.user is not None:
            nameless[to] = nameless[to] + total if to in nameless else total
    await _count(connection, nameless)
    now = datetime.now(UTC)
    entry = Entry(
        number=_next(head),
        id=uuid4(),
        type=kind,
        model=None,
        confidence=None,
        occurred_at=now,
        recorded_at=now,
        facts=canonical({**facts, "numbers": chain.spans(numbers)}),
        commitment=None,
    )
    await _insert(connection, [chain.linked(entry, _hash(head))])


async def _among(connection: Connection, numbers: list[int]) -> list[Entry]:
    cursor = await connection.execute(f"{_ENTRY} WHERE t.number = ANY(%s)", (numbers,))
    return [_read(row) for row in await cursor.fetchall()]


async def _insert(connection: Connection, added: Sequence[Entry]) -> None:
    rows = [{name: getattr(entry, name) for name in _COLUMNS} for entry in added]
    parts = [(entry.number, p.user_id, p.salt, p.content) for entry in added if (p := entry.personal)]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO trail VALUES (%(number)s, %(id)s, %(type)s, %(model)s, %(confidence)s, %(occurred_at)s,
                %(recorded_at)s, %(facts)s, %(commitment)s, %(previous)s, %(hash)s)""",
            rows,
        )
        await cursor.executemany("INSERT INTO personal VALUES (%s, %s, %s, %s)", parts)


async def _count(connection: Connection, more: State) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO totals AS old (user_id, model, type, decisions, confident, confidence, last)
                VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (user_id, model, type) DO UPDATE SET
                decisions = old.decisions + excluded.decisions, confident = old.confident + excluded.confident,
                confidence = old.confidence + excluded.confidence, last = greatest(old.last, excluded.last)""",
            [(*key, t.decisions, t.confident, t.confidence, t.last) for key, t in more.items()],
        )


async def _recount(connection: Connection, users: list[str]) -> None:
    """Totals of `users` anew, from what is left."""
    await connection.execute("DELETE FROM totals WHERE user_id = ANY(%s)", (users,))
    cursor = await connection.execute(f"{_ENTRY} WHERE p.user_id = ANY(%s)", (users,))
    await _count(connection, replay([_read(row) for row in await cursor.fetchall()]))


def _state(rows: Iterable[Row]) -> State:
    return {
        Key(row["user_id"], row["model"], row["type"]): Total(
            row["decisions"], row["confident"], row["confidence"], row["last"].astimezone(UTC)
        )
        for row in rows
    }


def _read(row: Row) -> Entry:
    columns: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    personal = None if row["part"] is None else Personal(row["user_id"], row["salt"], row["content"])
    return Entry(**columns, personal=personal)
