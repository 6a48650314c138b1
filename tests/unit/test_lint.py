"""The anti-patterns that `gameday lint` finds, and what it says where it cannot look."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from invocation import invoke

from gameday.catalogue import Catalogue, compose
from gameday.catalogue.endpoints import references
from gameday.cli import lint as command
from gameday.lint import Limits, Request, System, lint, read
from gameday.lint.access import access
from gameday.lint.percentile import FEWEST
from gameday.lint.requests import Call
from gameday.tools.jaeger import Span
from gameday.verdict import Finding, Result, Verdict

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 27)
Load = Callable[[str], Catalogue]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str) -> Catalogue:
        file = tmp_path / "compose.yaml"
        file.write_text(text)
        return compose.load([file], environment={})

    return loaded


def of(name: str, system: System) -> Result | None:
    return next((result for result in lint(system, TODAY)[0] if result.name == name), None)


def found(name: str, system: System) -> dict[str, Finding]:
    result = of(name, system)
    findings = result.findings if result else ()
    return {finding.subject: finding for finding in findings if finding.verdict is Verdict.REFUTED}


def unseen(name: str, system: System) -> str:
    return "\n".join(told for told in lint(system, TODAY)[1] if name in told)


SHOP = """
services:
  orders: {{image: acme/orders, environment: {{{orders}}}, {more}}}
  stock:
    image: {stock_image}
    environment:
      {stock}
  db: {{image: {image}, command: [{command}]}}
"""


def shop(load: Load, orders: str, stock: str, **changes: str) -> System:
    values = {"image": "postgres:18", "command": "", "more": "restart: always", "stock_image": "acme/stock"} | changes
    return System(load(SHOP.format(orders=orders, stock=stock, **values)))


def test_two_services_in_one_database_are_found_where_the_second_says_so(load: Load) -> None:
    system = shop(
        load, "DATABASE_URL: 'postgres://shop:x@db/shop'", "DATABASE_URL: postgresql+asyncpg://shop@db:5432/shop"
    )
    finding = found("shared-database", system)["db/shop of orders and stock"]
    assert finding.observed == "2 services use it, as shop"
    assert (finding.file, finding.line) == (str(system.catalogue.files[0]), 7)
    assert "why: no schema can change" in finding.detail
    assert "mend: give each service a database" in finding.detail


@pytest.mark.parametrize(
    ("orders", "stock"),
    [
        ("URL: 'postgres://a@db/orders'", "URL: postgres://a@db/stock"),
        ("DB_HOST: db, DB_NAME: orders", "DB_HOST: db\n      DB_NAME: stock"),
    ],
)
def test_two_databases_of_one_server_are_not_shared(load: Load, orders: str, stock: str) -> None:
    system = shop(load, orders, stock)
    assert found("shared-database", system) == {}
    result = of("shared-database", system)
    assert result and result.verdict is Verdict.CONFIRMED
    assert "databases: 2, in stores: 1" in result.findings[0].observed


def test_a_web_server_and_its_worker_of_the_same_image_are_one_service(load: Load) -> None:
    url = "URL: postgres://a@db/orders"
    assert found("shared-database", shop(load, "URL: 'postgres://a@db/orders'", url, stock_image="acme/orders")) == {}


def test_a_store_whose_database_nobody_names_is_told(load: Load) -> None:
    system = shop(load, "DB_HOST: db", "URL: postgres://a@db/stock")
    assert "which database of db is used by orders: the environment does not say" in unseen("shared-database", system)
    assert "no edge to a database" in unseen("shared-database", System(load("services: {a: {image: a}}")))


REDIS = ("CACHE_URL: 'redis://db:6379'", "CACHE_URL: redis://db:6379/0")


def test_a_redis_that_keeps_what_it_holds_is_a_database(load: Load) -> None:
    assert "db/0 of orders and stock" in found("shared-database", shop(load, *REDIS, image="redis:7"))


def test_a_cache_may_be_shared_and_is_told(load: Load) -> None:
    evicting = shop(load, *REDIS, image="redis:7", command="redis-server, --maxmemory-policy, allkeys-lru")
    assert found("shared-database", evicting) == {}
    assert "shared as a cache: db/0" in (of("shared-database", evicting) or pytest.fail()).findings[0].observed
    kept = shop(load, *REDIS, image="redis:7", command="redis-server, --maxmemory-policy, noeviction")
    assert found("shared-database", kept)


def test_what_one_of_both_cannot_lose_is_no_cache(load: Load) -> None:
    system = shop(load, *REDIS, image="redis:7", more="x-gameday: {on-loss: {db: fallback}}")
    assert found("shared-database", system)


def test_who_only_looks_at_a_database_shares_none(load: Load) -> None:
    urls = ("DSN: 'postgres://a@db/orders'", "DATA_SOURCE_NAME: postgres://b@db/orders")
    assert found("shared-database", shop(load, *urls, stock_image="prom/postgres-exporter:1")) == {}


@pytest.mark.parametrize(
    ("environment", "database", "role"),
    [
        ({"URL": "postgres://u:p%40@db:5432/app?x=1"}, "app", "u"),
        ({"URL": "jdbc:mysql://db/app?user=u"}, "app", "u"),
        ({"DSN": "u:p@tcp(db:3306)/app"}, "app", "u"),
        ({"CONN_URL": "Server=db;Database=app;User Id=u;Password=x"}, "app", "u"),
        ({"DSN": "host=db port=5432 dbname=app user=u"}, "app", "u"),
        ({"DB_HOST": "db", "DB_PORT": "1", "DB_NAME": "app", "DB_USER": "u"}, "app", "u"),
        ({"WORDPRESS_DB_HOST": "db", "WORDPRESS_DB_NAME": "app", "DB_NAME": "other"}, "app", None),
        ({"DB_HOST": "db", "DB_NAME": "one", "DB_DATABASE": "two"}, None, None),
        ({"URL": "postgres://db"}, None, None),
    ],
)
def test_what_an_environment_says_of_a_database(
    environment: dict[str, str], database: str | None, role: str | None
) -> None:
    reference = references(environment, {"db": "db"})[0]
    told = access(environment, reference)
    assert (told.database, told.role) == (database, role)


AI = """
x-gameday: {entry: gateway}
services:
  gateway:
    image: acme/gateway
    environment: {CHAT_URL: "http://chat:80", PICK_URL: "http://picks:80"}
    x-gameday: {on-loss: {picks: fallback}}
  chat:
    image: acme/chat
    environment:
      OPENAI_BASE_URL: http://llm:8000/v1
    x-gameday: {loads: [spam]}
  picks: {image: acme/picks, x-gameday: {loads: [spam]}}
  llm: {image: vllm/vllm-openai, command: [--model, llama-8b]}
