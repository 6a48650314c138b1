"""A Pact Broker that the environment names gets pacts and results, and says what may be deployed. It is a fake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_broker import ENVIRONMENT, TOKEN, FakeBroker, serving
from typer.testing import CliRunner

from gameday import contracts
from gameday.catalogue import Catalogue, compose
from gameday.cli import contracts as command
from gameday.contracts.versions import version
from gameday.errors import GamedayError, InputError
from gameday.verdict import Finding, Result, Verdict

COMPOSE = """
services:
  shop: {build: ., command: [shop], environment: {STOCK_URL: "http://stock:80"}, x-gameday: {sources: [shop]}}
  stock: {build: ., command: [stock], expose: ["80"], x-gameday: {sources: [stock]}}
"""
ROW = {
    "consumer": {"name": "shop", "version": {"number": "1"}},
    "provider": {"name": "stock", "version": {"number": "2"}},
}


@pytest.fixture
def fake() -> Iterator[FakeBroker]:
    with serving() as broker:
        yield broker


@pytest.fixture
def system(tmp_path: Path) -> Catalogue:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    pacts = tmp_path / "contracts/pacts"
    pacts.mkdir(parents=True)
    content = {
        "consumer": {"name": "shop"},
        "provider": {"name": "stock"},
        "interactions": [{"description": "how many", "type": "Synchronous/HTTP", "request": {}, "response": {}}],
    }
    (pacts / "shop-stock.json").write_text(json.dumps(content))
    return compose.load([tmp_path / "docker-compose.yml"], environment={})


def agreed(system: Catalogue) -> list[contracts.Pact]:
    return contracts.read_all(contracts.directory(system))


def environment(fake: FakeBroker, **more: str) -> dict[str, str]:
    return {"PACT_BROKER_BASE_URL": fake.url, "PACT_BROKER_TOKEN": TOKEN, **more}


def named(told: dict[str, str]) -> contracts.Broker:
    broker = contracts.Broker.of(told)
    assert broker
    return broker


def result(system: Catalogue, verdict: Verdict) -> Result:
    (pact,) = agreed(system)
    finding = Finding(check="contract", subject="how many", verdict=verdict, expected="", observed="")
    facts = {"sha256": pact.sha256, "version": "of-stock"}
    return Result(suite="contracts", name=pact.name, title="", findings=(finding,), facts=facts)


def test_nothing_is_named() -> None:
    assert contracts.Broker.of({}) is None
    with pytest.raises(InputError, match="no address"):
        contracts.Broker.of({"PACT_BROKER_BASE_URL": "broker.example"})


@pytest.mark.parametrize("verdict", [Verdict.CONFIRMED, Verdict.REFUTED])
def test_pacts_and_results_are_published(fake: FakeBroker, system: Catalogue, verdict: Verdict) -> None:
    with named(environment(fake, GIT_BRANCH="main")) as broker:
        told = contracts.shared(broker, system, agreed(system), [result(system, verdict)])
    assert told.verdict is Verdict.CONFIRMED
    assert told.findings[0].observed == "published: pacts 1, results 1"
    shop = version(system, system.services["shop"])
    (published,) = fake.published
    assert (published["pacticipantName"], published["pacticipantVersionNumber"]) == ("shop", shop)
    assert published["branch"] == "main"
    assert [each["provider"]["name"] for each in fake.contents()] == ["stock"]
    ((where, (sent,)),) = fake.results.items()
    assert where == f"/pacts/provider/stock/consumer/shop/version/{shop}"
    assert sent["success"] is (verdict is Verdict.CONFIRMED)
    assert sent["providerApplicationVersion"] == "of-stock"


def test_what_was_not_verified_is_neither_a_yes_nor_a_no(fake: FakeBroker, system: Catalogue) -> None:
    with named(environment(fake)) as broker:
        contracts.shared(broker, system, agreed(system), [result(system, Verdict.INCONCLUSIVE)])
    assert fake.published
    assert not fake.results


@pytest.mark.parametrize("broken", ["gone", "refuses", "is something else"])
def test_a_broker_that_does_not_take_them_is_inconclusive(fake: FakeBroker, system: Catalogue, broken: str) -> None:
    told = environment(fake)
    if broken == "gone":
        told["PACT_BROKER_BASE_URL"] = "http://127.0.0.1:1"
    elif broken == "refuses":
        told["PACT_BROKER_TOKEN"] = "wrong"
    else:
        told["PACT_BROKER_BASE_URL"] = f"{fake.url}/elsewhere"
    with named(told) as broker:
        found = contracts.shared(broker, system, agreed(system), [result(system, Verdict.CONFIRMED)])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.findings[0].observed == "not published"


@pytest.mark.parametrize(
    ("deployable", "rows", "verdict"),
    [
        (True, [ROW | {"verificationResult": {"success": True, "verifiedAt": "now"}}], Verdict.CONFIRMED),
        (False, [ROW | {"verificationResult": {"success": False}}], Verdict.REFUTED),
        (None, [ROW | {"verificationResult": None}], Verdict.INCONCLUSIVE),
        (None, [], Verdict.INCONCLUSIVE),
        (True, [], Verdict.CONFIRMED),
        # Whatever its rows say: without its yes it is none.
        (False, [ROW | {"verificationResult": {"success": True}}], Verdict.REFUTED),
        (None, [ROW | {"verificationResult": {"success": True}}], Verdict.INCONCLUSIVE),
    ],
)
def test_it_says_what_may_be_deployed(
    fake: FakeBroker, deployable: bool | None, rows: list[dict[str, object]], verdict: Verdict
) -> None:
    fake.matrix = {"summary": {"deployable": deployable, "reason": "because"}, "matrix": rows}
    with named(environment(fake)) as broker:
        found = broker.can_deploy("shop", "1", "live")
    assert found.verdict is verdict, found.findings
    query = {
        "q[][pacticipant]": ["shop"],
        "q[][version]": ["1"],
        "latestby": ["cvp"],
        "environment": ["live"],
    }
    assert fake.asked[-1] == ("/matrix", query)


def test_a_deployment_is_told_to_it(fake: FakeBroker) -> None:
    with named(environment(fake)) as broker:
        broker.deployed("shop", "1", "live")
        assert fake.deployed == [f"/pacticipants/shop/versions/1/deployed-versions/environment/{ENVIRONMENT}"]
        with pytest.raises(InputError, match="no environment 'lvie'"):
            broker.deployed("shop", "1", "lvie")


def test_the_commands_ask_it(fake: FakeBroker, system: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(system.directory)
    for name, value in environment(fake).items():
        monkeypatch.setenv(name, value)
    run = CliRunner().invoke
    assert run(command.app, ["deployed", "shop", "--to", "live"]).exit_code == 0
    assert len(fake.deployed) == 1
    fake.matrix = {"summary": {"deployable": True, "reason": "all were verified"}, "matrix": []}
    assert run(command.app, ["can-deploy", "shop", "--to", "live"]).exit_code == 0
    fake.matrix["summary"]["deployable"] = False
    assert run(command.app, ["can-deploy", "shop", "--to", "live"]).exit_code == 1
    monkeypatch.setenv("PACT_BROKER_BASE_URL", "http://127.0.0.1:1")
    gone = run(command.app, ["can-deploy", "shop"])
    assert isinstance(gone.exception, GamedayError)
