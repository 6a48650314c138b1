"""What changed since a commit, and what of a gate that touches."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cached_property
from pathlib import Path

import pytest

from gameday import agenda, changes, contracts, cover, experiment, suites
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError

ROOT = Path(__file__).parents[2]


class Repository:
    """The compose file, experiments, loads and pacts of the reference system, in a repository of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("experiments", "loadtests", "alerts", "contracts/pacts"):
            shutil.copytree(ROOT / name, directory / name)
        shutil.copy(ROOT / "docker-compose.yml", directory)
        for service in ("search", "chat", "kit"):
            self.write(f"system/{service}/code.py", "1")
        self.write("README.md", "1")
        self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "first")

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def git(self, *arguments: str) -> None:
        who = {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        subprocess.run(["git", *arguments], cwd=self.directory, env=os.environ | who, check=True, capture_output=True)

    @cached_property
    def catalogue(self) -> Catalogue:
        return compose.load([self.directory / "docker-compose.yml"], environment={})

    def since(self, ref: str = "main") -> changes.Changes:
        return changes.since(ref, self.catalogue)

    def plan(self, *named: str) -> agenda.Agenda:
        chosen = suites.choose(named)
        return agenda.plan(chosen, self.catalogue, bool(named), False, self.since())


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_file_belongs_to_the_services_that_are_built_of_it(repository: Repository) -> None:
    assert repository.since() == changes.Changes("main", frozenset(), frozenset(), ())
    repository.write("system/search/code.py", "2")
    assert repository.since().services == {"search-svc"}
    repository.write("system/chat/new/file.py", "not yet added")
    repository.git("commit", "-q", "-am", "second")
    assert repository.since("HEAD~1").services == {"search-svc", "chat-svc"}
    assert repository.since("HEAD").services == {"chat-svc"}
    repository.write("system/kit/code.py", "2")
    assert len(repository.since().services) > 10, "all of them are built of the kit"


def test_prose_touches_nothing_and_what_belongs_to_nobody_touches_everything(repository: Repository) -> None:
    repository.write("README.md", "2")
    assert not repository.since().touch(["search-svc"], "search-down")
    repository.write("experiments/search-down.yaml", "2")
    assert repository.since().touch([], "search-down")
    assert not repository.since().touch(["search-svc"], "chat-down")
    repository.write("alerts/slos.toml", "2")
    assert repository.since().beyond == ("alerts/slos.toml",)
    assert repository.since().touch(["chat-svc"], "chat-down")


def test_a_deleted_and_a_moved_file_are_changes(repository: Repository) -> None:
    repository.git("mv", "system/search/code.py", "system/chat/moved.py")
    assert repository.since().services == {"search-svc", "chat-svc"}


@pytest.mark.parametrize("ref", ["nowhere", "no such thing", "--output=written"])
def test_a_commit_that_there_is_not_is_wrong_input(repository: Repository, ref: str) -> None:
    with pytest.raises(InputError) as told:
        repository.since(ref)
    assert told.value.problems[0].mend
    assert not (repository.directory / "written").exists(), "what is asked for is no option of git's"


def test_outside_of_a_repository_nothing_is_known(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    catalogue = compose.load([tmp_path / "docker-compose.yml"], environment={})
    with pytest.raises(InputError, match="repository"):
        changes.since("main", catalogue)


def test_a_gate_runs_what_is_touched_and_says_what_is_not(repository: Repository) -> None:
    repository.write("system/search/code.py", "2")
    plan = repository.plan()
    assert plan.suites == ["contracts", "experiments", "load", "telemetry"]
    assert {"search-svc"} <= {name for pact in plan.pacts for name in (pact.consumer, pact.provider)}
    assert all("search-svc" in (pact.consumer, pact.provider) for pact in plan.pacts)
    assert not list(contracts.missing(repository.catalogue, plan.agreed or ())), "what is left out is not missing"
    every = experiment.check(experiment.files(repository.directory), repository.catalogue)
    about = {each.name for each in every if "search-svc" in cover.touches(each, repository.catalogue)}
    ran = {each.name for each in plan.experiments}
    assert "search-down" in about
    assert ran
    assert ran <= about
    told = {line.partition(":")[0] for line in plan.left_out}
    assert {f"experiment {each.name}" for each in every if each.name not in ran} <= told
    assert "alerts" in told
    assert any(line.startswith("contract ") and "main" in line for line in plan.left_out)


def test_where_nothing_changed_the_load_still_runs(repository: Repository) -> None:
    assert repository.plan().suites == ["load", "telemetry"]


def test_what_belongs_to_nobody_runs_everything(repository: Repository) -> None:
    repository.write("docker-compose.override.txt", "2")
    plan = repository.plan()
    assert plan.suites == ["contracts", "experiments", "load", "telemetry", "alerts"]
    assert len(plan.pacts) == 22


def test_the_commit_that_stands_here_is_told_with_what_was_changed_since(repository: Repository) -> None:
    clean = changes.commit(repository.directory)
    assert len(clean) == 40
    repository.write("system/search/code.py", "2")
    two = changes.commit(repository.directory)
    repository.write("system/search/code.py", "3")
    assert two.startswith(f"{clean}+")
    assert len({clean, two, changes.commit(repository.directory)}) == 3
    assert changes.commit(Path("/")) == ""
