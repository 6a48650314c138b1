"""content-svc on a real PostgreSQL, killed, restarted and left alone by the services that it asks."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from content_world import CHECK, CREATE, GENERATE, INDEX, UNCREATE, UNGENERATE, UNINDEX, World
from servers import Postgres, Service, ServiceFactory, eventually

ADA = str(uuid.uuid4())
FORWARD = [CREATE, UNGENERATE, GENERATE, CHECK, INDEX]
BACK = [UNINDEX, UNGENERATE, UNCREATE]
QUICK = {
    "SAGA_WAIT_SECONDS": "0.02",
    "SAGA_LONGEST_WAIT_SECONDS": "0.1",
    "SAGA_REVIEW_SECONDS": "0.1",
    "SAGA_SWEEP_SECONDS": "0.2",
    "SAGA_STUCK_SECONDS": "0.5",
    "BREAKER_RESET_SECONDS": "0.1",
    "ANSWER_SECONDS": "20",
    "DRAIN_SECONDS": "1",
    # Longer than any of these tests makes them wait: it is killed, not given up.
    "USER_TIMEOUT_SECONDS": "60",
    "MODERATION_TIMEOUT_SECONDS": "60",
    "SEARCH_TIMEOUT_SECONDS": "60",
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return postgres.create("content")


@pytest.fixture(scope="module")
def running(services: ServiceFactory, world: World, database: str) -> Service:
    urls = dict.fromkeys(("USER_URL", "CHAT_URL", "MODERATION_URL", "SEARCH_URL"), world.url)
    return services("system.content", DATABASE_URL=database, **urls, **QUICK)


@pytest.fixture
def content(running: Service, world: World) -> Service:
    """With all the others there, and their breakers closed."""
    world.away.clear()
    world.without_model = world.going_on = False
    world.stopped.clear()
    eventually(lambda: make(running, "a poem").status_code == 201, 10, "no recovery")
    world.calls.clear()
    return running


def make(content: Service, prompt: str, key: str | None = None, **change: Any) -> httpx.Response:
    headers = {"x-correlation-id": f"about-{prompt[:10].replace(' ', '-')}"} | ({"idempotency-key": key} if key else {})
    return content.http.post("/content", json={"userId": ADA, "prompt": prompt, **change}, headers=headers, timeout=30)


def insist(content: Service, prompt: str) -> None:
    """A busy machine may have no connection to the database for everyone at once."""
    while make(content, prompt).status_code == 503:
        pass


def state(content: Service, document: str) -> dict[str, Any]:
    return dict(content.http.get(f"/content/{document}", params={"userId": ADA}).json())


def ended(content: Service, document: str, outcome: str, within: float = 10) -> None:
    eventually(lambda: state(content, document)["state"] == outcome, within, f"not {outcome}")


def assert_whole(content: Service) -> None:
    checked = content.http.get("/internal/sagas/check", params={"limit": 100}).json()
    assert checked["checked"]
    assert checked["torn"] == []


def test_content_is_made_checked_and_indexed(content: Service, world: World) -> None:
    answer = make(content, "a story about tents\nwith a moral")
    assert answer.status_code == 201
    told = answer.json()
    document = told["id"]
    assert told["success"] is True
    assert told["content"].items() >= {"id": document, "userId": ADA, "title": "a story about tents"}.items()
    assert told["content"]["text"] == f"{document} says"
    assert world.steps(document) == FORWARD
    assert world.has(document) == (True, True, True)
    assert {headers["x-correlation-id"] for _, _, headers in world.calls} == {"about-a-story-ab"}
    assert {headers["x-user-id"] for _, _, headers in world.calls} == {ADA}
    assert len({headers["traceparent"].split("-")[1] for _, _, headers in world.calls}) == 1
    assert content.http.get(f"/internal/documents/{document}").json() == told["content"]
    assert state(content, document) == told
    assert content.http.get(f"/content/{document}", params={"userId": str(uuid.uuid4())}).status_code == 404
    assert_whole(content)


def test_unsafe_content_is_undone_in_reverse(content: Service, world: World) -> None:
    told = make(content, "unsafe words").json()
    assert told.items() >= {"success": False, "reason": "unsafe", "error": "Content failed safety check"}.items()
    ended(content, told["id"], "compensated")
    assert world.steps(told["id"]) == [*FORWARD[:-1], *BACK]
    assert world.has(told["id"]) == (False, False, False)
    assert content.http.get(f"/internal/documents/{told['id']}").status_code == 404
    assert content.metric("saga_total", outcome="compensated")
    assert_whole(content)


def test_the_same_key_joins_the_same_saga(content: Service, world: World) -> None:
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: make(content, "once only", key), range(8)))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 7, 201]
    assert len({answer.text for answer in answers}) == 1
    assert world.steps(answers[0].json()["id"]) == FORWARD
    assert make(content, "something else", key).status_code == 422
    assert make(content, "once only", key, title="other").status_code == 422


@pytest.mark.parametrize(("away", "error"), [(CREATE, "created"), (GENERATE, "generated"), (INDEX, "indexed")])
def test_without_a_service_it_is_tried_again_and_then_undone(
    content: Service, world: World, away: str, error: str
) -> None:
    world.away.add(away)
    told = make(content, "a poem").json()
    assert told.items() >= {"success": False, "reason": "failed", "error": f"Content could not be {error}"}.items()
    ended(content, told["id"], "compensated")
    assert world.steps(told["id"]).count(away) >= 3
    assert world.has(told["id"]) == (False, False, False)


def test_a_chat_without_its_model_is_no_content(content: Service, world: World) -> None:
    """As while the provider is overloaded: chat-svc answers with a plain sentence of its own."""
    world.without_model = True
    told = make(content, "a poem").json()
    assert told["error"] == "Content could not be generated"
    ended(content, told["id"], "compensated")
    assert world.steps(told["id"]).count(GENERATE) == 3


def test_who_is_nobody_is_refused_at_once(content: Service, world: World) -> None:
    told = make(content, "nobody").json()
    assert told["error"] == "Content could not be created"
    ended(content, told["id"], "compensated")
    assert world.steps(told["id"]) == [CREATE, *BACK]


def test_the_caller_does_not_wait_for_what_undoes(content: Service, world: World) -> None:
    world.away.update({INDEX, UNINDEX})
    told = make(content, "a poem").json()
    assert told.items() >= {"success": False, "state": "compensating", "reason": "failed"}.items()
    eventually(lambda: bool(content.metric("saga_stuck")), 10, "nobody notices")
    counted = content.http.get("/internal/sagas").json()
    assert counted["compensating"] >= counted["stuck"] >= 1
    world.away.clear()
    ended(content, told["id"], "compensated")
    assert world.has(told["id"]) == (False, False, False)
    eventually(lambda: content.metric("saga_stuck") == 0, 5, "still stuck")


def test_without_moderation_it_is_held_and_released_when_that_is_back(content: Service, world: World) -> None:
    world.away.add(CHECK)
    answers = [make(content, prompt) for prompt in ("a poem", "unsafe words")]
    for answer in answers:
        assert answer.status_code == 202
        assert answer.json().items() >= {"success": False, "state": "held", "reason": "held"}.items()
    safe, unsafe = (answer.json()["id"] for answer in answers)
    assert world.has(safe) == (True, True, False)
    world.away.clear()
    ended(content, safe, "published")
    ended(content, unsafe, "compensated")
    assert world.has(safe) == (True, True, True)
    assert world.has(unsafe) == (False, False, False)


@pytest.mark.parametrize(("ruling", "outcome"), [("allowed", "published"), ("refused", "compensated")])
def test_what_moderation_is_not_sure_of_is_held_until_a_person_decides(
    content: Service, world: World, ruling: str, outcome: str
) -> None:
    document = make(content, "unsure words").json()["id"]
    path = f"/internal/documents/{document}/review"
    assert content.http.post(path).json()["state"] == "held"
    asked = world.steps(document).count(CHECK)
    eventually(lambda: world.steps(document).count(CHECK) > asked, 5, "not asked again by itself")
    world.rulings[document] = ruling
    ended(content, document, outcome)
    assert content.http.post(path).status_code == 409
    assert content.http.post(f"/internal/documents/{uuid.uuid4()}/review").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": ""},
        {"prompt": "  "},
        {"prompt": "x" * 8001},
        {"prompt": "a\x00"},
        {"prompt": None},
        {"userId": "ada"},
        {"title": ""},
        {"title": "x" * 201},
        {"colour": "red"},
    ],
    ids=lambda change: str(change)[:20],
)
def test_a_wrong_wish_is_refused(content: Service, change: dict[str, Any]) -> None:
    answer = content.http.post("/content", json={"userId": ADA, "prompt": "a poem", **change})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_postgres_killed_in_the_middle_of_a_saga_delays_it(content: Service, world: World, postgres: Postgres) -> None:
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(make, content, "safe; stop after moderation.check")
        eventually(lambda: CHECK in [step for step, *_ in world.calls], 5, "not asked")
        postgres.send(signal.SIGKILL)
        postgres.stop()
        refused = make(content, "a poem")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        world.going_on = True
        postgres.start()
        document = making.result(30).json()["id"]
    ended(content, document, "published", within=20)
    assert_whole(content)


def test_killed_at_every_step_and_every_compensation_every_saga_ends(
    content: Service, world: World, database: str
) -> None:
    """In each place three ways: before anything happened there, before the answer came, before it was written down."""
    steps = [("safe", step) for step in (CREATE, GENERATE, CHECK, INDEX)]
    steps += [("unsafe", step) for step in BACK]
    wishes = [f"{verdict}; stop {when} {step}" for verdict, step in steps for when in ("before", "after")]
    written = [*steps, ("safe", "settle"), ("unsafe", "fail"), ("unsafe", "settle")]
    wishes += [f"{verdict}; stop writing {step}" for verdict, step in written]
    with psycopg.connect(database, autocommit=True) as connection, ThreadPoolExecutor(len(wishes)) as pool:
        connection.execute(STOP_WRITING)
        for wish in wishes:
            pool.submit(insist, content, wish)
        eventually(lambda: len(world.stopped) + stopped(connection) == len(wishes), 30, "not everywhere")
        content.stop(signal.SIGKILL)
        connection.execute(GO_ON)
    content.start()
    # Once more, while it takes up what was left.
    eventually(lambda: len(unfinished(database)) < len(wishes), 20, "nothing goes on")
    content.stop(signal.SIGKILL)
    content.start()
    eventually(lambda: not unfinished(database), 30, "a saga does not end")
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT id::text, prompt, state FROM documents WHERE prompt LIKE '%stop%'").fetchall()
    assert len(rows) >= len(wishes)
    for document, wish, state in rows:
        safe = wish.startswith("safe")
        assert (wish, state) == (wish, "published" if safe else "compensated")
        assert (wish, world.has(document)) == (wish, (safe, safe, safe))
    assert_whole(content)
    counts = content.http.get("/internal/sagas").json()
    assert counts["started"] == counts["published"] + counts["compensated"]


def test_an_end_in_good_order_leaves_sagas_for_the_next_start(content: Service, world: World) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(make, content, "safe; stop before search.index")
        eventually(lambda: INDEX in [step for step, *_ in world.calls], 5, "not asked")
        assert content.stop() == 0
    content.start()
    document = next(document for step, document, _ in world.calls if step == INDEX)
    ended(content, document, "published")


STOP_WRITING = """
CREATE OR REPLACE FUNCTION stop_writing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60) FROM public.documents
        WHERE id::text || '/0' = NEW.workflow_uuid AND prompt LIKE '%stop writing ' || NEW.function_name;
    RETURN NEW;
END $$;
CREATE TRIGGER stop_writing BEFORE INSERT ON dbos.operation_outputs FOR EACH ROW EXECUTE FUNCTION stop_writing();
"""
GO_ON = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';
DROP TRIGGER stop_writing ON dbos.operation_outputs;
"""


def stopped(connection: psycopg.Connection) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    (count,) = connection.execute(statement).fetchone() or (0,)
    return int(count)


def unfinished(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        statement = "SELECT prompt FROM documents WHERE state NOT IN ('published', 'compensated')"
        return [prompt for (prompt,) in connection.execute(statement).fetchall()]
