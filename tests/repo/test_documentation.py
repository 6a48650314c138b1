"""What is written for people is true of the program."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from commands import EXAMPLES, ROOT, blocks, leaves, typed

from gameday import experiment
from gameday.catalogue import Catalogue, compose
from gameday.verdict import Verdict

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_command_has_an_example_of_itself(name: str) -> None:
    example = EXAMPLES[name]
    assert example, f"the help of `gameday {name}` has no line `Example: $ gameday {name} ...`"
    assert f"gameday {name}" in example


def test_every_command_says_what_it_does() -> None:
    assert [name for name, command in leaves() if not command.help] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_readme_names_every_command(name: str) -> None:
    """In its table: a row `gameday load list`, `run` stands for both."""
    group, _, leaf = name.partition(" ")
    rows = [line for line in README.splitlines() if re.match(rf"\| .*`(gameday )?{group}\b", line)]
    assert rows
    assert not leaf or any(re.search(rf"\b{leaf}`", row) for row in rows)


def test_readme_tells_every_exit_code() -> None:
    for verdict in Verdict:
        assert re.search(rf"\| {verdict.exit_code} \| .*{verdict.value.replace('-', '.')}", README), verdict


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_on_pages_are_commands_of_this_repository(page: Path) -> None:
    for line in typed(page):
        program, *words = line.split()
        if program == "gameday":
            assert any(" ".join(words).startswith(name) for name in EXAMPLES), line
        else:
            assert (ROOT / program).exists() or program in ("eval", "python", "chaos", "pip", "pytest"), line


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment=os.environ)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_experiments_on_pages_are_right(page: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    for number, block in enumerate(block for block in blocks(page, "yaml") if "rollbacks:" in block):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        experiment.read(file, catalogue)


def test_the_guide_leads_to_every_page() -> None:
    guide = (ROOT / "docs/index.md").read_text()
    for path in (ROOT / "docs").iterdir():
        if path.suffix == ".md" or (path.is_dir() and any(path.glob("*.md"))):
            assert path.name == "index.md" or f"]({path.name})" in guide, path.name
