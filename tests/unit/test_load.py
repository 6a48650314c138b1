"""Load profiles, read strictly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gameday import load
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Catalogue:
    for name in ("loadtests", "alerts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    return compose.load([tmp_path / "docker-compose.yml"], environment=os.environ)


def test_our_own_profiles_are_fine(project: Catalogue) -> None:
    profiles = [load.read(name, project) for name in load.names(project.directory)]
    assert any(each.profile.gate for each in profiles)
    assert {each.target(project) for each in profiles} == {"api-gateway"}


@pytest.mark.parametrize(
    ("old", "new", "line", "mend"),
    [
        ("homepage.py:Visitor", "homepag.py:Visitor", 3, "did you mean homepage.py or members.py?"),
        ("homepage.py:Visitor", "homepage.py:Visiter", 3, "did you mean Visitor?"),
        ("homepage.py:Visitor", "homepage.py", 3, "correct user"),
        ("rate: 40", "rate: 0", 3, "correct rate"),
        ("duration: 20s", "duration: 20", 4, "correct duration"),
        ("duration: 20s", "durations: 20s", 4, "did you mean duration?"),
        ("duration: 20s", "target: api-gatewey", 4, "did you mean api-gateway or ai-worker?"),
        ("GET /api/homepage", "GETT /api/homepage", 7, "correct GETT /api/homepage"),
        ("p99:", "p98:", 7, "did you mean p99?"),
    ],
)
def test_each_mistake_is_told(project: Catalogue, old: str, new: str, line: int, mend: str) -> None:
    path = project.directory / "loadtests/profiles/steady-homepage.yaml"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    with pytest.raises(InputError) as told:
        load.read("steady-homepage", project)
    (problem,) = told.value.problems
    assert (problem.line, problem.mend) == (line, mend)


def test_an_unknown_profile(project: Catalogue) -> None:
    with pytest.raises(InputError) as told:
        load.read("brows", project)
    assert told.value.problems[0].mend == "did you mean browse?"
