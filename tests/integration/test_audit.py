"""audit-svc on a real PostgreSQL, with the roles that deploy/postgres makes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from servers import Postgres, Service, ServiceFactory, eventually

from system.audit import trail
from system.kit import database
from system.kit.decisions import Decision

KIND = "RECOMMENDATION_GENERATED"


@pytest.fixture(scope="module")
def service(services: ServiceFactory, audit_owner: str) -> Service:
    environment = {"VERIFY_INTERVAL_SECONDS": "0.1", "RETENTION_INTERVAL_SECONDS": "0.1", "RETENTION_DAYS": "1"}
    return services("system.audit", DATABASE_URL=app(audit_owner), MIGRATION_URL=audit_owner, **environment)


@pytest.fixture
async def pool(service: Service, audit_owner: str) -> AsyncIterator[database.Pool]:
    """As the service itself reaches the trail."""
    async with database.pool(app(audit_owner), size=4) as made:
        yield made


def app(owner: str) -> str:
    return owner.replace("audit:audit@", "audit_app:audit@")


def decision(**change: Any) -> Decision:
    told = {
        "id": uuid.uuid4(),
        "type": KIND,
        "userId": "ada",
        "model": "ease-1",
        "input": {"limit": 2},
        "output": {"items": ["item-001", "item-002"]},
        "confidence": 0.5,
        "timestamp": datetime.now(UTC),
    }
    return Decision(**{**told, **change})


async def append(pool: database.Pool, *decisions: Decision) -> list[trail.Outcome]:
    async with database.transaction(pool) as connection:
        return await trail.append(connection, decisions)


def ask(service: Service, path: str, **parameters: Any) -> Any:
    answer = service.http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_sound(service: Service) -> None:
    assert ask(service, "/verification", limit=100_000)["findings"] == []
    assert ask(service, "/replay")["same"] is True


async def test_a_decision_is_kept_as_it_was_told(service: Service, pool: database.Pool) -> None:
    told = decision(input={"query": "é\x00", "n": 1e22}, confidence=1 / 3)
    assert await append(pool, told) == ["appended"]
    kept = ask(service, f"/decisions/{told.id}")
    assert (kept["userId"], kept["model"], kept["type"]) == ("ada", "ease-1", KIND)
    assert (kept["input"], kept["output"]) == (told.input, told.output)
    assert kept["confidence"] == 0.333333
    assert datetime.fromisoformat(kept["timestamp"]) == told.timestamp
    assert service.http.get(f"/decisions/{uuid.uuid4()}").status_code == 404
    assert_sound(service)


async def test_the_same_decision_counts_once_and_a_forged_one_does_not_at_all(
    service: Service, pool: database.Pool
) -> None:
    told = decision(model="once")
    assert await append(pool, told, told, decision(model="once")) == ["appended", "duplicate", "appended"]
    assert await append(pool, told) == ["duplicate"]
    for change in ({"model": "other"}, {"confidence": 0.6}, {"output": {}}, {"userId": "bob"}):
        assert await append(pool, told.model_copy(update=change)) == ["conflict"]
    assert [each["decisions"] for each in ask(service, "/totals", model="once")] == [2]
    assert_sound(service)


async def test_who_adds_at_once_adds_to_one_chain(service: Service, pool: database.Pool) -> None:
    again = decision(model="crowd")
    outcomes = await asyncio.gather(*(append(pool, decision(model="crowd"), again) for _ in range(30)))
    assert sum(each.count("appended") for each in outcomes) == 31
    assert ask(service, "/totals", model="crowd")[0]["decisions"] == 31
    assert_sound(service)


async def test_pages_show_each_decision_once_while_others_come(service: Service, pool: database.Pool) -> None:
    told = [decision(model="paged", confidence=None) for _ in range(7)]
    await append(pool, *told)
    seen: list[str] = []
    page = ask(service, "/decisions", model="paged", limit=3)
    while True:
        seen += [each["id"] for each in page["decisions"]]
        if page["next"] is None:
            break
        await append(pool, decision(model="paged"))
        page = ask(service, "/decisions", model="paged", limit=3, before=page["next"])
    assert seen == [str(each.id) for each in reversed(told)]


async def test_queries_by_user_model_type_and_time(service: Service, pool: database.Pool) -> None:
    now = datetime.now(UTC)
    old = decision(userId="query", timestamp=now - timedelta(hours=2))
    chat = decision(userId="query", type="CHAT_ANSWER_GENERATED", model="claude", timestamp=now)
    new = decision(userId="query", timestamp=now - timedelta(hours=1))
    await append(pool, old, chat, new, decision(userId="other"))

    def ids(**wanted: Any) -> list[str]:
        return [each["id"] for each in ask(service, "/decisions", user="query", **wanted)["decisions"]]

    assert ids() == [str(new.id), str(chat.id), str(old.id)]
    assert ids(model="claude") == ids(type="CHAT_ANSWER_GENERATED") == [str(chat.id)]
    assert ids(since=new.timestamp.isoformat(), until=now.isoformat()) == [str(new.id)]
    assert ids(model="ease-1", until=new.timestamp.isoformat()) == [str(old.id)]


@pytest.mark.parametrize(
    "wanted",
    [
        {"limit": 0},
        {"limit": 501},
        {"before": -1},
        {"before": 2**63},
        {"since": "2026-11-01T00:00:00"},
        {"user": ""},
        {"user": "a\x00"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_wrong_query_is_refused(service: Service, wanted: dict[str, Any]) -> None:
    answer = service.http.get("/decisions", params=wanted)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_replay_makes_the_same_state_also_as_it_was_earlier(service: Service, pool: database.Pool) -> None:
    await append(pool, decision(userId="replayed", confidence=0.1), decision(userId="replayed", confidence=0.2))
    before = ask(service, "/totals", user="replayed")
    through = ask(service, "/replay")["through"]
    await append(pool, decision(userId="replayed", confidence=None), decision(userId="replayed", model="ease-2"))
    assert before == [{**before[0], "decisions": 2, "confidence": 0.15}]
    assert ask(service, "/state", through=through, user="replayed") == before
    assert len(ask(service, "/totals", user="replayed")) == 2
    assert_sound(service)


async def test_a_wrong_total_is_found(service: Service, pool: database.Pool) -> None:
    await append(pool, decision(model="counted"))
    async with database.transaction(pool) as connection:
        await connection.execute("UPDATE totals SET decisions = decisions + 1 WHERE model = 'counted'")
    replayed = ask(service, "/replay")
    assert (replayed["same"], [each["model"] for each in replayed["differences"]]) == (False, ["counted"])
    async with database.transaction(pool) as connection:
        await connection.execute("UPDATE totals SET decisions = decisions - 1 WHERE model = 'counted'")
    assert_sound(service)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trail SET model = 'other'",
        "DELETE FROM trail",
        "TRUNCATE trail CASCADE",
        "UPDATE personal SET user_id = 'bob'",
        "TRUNCATE personal",
        "ALTER TABLE trail DISABLE TRIGGER ALL",
        "DROP TABLE trail CASCADE",
        "CREATE TABLE other (id int)",
    ],
)
def test_the_service_cannot_change_the_past(service: Service, audit_owner: str, statement: str) -> None:
    with psycopg.connect(app(audit_owner)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE trail SET model = 'other'", "DELETE FROM trail", "TRUNCATE trail CASCADE"]
)
def test_nor_does_the_owner_by_accident(service: Service, audit_owner: str, statement: str) -> None:
    with psycopg.connect(audit_owner) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE trail SET confidence = 1 WHERE number = %s", "changed"),
        ("UPDATE trail SET hash = sha256('') WHERE number = %s", "changed"),
        (
            "UPDATE personal SET content = replace(content, 'item-002', 'item-666') WHERE number = %s",
            "personal part changed",
        ),
        ("DELETE FROM personal WHERE number = %s", "personal part missing"),
        ("DELETE FROM trail WHERE number = %s", "missing"),
    ],
)
async def test_who_gets_past_that_is_found_out_and_the_row_named(
    service: Service, pool: database.Pool, postgres: Postgres, statement: str, problem: str
) -> None:
    told = [decision() for _ in range(3)]
    await append(pool, *told)
    row = ask(service, f"/decisions/{told[1].id}")
    with psycopg.connect(postgres.url("audit"), autocommit=True) as connection:
        # What a superuser can do, and then undo.
        connection.execute("SET session_replication_role = replica")
        for table in ("trail", "personal"):
            connection.execute(f"CREATE TEMP TABLE kept_{table} AS TABLE {table}")
        connection.execute(statement, (row["number"],))
        try:
            found = ask(service, "/verification", limit=100_000)
            assert found["sound"] is False
            assert [(each["number"], each["problem"]) for each in found["findings"]] == [(row["number"], problem)]
            named = None if problem == "missing" else row["id"]
            assert found["findings"][0]["id"] == named
            eventually(lambda: service.metric("audit_wrong_entries") == 1, 5, "the service does not notice by itself")
            assert f'"number":{row["number"]}' in service.log.read_text()
        finally:
            for table in ("trail", "personal"):
                connection.execute(f"DELETE FROM {table} WHERE number = %s", (row["number"],))
                connection.execute(
                    f"INSERT INTO {table} SELECT * FROM kept_{table} WHERE number = %s", (row["number"],)
                )
    eventually(lambda: service.metric("audit_wrong_entries") == 0, 5, "still wrong")


def test_a_verification_goes_on_where_the_last_ended(service: Service) -> None:
    first = ask(service, "/verification", limit=2)
    rest = ask(service, "/verification", after=first["next"], limit=100_000)
    assert (first["checked"], rest["next"]) == (2, None)
    assert first["checked"] + rest["checked"] == rest["head"]["number"]


def erase(service: Service, user: str) -> int:
    answer = service.http.post("/erasures", json={"userId": user})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["forgotten"])


async def test_a_forgotten_person_is_gone_and_the_chain_holds(
    service: Service, pool: database.Pool, audit_owner: str
) -> None:
    on_its_way = decision(userId="eve", model="erased")
    told = [decision(userId=user, model="erased") for user in ("eve", "mallory", "eve")]
    await append(pool, *told)
    hashes = [each["hash"] for each in ask(service, "/decisions", model="erased")["decisions"]]
    assert erase(service, "eve") == 2
    assert_sound(service)

    assert ask(service, "/decisions", user="eve")["decisions"] == []
    kept = ask(service, "/decisions", model="erased")["decisions"]
    assert [each["hash"] for each in kept] == hashes
    assert [each["forgotten"] for each in kept] == [True, False, True]
    assert (kept[0]["userId"], kept[0]["input"], kept[0]["output"]) == (None, None, None)
    sums = {each["userId"]: each["decisions"] for each in ask(service, "/totals", model="erased")}
    assert sums == {None: 2, "mallory": 1}
    with psycopg.connect(audit_owner) as connection:
        for table in ("trail", "personal", "totals", "erased"):
            (count,) = connection.execute(f"SELECT count(*) FROM {table} x WHERE x::text LIKE '%eve%'").fetchone() or (
                1,
            )
            assert count == 0, table

    # What was decided before the erasure and comes after it says nothing of the person; what is decided later does.
    assert await append(pool, on_its_way, told[0], decision(userId="eve", model="erased")) == [
        "appended",
        "duplicate",
        "appended",
    ]
    assert ask(service, f"/decisions/{on_its_way.id}")["forgotten"] is True
    assert len(ask(service, "/decisions", user="eve")["decisions"]) == 1
    assert_sound(service)
    assert (erase(service, "eve"), erase(service, "eve"), erase(service, "nobody")) == (1, 0, 0)
    assert_sound(service)


async def test_what_is_too_old_is_forgotten(service: Service, pool: database.Pool) -> None:
    """By when it was recorded: who sends it does not decide how long it is kept."""
    told = [decision(userId="old", model="aged", timestamp=datetime.now(UTC) - timedelta(days=2)) for _ in range(3)]
    await append(pool, *told)
    assert len(ask(service, "/decisions", user="old")["decisions"]) == 3
    async with database.transaction(pool) as connection:
        assert await trail.retire(connection, datetime.now(UTC), 100_000) >= 3
    assert ask(service, "/decisions", user="old")["decisions"] == []
    assert [each["userId"] for each in ask(service, "/totals", model="aged")] == [None]
    assert_sound(service)
