"""Pact files as they are read, and results as they are judged; nothing is started."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gameday import contracts, gate
from gameday.catalogue import compose
from gameday.contracts import pacts, provider
from gameday.errors import GamedayError, InputError
from gameday.progress import Progress
from gameday.runtime import Endpoint
from gameday.tools import pact as verifier
from gameday.verdict import Verdict

COMPOSE = """
services:
  shop:
    image: shop
    environment: {STOCK_URL: "http://stock:80"}
  stock:
    build: .
    command: [python, -m, stock]
    environment: {PORT: 80, DB: "postgres://db:5432/stock"}
    expose: ["80"]
    x-gameday: {provider-states: {path: /states, environment: {STATES: "1"}}}
  db: {image: "postgres:18", expose: ["5432"]}
"""
STATES = '    x-gameday: {provider-states: {path: /states, environment: {STATES: "1"}}}\n'
DB = Endpoint("127.0.0.1", 50432)
RUNNING = {"db": {5432: DB}}


def interaction(description: str, *states: str) -> dict[str, Any]:
    return {"description": description, "providerStates": [{"name": state} for state in states]}


def write(directory: Path, *interactions: dict[str, Any], provider: str = "stock") -> Path:
    content = {"consumer": {"name": "shop"}, "provider": {"name": provider}, "interactions": list(interactions)}
    file = directory / f"shop-{provider}.json"
    file.write_text(json.dumps(content, indent=2))
    return file


def catalogue(directory: Path, text: str = COMPOSE) -> Any:
    (directory / "docker-compose.yml").write_text(text)
    return compose.load([directory / "docker-compose.yml"], environment={})


def verify(directory: Path, text: str = COMPOSE) -> list[Any]:
    return list(contracts.verify(catalogue(directory, text), RUNNING, contracts.read_all(directory)))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the provider and the verifier: `results` is what the verifier says, `asked` what it was asked."""
    said: dict[str, Any] = {"results": [], "asked": []}

    @asynccontextmanager
    async def instance(*_: Any, **__: Any) -> Any:
        yield {80: Endpoint("127.0.0.1", 40080)}

    def say(wanted: verifier.Verification, *, timeout: float) -> dict[str, Any]:
        said["asked"].append(wanted)
        return {"interactionResults": said["results"]}

    monkeypatch.setattr(provider, "instance", instance)
    monkeypatch.setattr(verifier, "verify", say)
    return said


def ok(description: str, *states: str) -> dict[str, Any]:
    return {"description": description, "providerStates": list(states), "result": "OK"}


