"""May it be deployed? From versions, verifications and environments; no data is never a yes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gameday import contracts
from gameday.catalogue import Catalogue, compose
from gameday.cli import contracts as command
from gameday.contracts.versions import version
from gameday.errors import InputError
from gameday.state import State
from gameday.verdict import Finding, Result, Verdict

COMPOSE = """
services:
  shop:
    {build: ., command: [python, shop.py], environment: {STOCK_URL: "http://stock:80"}, x-gameday: {sources: [shop]}}
  stock: {build: ., command: [python, stock.py], expose: ["80"], x-gameday: {sources: [stock]}}
"""


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "docker-compose.yml").write_text(COMPOSE)
        for service in ("shop", "stock"):
            self.write(service, "1")
        self.promise("left")
        self.ledger = contracts.Ledger(State(directory / ".gameday"))

    def write(self, service: str, content: str) -> None:
        (self.directory / service).mkdir(exist_ok=True)
        (self.directory / service / "main.py").write_text(content)

    def promise(self, field: str) -> None:
        pacts = self.directory / "contracts/pacts"
        pacts.mkdir(parents=True, exist_ok=True)
        interaction = {
            "type": "Synchronous/HTTP",
            "description": f"how many are {field}",
            "request": {},
            "response": {},
        }
        pact = {"consumer": {"name": "shop"}, "provider": {"name": "stock"}, "interactions": [interaction]}
        (pacts / "shop-stock.json").write_text(json.dumps(pact))

    @property
    def catalogue(self) -> Catalogue:
        return compose.load([self.directory / "docker-compose.yml"], environment={})

    @property
    def pacts(self) -> list[contracts.Pact]:
        return contracts.read_all(self.directory / "contracts/pacts")

    def verified(self, verdict: Verdict) -> None:
        """As `contracts verify` remembers it."""
        (pact,) = self.pacts
        asked = version(self.catalogue, self.catalogue.services["stock"])
        finding = Finding(check="contract", subject="left", verdict=verdict, expected="", observed="$.left: is missing")
        facts = {"sha256": pact.sha256, "version": asked}
        self.ledger.verified([Result(suite="contracts", name=pact.name, title="", findings=(finding,), facts=facts)])

    def deploy(self, service: str, environment: str = "live") -> None:
        self.ledger.deployed(contracts.deployment(self.catalogue, self.pacts, service, environment, 0.0))

    def may(self, service: str, environment: str | None = None) -> tuple[Verdict, str]:
        result = contracts.can_deploy(self.catalogue, self.ledger, self.pacts, service, environment)
        return result.verdict, " ".join(f"{each.observed} {each.detail}" for each in result.findings)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("service", ["shop", "stock"])
def test_no_then_yes_after_the_mend_and_why(project: Project, service: str) -> None:
    assert project.may(service) == (Verdict.INCONCLUSIVE, project.may(service)[1])
    assert "never verified" in project.may(service)[1]
    project.verified(Verdict.REFUTED)
    verdict, why = project.may(service)
    assert verdict is Verdict.REFUTED
    assert "$.left: is missing" in why
    project.write("stock", "2, which has it")
    assert project.may(service)[0] is Verdict.INCONCLUSIVE, "of the new content nothing is known yet"
    project.verified(Verdict.CONFIRMED)
    assert project.may(service)[0] is Verdict.CONFIRMED
    project.promise("right")
    assert project.may(service)[0] is Verdict.INCONCLUSIVE, "nor of a new pact"


def test_a_consumer_meets_what_stands_there_not_what_is_here(project: Project) -> None:
    project.deploy("shop")
    assert project.may("shop", "live") == (Verdict.REFUTED, "stock does not stand in live ")
    project.verified(Verdict.CONFIRMED)
    project.deploy("stock")
    assert project.may("shop", "live")[0] is Verdict.CONFIRMED
    project.write("stock", "newer, and not there yet")
    assert project.may("shop", "live")[0] is Verdict.CONFIRMED
    assert project.may("shop")[0] is Verdict.INCONCLUSIVE


def test_a_provider_is_held_to_what_those_rely_on_who_stand_there(project: Project) -> None:
    project.deploy("stock")
    assert project.may("stock", "live")[0] is Verdict.CONFIRMED, "nobody there can be broken"
    project.verified(Verdict.CONFIRMED)
    project.deploy("shop")
    project.promise("right")  # a newer shop, which does not stand there
    project.verified(Verdict.REFUTED)
    assert project.may("stock", "live")[0] is Verdict.CONFIRMED
    project.deploy("shop")
    assert project.may("stock", "live")[0] is Verdict.REFUTED


def test_a_version_is_what_runs_and_not_how_it_is_set_up(project: Project) -> None:
    def now() -> str:
        return version(project.catalogue, project.catalogue.services["stock"])

    first = now()
    project.write("shop", "another shop")
    (project.directory / "stock/.hidden").write_text("x")
    (project.directory / "stock/__pycache__").mkdir()
    (project.directory / "stock/__pycache__/main.pyc").write_text("x")
    (project.directory / ".dockerignore").write_text("stock/model\n")
    (project.directory / "stock/model").mkdir()
    (project.directory / "stock/model/weights").write_text("x")
    text = COMPOSE.replace('expose: ["80"]', 'expose: ["80"], environment: {SIZE: "7"}')
    (project.directory / "docker-compose.yml").write_text(text)
    assert now() == first
    (project.directory / "docker-compose.yml").write_text(COMPOSE.replace("stock.py", "other.py"))
    assert now() != first
    (project.directory / "docker-compose.yml").write_text(COMPOSE)
    (project.directory / "stock/more.py").write_text("")
    assert now() != first


def test_a_torn_last_line_is_as_if_it_had_not_been_written(project: Project) -> None:
    project.verified(Verdict.CONFIRMED)
    file = project.directory / ".gameday/contracts/verifications.jsonl"
    with file.open("a") as out:
        out.write(file.read_text().replace("confirmed", "refuted").rstrip("\n"))
    assert project.may("shop")[0] is Verdict.CONFIRMED
    project.verified(Verdict.REFUTED)
    assert project.may("shop")[0] is Verdict.REFUTED, "what comes after it is written on a line of its own"


def test_the_commands(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.directory)
    monkeypatch.setenv("GAMEDAY_STATE", str(project.directory / ".gameday"))

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command.app, arguments)
        if isinstance(done.exception, InputError):
            return 2, " ".join(f"{each.message} {each.mend}" for each in done.exception.problems)
        return done.exit_code, done.output

    assert run("can-deploy", "shop")[0] == 3
    code, told = run("can-deploy", "shp")
    assert (code, "did you mean shop" in told) == (2, True)
    assert run("can-deploy", "shop", "--to", "live")[0] == 2, "a misspelt environment is no empty one"
    project.verified(Verdict.CONFIRMED)
    assert run("can-deploy", "shop")[0] == 0
    assert run("deployed", "stock", "--to", "live")[0] == 0
    assert run("can-deploy", "shop", "--to", "live")[0] == 0
    project.verified(Verdict.REFUTED)
    code, told = run("can-deploy", "shop", "--to", "live")
    assert (code, "$.left: is missing" in told) == (1, True)
    (row,) = json.loads(run("list", "--json")[1])
    assert row["verified"]["verdict"] == "refuted"
    project.write("stock", "3")
    (row,) = json.loads(run("list", "--json")[1])
    assert row["verified"] is None


def test_a_provider_may_go_where_something_is_pending_and_its_consumer_may_not(project: Project) -> None:
    (pact,) = project.pacts
    told = [f"{pact.name}: how many are left: $.left: is missing"]
    facts = {"sha256": pact.sha256, "version": version(project.catalogue, project.catalogue.services["stock"])}
    result = Result(suite="contracts", name=pact.name, title="", findings=(), facts=facts | {contracts.PENDING: told})
    project.ledger.verified([result])
    assert project.may("stock")[0] is Verdict.CONFIRMED
    verdict, why = project.may("shop")
    assert verdict is Verdict.REFUTED
    assert "pending" in why
    assert "$.left: is missing" in why


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at", "stock"], "write PROVIDER=URL"),
        (["--at", "stcok=http://there"], "did you mean stock"),
        (["--at", "stock=http://there", "--header", "x-key: $NO_SUCH_KEY"], "NO_SUCH_KEY is not set"),
        (["--at", "stock=http://there", "--header", "x-key"], "write 'NAME: VALUE'"),
        (["--at", "stock=http://there", "--header", "x-key: 5$"], "write 'NAME: VALUE'"),
    ],
)
def test_where_to_verify_is_told_wrong(
    project: Project, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(project.directory)
    ran = CliRunner().invoke(command.app, ["verify", *options])
    assert isinstance(ran.exception, InputError)
    assert words in "\n".join(f"{each} {each.mend}" for each in ran.exception.problems)
