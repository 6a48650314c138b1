"""Where environment values name other services, and where they only seem to."""

from __future__ import annotations

import time

import pytest

from gameday.catalogue.endpoints import references, speaks_of_hosts

NAMES = {name: name for name in ("db", "cache", "api", "db-2", "my.svc", "user")}


def found(environment: dict[str, str]) -> list[tuple[str, int | None]]:
    return [(each.provider, each.port) for each in references(environment, NAMES)]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("URL", "http://api:3000/path?x=db:5432", [("api", 3000)]),
        ("URL", "http://api/", [("api", None)]),
        ("URL", "HTTP://API:80", [("api", 80)]),
        ("ANYTHING", "https://user:pa:ss@word@db:5432/api", [("db", 5432)]),
        ("X", "jdbc:mysql://db:3306,db-2:3307/api", [("db", 3306), ("db-2", 3307)]),
        ("X", "amqp://db,amqp://db-2:5673", [("db", None), ("db-2", 5673)]),
        ("X", "redis+sentinel://cache:26379/mymaster", [("cache", 26379)]),
        ("X", "user:db@tcp(db:3306)/api", [("db", 3306)]),
        ("X", "jdbc:oracle:thin:@db:1521:XE", [("db", 1521)]),
        ("X", "jdbc:sqlserver://db:1433;databaseName=api", [("db", 1433)]),
        ("X", "db:5432", [("db", 5432)]),
        ("X", " db:5432 , cache:1;api:2 ", [("db", 5432), ("cache", 1), ("api", 2)]),
        ("X", "1@db:9093,2@db-2:9093", [("db", 9093), ("db-2", 9093)]),
        ("X", "my.svc:80", [("my.svc", 80)]),
        ("X", '{"hosts": ["db:5432", "http://api:1"]}', [("db", 5432), ("api", 1)]),
        ("X", "host=db port=6432 user=api password=cache", [("db", 6432)]),
        ("X", "Server=tcp:db,1433;Database=api;User Id=user", [("db", 1433)]),
        ("X", "Data Source=db;Initial Catalog=api", [("db", None)]),
        ("OPTS", "-Dapp.db.host=db -Dapp.name=api", [("db", None)]),
        ("DB_HOST", "db", [("db", None)]),
        ("PGHOST", "db", [("db", None)]),
        ("dbHost", "db", [("db", None)]),
        ("redis.host", "cache", [("cache", None)]),
        ("DB_HOST_1", "db", [("db", None)]),
        ("SEED_HOSTS", "db, localhost db-2", [("db", None), ("db-2", None)]),
        ("ConnectionStrings__Redis", "cache", [("cache", None)]),
        ("SMTP_SERVER", "api", [("api", None)]),
    ],
)
def test_a_value_names_a_service(key: str, value: str, expected: list[tuple[str, int | None]]) -> None:
    assert found({key: value}) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("POSTGRES_DB", "api"),
        ("POSTGRES_USER", "user"),
        ("DB_PASSWORD", "db"),
        ("DB_PASSWORD", "db:5432"),
        ("NEO4J_AUTH", "user:1234"),
        ("CACHE_DRIVER", "cache"),
        ("DB_CONNECTION", "db"),
        ("OTEL_SERVICE_NAME", "api"),
        ("DB_IMAGE", "db:16"),
        ("X", "registry.local/db:16"),
        ("X", "db:16.2"),
        ("X", "db:16-alpine"),
        ("X", "db:99999"),
        ("X", "db:0"),
        ("X", "user:1234@elsewhere:5432"),
        ("X", "http://user:1234@elsewhere/db"),
        ("X", "http://elsewhere/db:5432"),
        ("X", "http://db.example.com:80"),
        ("X", "mydb:5432"),
        ("X", "/var/lib/db:5432"),
        ("X", "host=elsewhere dbname=db user=api"),
        ("NO_PROXY", "db,cache:6379"),
        ("no_proxy", "db"),
        ("ALLOWED_HOSTS", "api,db"),
        ("CSRF_TRUSTED_ORIGINS", "http://api:80"),
        ("CORS_ORIGIN", "http://api:80"),
        ("OAUTH_REDIRECT_URI", "http://api/callback"),
        ("VIRTUAL_HOST", "api"),
        ("GHOST", "db"),
        ("", "db"),
        ("URL", "http://[::1]:80/"),
        ("URL", "http://api:port/"),
    ],
)
def test_a_value_that_only_seems_to(key: str, value: str) -> None:
    assert found({key: value}) == []


@pytest.mark.parametrize(
    ("host_key", "port_key"),
    [
        ("DB_HOST", "DB_PORT"),
        ("DB_HOSTNAME", "DB_PORT"),
        ("DB_HOST_1", "DB_PORT_1"),
        ("PGHOST", "PGPORT"),
        ("dbHost", "dbPort"),
        ("db.host", "db.port"),
        ("DB_SERVER", "DB_PORT"),
        ("DB_SERVICE_HOST", "DB_SERVICE_PORT"),
        ("DB_ADDR", "DB_ADDR_PORT"),
        ("STORE", "STORE_PORT"),
    ],
)
def test_host_and_port_in_two_keys(host_key: str, port_key: str) -> None:
    [reference] = references({host_key: "db", port_key: "6432"}, NAMES)
    assert (reference.port, reference.keys) == (6432, (host_key, port_key))


def test_a_port_key_that_is_no_port_is_not_used() -> None:
    [reference] = references({"DB_HOST": "db", "DB_PORT": "auto"}, NAMES)
    assert reference.keys == ("DB_HOST",)


@pytest.mark.parametrize(("key", "value"), [("POSTGRES_DB", "db"), ("DB_NAME", "db"), ("DB_USER", "user")])
def test_a_port_beside_a_name_is_no_pair(key: str, value: str) -> None:
    assert references({key: value, f"{key}_PORT": "5432"}, NAMES) == []


def test_keys_that_speak_of_hosts() -> None:
    keys = ["HOST", "X_URL", "kafka.brokers", "apiEndpoint", "DB_HOST_NAME", "X_ADDRS"]
    assert all(map(speaks_of_hosts, keys))
    assert not any(map(speaks_of_hosts, ["", "_", "NAME", "HOST_PATH", "GHOST", "URL_PREFIX", "DB_DRIVER"]))


@pytest.mark.parametrize("value", ["http://" + "db," * 20_000, "host=db;" * 10_000, "db:1," * 10_000, "db " * 20_000])
def test_a_long_value_takes_no_longer_than_it_is_long(value: str) -> None:
    started = time.process_time()
    assert found({"X_HOST": value})
    assert time.process_time() - started < 2