def test_a_pact_is_read_with_the_lines_of_its_interactions(tmp_path: Path) -> None:
    file = write(tmp_path, interaction("stock of a book", "a book is there"), interaction("stock of nothing"))
    pact = pacts.read(file)
    assert pact.name == "shop->stock"
    assert [each.states for each in pact.interactions] == [("a book is there",), ()]
    lines = file.read_text().splitlines()
    assert ["stock of" in lines[each.line - 1] for each in pact.interactions] == [True, True]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no pact"),
        ('{"consumer": {"name": "a"}}', "no pact"),
        ('{"consumer": {"name": "a"}, "provider": {"name": "b"}, "interactions": []}', "promises nothing"),
    ],
)
def test_a_file_that_is_no_contract_is_wrong_input(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    write(tmp_path, interaction("fine"))
    with pytest.raises(InputError, match=words) as raised:
        pacts.read_all(tmp_path)
    assert raised.value.problems[0].file == tmp_path / "bad.json"


def test_all_bad_files_are_named_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("{")
    with pytest.raises(InputError) as raised:
        pacts.read_all(tmp_path)
    assert len(raised.value.problems) == 2


def test_no_pact_at_all_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pact in"):
        pacts.read_all(tmp_path / "nowhere")


def test_each_interaction_has_a_finding(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one", "s"), interaction("two"))
    verified["results"] = [ok("one", "s"), ok("two")]
    [result] = verify(tmp_path)
    assert (result.suite, result.name, result.verdict) == ("contracts", "shop->stock", Verdict.CONFIRMED)
    assert [finding.subject for finding in result.findings] == ["one, given s", "two"]
    assert verified["asked"][0].states == "http://127.0.0.1:40080/states"


def test_a_difference_refutes_and_is_told_with_its_place(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"), interaction("two"))
    difference = {"path": "$.source", "mismatch": "Expected 'popular' to be equal to 'model'"}
    broken = {"description": "one", "result": "Error", "mismatch": {"mismatches": [difference]}}
    verified["results"] = [broken, ok("two")]
    [result] = verify(tmp_path)
    first, second = result.findings
    assert (first.verdict, second.verdict) == (Verdict.REFUTED, Verdict.CONFIRMED)
    assert first.observed == "$.source: Expected 'popular' to be equal to 'model'"
    assert (Path(first.file or "").name, first.line) == ("shop-stock.json", 10)


def test_an_error_without_a_difference_is_no_verdict_on_the_provider(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"))
    mismatch = {"message": "One or more of the setup state change handlers has failed", "type": "error"}
    verified["results"] = [{"description": "one", "result": "Error", "mismatch": mismatch}]
    [result] = verify(tmp_path)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "state change handlers" in result.findings[0].detail


def test_what_the_verifier_says_nothing_of_is_never_a_pass(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"), interaction("two"))
    verified["results"] = [ok("one")]
    [result] = verify(tmp_path)
    assert [finding.verdict for finding in result.findings] == [Verdict.CONFIRMED, Verdict.INCONCLUSIVE]
    verified["results"] = []
    [result] = verify(tmp_path)
    assert result.verdict is Verdict.INCONCLUSIVE


def test_an_unknown_provider_is_inconclusive(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"), provider="cellar")
    [result] = verify(tmp_path)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.findings[0].detail == "docker-compose.yml has no service 'cellar'"
    assert not verified["asked"]


def test_states_that_nobody_enters_are_inconclusive(tmp_path: Path, verified: dict[str, Any]) -> None:
    """The verifier itself would skip them without a word, and might find the answer right by chance."""
    write(tmp_path, interaction("one", "a book is there"))
    [result] = verify(tmp_path, COMPOSE.replace(STATES, ""))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "x-gameday.provider-states of stock" in result.findings[0].detail
    assert not verified["asked"]


def test_a_provider_that_does_not_start_is_inconclusive(
    tmp_path: Path, verified: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def instance(*_: Any, **__: Any) -> Any:
        raise GamedayError("stock did not become ready: its last words")
        yield

    monkeypatch.setattr(provider, "instance", instance)
    write(tmp_path, interaction("one"), interaction("two"))
    [result] = verify(tmp_path)
    assert [finding.verdict for finding in result.findings] == [Verdict.INCONCLUSIVE] * 2
    assert "its last words" in result.findings[0].detail


def test_endpoints_are_taken_as_the_supervisor_tells_them() -> None:
    assert contracts.endpoints({"db": {"5432": "127.0.0.1:50432"}}) == RUNNING


def test_a_gate_with_a_broken_pact_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(gate, "system", start)
    catalogue(tmp_path)
    (tmp_path / "contracts" / "pacts").mkdir(parents=True)
    (tmp_path / "contracts" / "pacts" / "broken.json").write_text("{")
    for suites in ([], ["contracts"]):
        with pytest.raises(InputError, match="no JSON"):
            gate.gate([tmp_path / "docker-compose.yml"], suites, 30.0, None, Progress())


def pending(description: str, *states: str) -> dict[str, Any]:
    return interaction(description, *states) | {"pending": True}


def broken(description: str) -> dict[str, Any]:
    difference = {"path": "$.source", "mismatch": "it is missing"}
    return {"description": description, "result": "Error", "mismatch": {"mismatches": [difference]}}


def test_what_is_pending_breaks_no_provider_and_is_told(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"), pending("two"))
    verified["results"] = [ok("one"), broken("two")]
    [result] = verify(tmp_path)
    assert [(each.subject, each.verdict) for each in result.findings] == [("one", Verdict.CONFIRMED)]
    concluded = gate.conclude([result], 0.0, "", 1.0)
    assert concluded.exit_code == 0
    assert concluded.left_out == ("pending: shop->stock: two: $.source: it is missing",)


def test_what_was_promised_is_broken_all_the_same(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"), pending("two"))
    verified["results"] = [broken("one"), broken("two")]
    [result] = verify(tmp_path)
    assert gate.conclude([result], 0.0, "", 1.0).exit_code == 1


def test_where_all_is_pending_nothing_is_confirmed(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, pending("one"))
    verified["results"] = [broken("one")]
    concluded = gate.conclude(verify(tmp_path), 0.0, "", 1.0)
    assert (concluded.results, concluded.verdict) == ((), Verdict.INCONCLUSIVE)


def test_a_pending_one_that_is_kept_says_that_its_mark_is_needless(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, pending("one"))
    verified["results"] = [ok("one")]
    [result] = verify(tmp_path)
    assert result.verdict is Verdict.CONFIRMED
    assert "take the mark away" in result.findings[0].detail


def test_elsewhere_only_what_needs_no_state_is_asked(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one"), interaction("two", "a state"))
    write(tmp_path, interaction("another's"), provider="other")
    verified["results"] = [ok("one")]
    headers = {"x-key": "k"}
    promised = contracts.read_all(tmp_path)
    [result] = contracts.verify_at("stock", "https://stock.example", headers, promised)
    assert [each.subject for each in result.findings] == ["one"]
    assert (verified["asked"][0].url, verified["asked"][0].headers) == ("https://stock.example", headers)
    concluded = gate.conclude([result], 0.0, "", 1.0)
    assert concluded.left_out == ("not asked: shop->stock: two, given a state",)


def test_elsewhere_what_the_verifier_skips_is_no_pass(tmp_path: Path, verified: dict[str, Any]) -> None:
    write(tmp_path, interaction("one", "a state"))
    results = list(contracts.verify_at("stock", "https://stock.example", {}, contracts.read_all(tmp_path)))
    assert verified["asked"] == []
    assert gate.conclude(results, 0.0, "", 1.0).verdict is Verdict.INCONCLUSIVE


def test_pacts_of_older_versions_are_read_with_their_states_and_messages(tmp_path: Path) -> None:
    pair = {"consumer": {"name": "shop"}, "provider": {"name": "stock"}}
    two = pair | {"interactions": [{"description": "one", "providerState": "a state", "request": {}, "response": {}}]}
    three = pair | {"messages": [{"description": "told", "providerStates": [{"name": "a state"}], "contents": {}}]}
    found = []
    for name, content in (("two", two), ("three", three)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        found += [(each.states, each.message) for each in pacts.read(tmp_path / f"{name}.json").interactions]
    assert found == [(("a state",), False), (("a state",), True)]


@pytest.mark.parametrize("facts", [{}, {"waived": ["an alert: nothing fires it"]}, {contracts.PENDING: []}])
def test_whatever_else_was_not_judged_is_no_pass_beside_what_was(
    tmp_path: Path, verified: dict[str, Any], facts: dict[str, Any]
) -> None:
    write(tmp_path, interaction("one"))
    verified["results"] = [ok("one")]
    [kept] = verify(tmp_path)
    assert kept.verdict is Verdict.CONFIRMED
    empty = kept.model_copy(update={"findings": (), "facts": facts})
    assert gate.conclude([kept, empty], 0.0, "", 1.0).verdict is Verdict.INCONCLUSIVE
