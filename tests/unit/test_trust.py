"""Commands that nobody approved are not run, and an approval holds for those commands alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import gameday
from gameday import trust
from gameday.catalogue import Catalogue, compose

TEXT = """
services:
  web: {build: ., command: [./serve], healthcheck: {test: [CMD, ./check]}, environment: {LABEL: "${LABEL:-a}"}}
  cache: {image: "redis:7", healthcheck: {test: [NONE]}}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))


def load(directory: Path, text: str = TEXT, **environment: str) -> Catalogue:
    (directory / "compose.yml").write_text(text)
    return compose.load([directory / "compose.yml"], environment=environment)


def test_what_is_shown_is_what_would_run(tmp_path: Path) -> None:
    assert list(trust.commands(load(tmp_path))) == [("web", "./serve"), ("web (health check)", "./check")]


def test_an_approval_lasts_until_a_command_changes(tmp_path: Path) -> None:
    assert not trust.approved(load(tmp_path))
    trust.approve(load(tmp_path))
    assert trust.approved(load(tmp_path))
    assert trust.approved(load(tmp_path, LABEL="another value of a variable"))
    for old, new in (("./serve", "./steal"), ("./check", "./steal"), ("build: .", "build: ./other")):
        assert not trust.approved(load(tmp_path, TEXT.replace(old, new)))


def test_an_approval_is_of_the_commands_and_not_of_the_place(tmp_path: Path) -> None:
    trust.approve(load(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    assert not trust.approved(load(other)), "its build context is another directory"


def test_files_beside_the_running_code_need_no_approval() -> None:
    root = Path(gameday.__file__).parents[1]
    assert trust.approved(compose.load([root / "docker-compose.yml"], environment={}))
