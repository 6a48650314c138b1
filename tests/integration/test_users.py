"""user-svc on a real PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jwt
import psycopg
import pytest
from jwt.algorithms import ECAlgorithm
from servers import ROOT, Postgres, Service, ServiceFactory, eventually

GOOD = {"email": "Ada@Example.org ", "password": "correct horse", "name": "Ada", "interests": ["maths"]}


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return postgres.create("users")


@pytest.fixture(scope="module")
def users(services: ServiceFactory, database: str) -> Service:
    return services("system.users", DATABASE_URL=database)


@pytest.fixture(scope="module")
def ada(users: Service) -> str:
    answer = users.http.post("/users", json=GOOD)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def log_in(users: Service, email: str = "ada@example.org", password: str = "correct horse") -> dict[str, str]:
    answer = users.http.post("/users/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_signs_up_logs_in_and_changes_the_profile(users: Service, ada: str) -> None:
    token = log_in(users)["access_token"]
    profile = users.http.get("/users/me", headers=bearer(token)).json()
    assert profile.items() >= {"id": ada, "email": "ada@example.org", "name": "Ada", "tier": "free"}.items()
    assert "password" not in str(profile)
    changed = users.http.patch("/users/me", headers=bearer(token), json={"interests": ["engines"]}).json()
    assert (changed["name"], changed["interests"]) == ("Ada", ["engines"])


def test_anyone_can_check_a_token_by_the_published_keys(users: Service, ada: str) -> None:
    token = log_in(users)["access_token"]
    header = jwt.get_unverified_header(token)
    (key,) = users.http.get("/.well-known/jwks.json").json()["keys"]
    assert (header["alg"], header["kid"]) == ("ES256", key["kid"])
    assert "d" not in key, "the private part is out"
    payload = jwt.decode(token, ECAlgorithm.from_jwk(key), ["ES256"], audience="gameday", issuer="user-svc")
    assert (payload["sub"], payload["tier"], payload["roles"]) == (ada, "free", [])
    assert 0 < payload["exp"] - time.time() <= 900


def test_an_email_is_taken_once_in_whatever_letters(users: Service, ada: str) -> None:
    assert_problem(users.http.post("/users", json={**GOOD, "email": "ADA@example.org"}), 409)


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nobody"},
        {"password": "short"},
        {"password": "x" * 300},
        {"name": " "},
        {"name": "a\u0000b"},
        {"tier": "pro"},
        {"interests": ["x"] * 51},
        {"email": 3},
    ],
)
def test_a_wrong_sign_up_is_refused_without_repeating_it(users: Service, change: dict[str, object]) -> None:
    answer = users.http.post("/users", json={**GOOD, "email": "eve@example.org", **change})
    assert_problem(answer, 422)
    assert "x" * 300 not in answer.text


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b'"text"', b"\xff\xfe", b"null"])
def test_a_body_that_is_no_object_is_refused(users: Service, content: bytes) -> None:
    answer = users.http.post("/users", content=content, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


def test_too_large_a_body_is_refused_announced_or_not(users: Service) -> None:
    large = b'{"name": "' + b"x" * 2_000_000 + b'"}'
    headers = {"content-type": "application/json"}
    assert_problem(users.http.post("/users", content=large, headers=headers), 413)
    assert_problem(users.http.post("/users", content=iter([large[:900_000], large[900_000:]]), headers=headers), 413)


def test_log_in_tells_nobody_who_has_an_account(users: Service, ada: str) -> None:
    wrong = users.http.post("/users/login", json={"email": "ada@example.org", "password": "wrong horse"})
    unknown = users.http.post("/users/login", json={"email": "nobody@example.org", "password": "wrong horse"})
    for answer in (wrong, unknown):
        assert_problem(answer, 401)
    assert wrong.json()["detail"] == unknown.json()["detail"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer a.b.c"])
def test_no_profile_without_a_token(users: Service, header: str) -> None:
    assert_problem(users.http.get("/users/me", headers={"authorization": header}), 401)


def test_a_refresh_token_works_once_and_its_reuse_ends_the_log_in(users: Service, ada: str) -> None:
    first = log_in(users)["refresh_token"]
    second = users.http.post("/users/refresh", json={"refresh_token": first})
    assert second.status_code == 200
    assert users.http.get("/users/me", headers=bearer(second.json()["access_token"])).status_code == 200
    assert_problem(users.http.post("/users/refresh", json={"refresh_token": first}), 401)
    assert_problem(users.http.post("/users/refresh", json={"refresh_token": second.json()["refresh_token"]}), 401)


def test_log_out_ends_the_refresh_token(users: Service, ada: str) -> None:
    token = log_in(users)["refresh_token"]
    assert users.http.post("/users/logout", json={"refresh_token": token}).status_code == 204
    assert_problem(users.http.post("/users/refresh", json={"refresh_token": token}), 401)


def test_only_an_admin_changes_a_tier(users: Service, ada: str, database: str) -> None:
    users.http.post("/users", json={**GOOD, "email": "root@example.org", "name": "Root"})
    free = log_in(users)["access_token"]
    assert_problem(users.http.put(f"/users/{ada}/tier", headers=bearer(free), json={"tier": "pro"}), 403)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE users SET roles = '{admin}' WHERE email = 'root@example.org'")
    admin = log_in(users, "root@example.org")["access_token"]
    answer = users.http.put(f"/users/{ada}/tier", headers=bearer(admin), json={"tier": "pro"})
    assert answer.json()["tier"] == "pro"
    assert jwt.decode(log_in(users)["access_token"], options={"verify_signature": False})["tier"] == "pro"


def test_a_purchase_and_its_event_are_written_together_and_once(users: Service, ada: str, database: str) -> None:
    headers = {**bearer(log_in(users)["access_token"]), "idempotency-key": "k-1", "x-correlation-id": "c-7"}
    wanted = {"itemId": "item-001", "priceCents": 1999, "quantity": 2}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: users.http.post("/users/me/purchases", json=wanted, headers=headers), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    (purchase,) = users.http.get("/users/me/purchases", headers=headers).json()
    assert {answer.json()["id"] for answer in answers} == {purchase["id"]}
    assert purchase.items() >= wanted.items()
    with psycopg.connect(database) as connection:
        events = connection.execute(
            "SELECT type, payload, headers FROM outbox WHERE type = 'user.purchased'"
        ).fetchall()
    ((_, payload, told),) = events
    assert payload.items() >= {"userId": ada, "itemId": "item-001", "quantity": 2}.items()
    assert payload.keys() == {"eventId", "userId", "itemId", "quantity", "occurredAt"}
    assert told["x-correlation-id"] == "c-7"
    assert "traceparent" in told


def test_a_key_that_was_used_for_another_purchase_is_refused(users: Service, ada: str) -> None:
    headers = {**bearer(log_in(users)["access_token"]), "idempotency-key": "k-2"}
    first = users.http.post("/users/me/purchases", json={"itemId": "item-009"}, headers=headers)
    again = users.http.post("/users/me/purchases", json={"itemId": "item-009", "quantity": 1}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    for other in ({"itemId": "item-010"}, {"itemId": "item-009", "quantity": 2}):
        assert_problem(users.http.post("/users/me/purchases", json=other, headers=headers), 422)


def test_purchases_without_a_key_are_many(users: Service, ada: str) -> None:
    headers = bearer(log_in(users)["access_token"])
    for item in ("item-002", "item-003"):
        assert users.http.post("/users/me/purchases", json={"itemId": item}, headers=headers).status_code == 201
    found = users.http.get("/users/me/purchases?limit=2", headers=headers).json()
    assert [purchase["itemId"] for purchase in found] == ["item-003", "item-002"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"itemId": ""},
        {"itemId": "x", "quantity": 0},
        {"itemId": "x", "quantity": 1001},
        {"itemId": "x", "priceCents": -1},
        {"itemId": "x" * 65},
        {"id": 1},
    ],
)
def test_a_wrong_purchase_is_refused(users: Service, ada: str, body: dict[str, object]) -> None:
    headers = bearer(log_in(users)["access_token"])
    assert_problem(users.http.post("/users/me/purchases", json=body, headers=headers), 422)


def test_content_is_its_authors(users: Service, ada: str) -> None:
    mine = bearer(log_in(users)["access_token"])
    users.http.post("/users", json={**GOOD, "email": "bob@example.org"})
    theirs = bearer(log_in(users, "bob@example.org")["access_token"])
    written = users.http.post("/users/me/content", json={"title": "On engines", "body": "…"}, headers=mine).json()
    assert users.http.get("/users/me/content", headers=mine).json() == [written]
    assert users.http.get("/users/me/content", headers=theirs).json() == []
    assert_problem(users.http.delete(f"/users/me/content/{written['id']}", headers=theirs), 404)
    assert users.http.delete(f"/users/me/content/{written['id']}", headers=mine).status_code == 204
    assert users.http.get("/users/me/content", headers=mine).json() == []


def test_keys_rotate_without_a_token_turning_invalid(users: Service, ada: str, database: str, tmp_path: Path) -> None:
    before = log_in(users)["access_token"]
    # As a deployment with secrets in files would do it.
    secret = tmp_path / "url"
    secret.write_text(f"{database}\n")
    environment = {"DATABASE_URL_FILE": str(secret), "PORT": "1"}
    command = [sys.executable, "-m", "system.users.keys"]
    new = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    # A token that another replica signed with the new key makes this one look again.
    forged = jwt.encode({"sub": "x"}, "secret" * 8, "HS256", {"kid": new})
    assert_problem(users.http.get("/users/me", headers=bearer(forged)), 401)
    stranger = jwt.encode({}, _other_key(), "ES256", {"kid": new})

    def signs_anew() -> bool:
        users.http.get("/users/me", headers=bearer(stranger))
        return bool(jwt.get_unverified_header(log_in(users)["access_token"])["kid"] == new)

    eventually(signs_anew, 5, "the new key is not used")
    assert users.http.get("/users/me", headers=bearer(before)).status_code == 200
    assert len(users.http.get("/.well-known/jwks.json").json()["keys"]) == 2


def test_a_second_start_finds_schema_and_keys_as_they_are(
    services: ServiceFactory, users: Service, database: str
) -> None:
    again = services("system.users", DATABASE_URL=database)
    assert again.http.get("/.well-known/jwks.json").json() == users.http.get("/.well-known/jwks.json").json()
    assert "migrating" not in again.log.read_text()


def test_replicas_that_start_together_on_an_empty_database_agree(services: ServiceFactory, postgres: Postgres) -> None:
    url = postgres.create("together")
    pair = [services("system.users", wait=False, DATABASE_URL=url) for _ in range(2)]
    for service in pair:
        eventually(service.ready, 20, "not ready")
    first, second = (service.http.get("/.well-known/jwks.json").json() for service in pair)
    assert first == second
    assert len(first["keys"]) == 1


def test_without_its_database_it_says_so_in_time_and_comes_back_by_itself(
    services: ServiceFactory, users: Service, ada: str, postgres: Postgres
) -> None:
    token = log_in(users)["access_token"]

    def profile() -> httpx.Response:
        return users.http.get("/users/me", headers=bearer(token))

    postgres.stop(signal.SIGQUIT)
    started = time.monotonic()
    assert_problem(profile(), 503)
    assert time.monotonic() - started < 2
    assert users.http.get("/readyz").status_code == 503
    postgres.start()
    eventually(lambda: profile().status_code == 200, 3, "did not find back to its database")


def test_a_stopped_database_costs_a_request_no_more_than_its_deadline(
    users: Service, ada: str, postgres: Postgres
) -> None:
    token = log_in(users)["access_token"]
    postgres.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert_problem(users.http.get("/users/me", headers=bearer(token)), 503)
        assert time.monotonic() - started < 2
    finally:
        postgres.send(signal.SIGCONT)
    eventually(lambda: users.http.get("/users/me", headers=bearer(token)).status_code == 200, 5, "did not recover")


def test_ends_cleanly_on_sigterm(services: ServiceFactory, database: str) -> None:
    service = services("system.users", DATABASE_URL=database)
    assert service.stop() == 0
    assert '"event":"stopping"' in service.log.read_text()


def test_a_wrong_environment_is_told_by_name_without_its_values(services: ServiceFactory) -> None:
    service = services("system.users", wait=False, ACCESS_TOKEN_SECONDS="soon, my secret")
    assert service.process
    assert service.process.wait(10) == 1
    log = service.log.read_text()
    assert "DATABASE_URL: Field required" in log
    assert "ACCESS_TOKEN_SECONDS" in log
    assert "my secret" not in log


def _other_key() -> object:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def internal(user: str, content: uuid.UUID) -> str:
    return f"/internal/users/{user}/content/{content}"


def test_content_put_twice_is_there_once(users: Service, ada: str) -> None:
    path = internal(ada, uuid.uuid4())
    body = {"title": "Knots", "body": "about knots"}
    assert [users.http.put(path, json=body).status_code for _ in range(2)] == [201, 200]
    assert users.http.get(path).json()["title"] == "Knots"
    mine = users.http.get("/users/me/content", headers=bearer(log_in(users)["access_token"])).json()
    assert [each["title"] for each in mine].count("Knots") == 1


def test_content_taken_back_stays_away_also_when_it_comes_after_that(users: Service, ada: str) -> None:
    body = {"title": "Secret", "body": "words"}
    before, after = internal(ada, uuid.uuid4()), internal(ada, uuid.uuid4())
    assert users.http.put(before, json=body).status_code == 201
    for path in (before, after):
        assert [users.http.delete(path).status_code for _ in range(2)] == [204, 204]
        assert_problem(users.http.put(path, json=body), 410)
        assert_problem(users.http.get(path), 404)
    headers = bearer(log_in(users)["access_token"])
    assert "Secret" not in users.http.get("/users/me/content", headers=headers).text
    assert_problem(users.http.delete(f"/users/me/content/{before.rpartition('/')[2]}", headers=headers), 404)


def test_content_of_nobody_cannot_be_put_and_needs_not_be_taken_back(users: Service, ada: str) -> None:
    nobody, content = str(uuid.uuid4()), uuid.uuid4()
    assert_problem(users.http.put(internal(nobody, content), json={"title": "a", "body": ""}), 404)
    assert users.http.delete(internal(nobody, content)).status_code == 204
    # Nor does one user's taking back touch another's.
    users.http.put(internal(ada, content), json={"title": "a", "body": ""})
    other = users.http.post("/users", json={**GOOD, "email": "other@example.org"}).json()["id"]
    users.http.delete(internal(other, content))
    assert users.http.get(internal(ada, content)).status_code == 200
    assert_problem(users.http.get(internal(other, content)), 404)