"""


def test_a_model_without_a_word_on_its_loss_is_found(load: Load) -> None:
    findings = found("no-fallback", System(load(AI)))
    assert set(findings) == {"chat->llm", "gateway->chat"}
    assert findings["chat->llm"].observed == "no on-loss; llm is a model: image vllm/vllm-openai"
    assert findings["chat->llm"].line == 11
    said = AI.replace("[spam]}\n  picks", "[spam], on-loss: {llm: clean-error}}\n  picks")
    assert set(found("no-fallback", System(load(said)))) == {"gateway->chat"}


def test_who_only_looks_at_a_model_needs_no_fallback(load: Load) -> None:
    watched = AI + "  metrics: {image: prom/prometheus, environment: {OPENAI_URL: 'http://llm:8000'}}\n"
    assert set(found("no-fallback", System(load(watched)))) == {"chat->llm", "gateway->chat"}


def test_a_model_outside_of_the_file_is_told(load: Load) -> None:
    system = System(load("services: {chat: {image: a, environment: {OPENAI_API_KEY: k, GROQ_API_KEY: ''}}}"))
    assert of("no-fallback", system) is None
    told = unseen("no-fallback", system)
    assert "without openai, which chat calls outside of the file (OPENAI_API_KEY)" in told
    assert "groq" not in told


def test_a_system_in_which_no_model_is_known_is_not_green(load: Load) -> None:
    system = System(load("services: {a: {image: a, environment: {B_URL: 'http://b'}}, b: {image: b}}"))
    results, told = lint(system, TODAY)
    assert results == ()
    assert {each.split(": ")[1] for each in told} == {
        "shared-database",
        "chatty-services",
        "shared-model",
        "no-fallback",
        "heavy-sync",
        "giant-ai-service",
    }


def test_a_model_in_two_services_is_found(load: Load) -> None:
    assert set(found("shared-model", System(load(AI)))) == {"spam in chat and picks"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("environment: {MODEL_PATH: /weights/a}", "environment: {MODEL_DIR: /weights/a}"),
        ("environment: {FLAGS: '-m /a.gguf'}", "command: [serve, /a.gguf]"),
        ("volumes: ['./models:/m']", "volumes: ['./models:/other:ro']"),
    ],
)
def test_how_a_shared_model_shows(load: Load, one: str, other: str) -> None:
    services = "services: {{a: {{image: a, {}}}, b: {{image: b, {}}}}}"
    assert len(found("shared-model", System(load(services.format(one, other))))) == 1
    assert found("shared-model", System(load(services.format(one, "restart: always")))) == {}


def test_a_host_of_portugal_is_no_model(load: Load) -> None:
    environment = "environment: {SITE_URL: 'http://loja.pt', HOST: loja.pt}"
    text = f"services: {{a: {{image: a, {environment}}}, b: {{image: b, {environment}}}}}"
    assert of("shared-model", System(load(text))) is None


def test_a_server_of_models_that_does_not_say_which_is_told(load: Load) -> None:
    system = System(load("services: {llm: {image: ollama/ollama}}"))
    assert "which model llm loads" in unseen("shared-model", system)


def test_a_language_model_that_users_wait_for_is_found(load: Load) -> None:
    assert set(found("heavy-sync", System(load(AI)))) == {"chat->llm"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loads: [spam]}\n  picks", "loads: [spam], streams: [llm]}\n  picks"),
        ("on-loss: {picks: fallback}", "on-loss: {chat: queued}"),
        ("on-loss: {picks: fallback}", "kind: {chat: websocket}"),
    ],
)
def test_a_language_model_that_nobody_waits_for_is_not_found(load: Load, old: str, new: str) -> None:
    system = System(load(AI.replace(old, new)))
    assert found("heavy-sync", system) == {}
    assert of("heavy-sync", system)


def test_without_an_entry_nobody_knows_what_users_wait_for(load: Load) -> None:
    system = System(load(AI.replace("x-gameday: {entry: gateway}", "")))
    assert of("heavy-sync", system) is None
    assert "x-gameday.entry" in unseen("heavy-sync", system)


def test_a_giant_is_found_by_the_limit_and_by_its_share(load: Load) -> None:
    big = AI.replace("picks: {image: acme/picks, x-gameday: {loads: [spam]}}", "picks: {image: acme/picks}")
    assert found("giant-ai-service", System(load(big))) == {}
    by_limit = found("giant-ai-service", System(load(big), limits=Limits(dependencies=1)))
    assert by_limit["chat"].observed == "2 of 2 dependencies on models: llm, spam"
    share = System(load(big.replace("[spam]", "[spam, names, faces]")), limits=Limits(dependencies=9))
    assert set(found("giant-ai-service", share)) == {"chat"}


def test_the_service_that_passes_requests_on_is_no_giant(load: Load) -> None:
    urls = ", ".join(f"M{number}_LLM_URL: 'http://m{number}'" for number in range(5))
    models = ", ".join(f"m{number}: {{image: ollama}}" for number in range(5))
    text = f"services: {{front: {{image: a, environment: {{{urls}}}}}, {models}}}"
    assert set(found("giant-ai-service", System(load(text)))) == {"front"}
    assert found("giant-ai-service", System(load(f"x-gameday: {{entry: front}}\n{text}"))) == {}


def requests(calls: Callable[[int], Sequence[Call]], n: int = FEWEST) -> list[Request]:
    return [Request("GET /", f"t{number}", calls(number)) for number in range(n)]


def call(
    edge: str = "gateway->chat", seconds: float = 0.1, *, waited: bool = True, span: str = "s", within: str = ""
) -> Call:
    return Call(*edge.split("->"), seconds, waited, span, within)


def test_many_calls_for_one_request_are_found(load: Load) -> None:
    catalogue = load(AI)
    chatty = requests(lambda _: [call()] * 6)
    finding = found("chatty-services", System(catalogue, chatty))["GET / over gateway->chat"]
    assert "6 calls for one request (95th percentile of 20, limit 5)" in finding.observed
    assert finding.line == 6
    assert found("chatty-services", System(catalogue, chatty, limits=Limits(calls=6))) == {}
    # One request that had to try again is no habit.
    assert (
        found("chatty-services", System(catalogue, requests(lambda number: [call()] * (9 if number == 0 else 1)))) == {}
    )


def test_few_traces_say_nothing(load: Load) -> None:
    system = System(load(AI), requests(lambda _: [call()] * 9, FEWEST - 1))
    assert of("chatty-services", system) is None
    assert "only 19 traces of requests over gateway->chat, 20 are needed" in unseen("chatty-services", system)


def test_a_slow_call_is_found_where_it_is_slow(load: Load) -> None:
    slow = requests(lambda _: [call(seconds=3.1, span="a"), call("chat->picks", 3, span="b", within="a")])
    findings = found("heavy-sync", System(load(AI), slow))
    assert set(findings) == {"chat->llm", "GET / over chat->picks"}
    assert "the request waits 3s (95th percentile of 20, limit 2s), such as gameday trace t0" in (
        findings["GET / over chat->picks"].observed
    )


def test_nobody_waits_for_what_goes_on_afterwards_or_is_streamed(load: Load) -> None:
    catalogue = load(AI.replace("on-loss: {picks: fallback}", "streams: [chat]"))
    later = requests(lambda _: [call("gateway->picks", 9, waited=False), call(seconds=9)])
    assert found("heavy-sync", System(catalogue, later)) == {}


def span(identifier: str, parent: str, service: str, start: float, end: float, *, kind: str = "server") -> Span:
    return Span("t", identifier, parent, service, f"{service}-work", start, end, None, {}, kind)


def test_calls_are_read_from_spans() -> None:
    trace = [
        span("1", "", "gateway", 0, 2),
        span("2", "1", "gateway", 0, 1, kind="client"),
        span("3", "2", "chat", 0.1, 0.9),
        span("4", "3", "chat", 0.2, 0.8, kind="internal"),
        span("5", "4", "llm", 0.3, 0.7),
        span("6", "1", "worker", 0.5, 9, kind="consumer"),
        span("7", "1", "audit", 1, 5),
    ]
    (request,) = read([trace, trace[1:], [span("8", "", "chat", 0, 1)]], "gateway")
    assert request.route == "gateway-work"
    seen = [(each.edge, round(each.seconds, 3), each.waited, each.within) for each in request.calls]
    assert seen == [("gateway->chat", 0.8, True, "1"), ("chat->llm", 0.4, True, "3"), ("gateway->audit", 4, False, "1")]


WAIVER = "waivers: [{{lint: no-fallback, subject: chat->llm, reason: r, owner: us, until: {until}}}]"


def waived(load: Load, until: str) -> tuple[Catalogue, System]:
    catalogue = load(AI.replace("{entry: gateway}", f"{{entry: gateway, {WAIVER.format(until=until)}}}"))
    return catalogue, System(catalogue)


def test_a_waiver_is_told_and_ends(load: Load) -> None:
    _, system = waived(load, "2026-11-27")
    assert set(found("no-fallback", system)) == {"gateway->chat"}
    result = of("no-fallback", system)
    assert result and result.facts["waived"] == ["no-fallback: chat->llm: until 2026-11-27 us says: r"]
    _, late = waived(load, "2026-11-26")
    assert "its waiver ended on 2026-11-26 (by us)" in found("no-fallback", late)["chat->llm"].detail


def test_a_waiver_of_nothing_is_told(load: Load) -> None:
    system = System(
        load(AI.replace("{entry: gateway}", f"{{{WAIVER.format(until='2026-12-01')}}}").replace("chat->llm", "a->b"))
    )
    assert "a waiver of nothing: no-fallback: a->b (by us)" in unseen("no-fallback", system)


gameday = partial(invoke, command)


def test_the_command_ends_with_what_it_found(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAMEDAY_STATE", raising=False)
    file = str(load(AI).files[0])
    code, printed = gameday("-f", file)
    assert code == 1
    assert "left out: not looked at: chatty-services" in printed
    code, printed = gameday("-f", file, "--json")
    told = json.loads(printed)
    assert (code, told["exit_code"], told["verdict"]) == (1, 1, "refuted")
    assert any(each.startswith("not looked at: heavy-sync") for each in told["left_out"])
    nothing = str(load("services: {a: {image: a}}").files[0])
    assert gameday("-f", nothing)[0] == 3


def test_the_reference_system_has_none_that_a_file_shows() -> None:
    catalogue = compose.load([ROOT / "docker-compose.yml"], environment=os.environ)
    results, _ = lint(System(catalogue), TODAY)
    assert {result.name: result.verdict for result in results} == dict.fromkeys(
        ("shared-database", "shared-model", "no-fallback", "heavy-sync", "giant-ai-service"), Verdict.CONFIRMED
    )
