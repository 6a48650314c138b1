"""Experiment files are read strictly: every mistake is told, with its line and what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gameday import experiment
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError, Problem

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment=os.environ)


def problems(catalogue: Catalogue, tmp_path: Path, *spoils: tuple[str, str]) -> list[Problem]:
    """What is told of recommendation-down.yaml after `spoils`."""
    path = tmp_path / "spoilt.yaml"
    content = (ROOT / "experiments/recommendation-down.yaml").read_text()
    for old, new in spoils:
        assert old in content
        content = content.replace(old, new)
    path.write_text(content)
    with pytest.raises(InputError) as told:
        experiment.read(path, catalogue)
    return list(told.value.problems)


def test_our_own_experiments_are_fine(catalogue: Catalogue) -> None:
    found = experiment.check(experiment.files(ROOT), catalogue)
    assert {"recommendation-down", "recommendation-slow"} <= {each.name for each in found}
    down = next(each for each in found if each.name == "recommendation-down")
    source = down.source.path.read_text().splitlines()
    assert "GET /api/homepage" in source[down.lines["users.0"] - 1]
    assert "RecommendationUnavailable" in source[down.lines["alerts.0"] - 1]


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("rollbacks:", "rolbacks:", "rolbacks", "did you mean rollbacks"),
        ("rollbacks:", "contributions:\n  a: high\nrolbacks:", "rollbacks", "add rollbacks"),
        ("fault: kill", "fault: kil", "method[0].provider.arguments.fault", "did you mean 'kill'"),
        ("target: recommendation-svc", "target: recommendation", "method[0].provider.arguments.target", "did you mean"),
        ("lease: 300s", "lease: 300", "method[0].provider.arguments.lease", "unit"),
        ("lease: 300s", "leese: 300s", "method[0].provider.arguments.leese", "did you mean lease"),
        ("arguments: {fault: kill, ", "arguments: {", "method[0].provider.arguments", "add fault"),
        ("func: hold", "func: hodl", "method[1].provider.func", "did you mean hold"),
        ("func: hold", "func: undo", "method", "func hold"),
        ("func: undo", "func: hold", "rollbacks", "func undo"),
        (
            "module: gameday.activities\n",
            "module: gameday.activitys\n",
            "method[0].provider.module",
            "correct the name",
        ),
        ("type: python\n", "type: pyton\n", "method[0].provider.type", "did you mean python"),
        ("tolerance: 200", "controls: []", "steady-state-hypothesis.probes[0]", "add tolerance"),
        ("load: steady-homepage", "load: steady-homepag", "extensions[0].load", "did you mean steady-homepage"),
        (
            "route: GET /api/homepage",
            "route: GET /api/home",
            "extensions[0].expect.users[0].route",
            "GET /api/homepage",
        ),
        ("route: GET /api/homepage", "route: /api/homepage", "extensions[0].expect.users[0].route", "correct route"),
        ('p99: "<= 800ms"', 'p98: "<= 800ms"', "extensions[0].expect.users[0].p98", "did you mean p99"),
        ('p99: "<= 800ms"', "p99: 800", "extensions[0].expect.users[0].p99", "correct p99"),
        ('p99: "<= 800ms"', 'p99: ">= 800ms"', "extensions[0].expect.users[0].p99", "correct p99"),
        ('bad: "<= 1 of 150"', 'bad: "<= 1 %"', "extensions[0].expect.users[0].bad", "correct bad"),
        ("status: 200", "status: '200'", "extensions[0].expect.users[0].status", "correct status"),
        ("{type: array, minItems: 1}", "{type: aray}", "extensions[0].expect.users[0].json", "correct json"),
        ("edge: api-gateway->", "edge: api-gatewy->", "extensions[0].expect.breaker[0].edge", "api-gateway->recomm"),
        ("name: HomepageUnavailable", "name: HomepageDown", "extensions[0].expect.alerts[1].name", "HomepageUnavail"),
        ("from: api-gateway}", "from: api-gatewy}", "extensions[0].expect.traces[0].from", "did you mean api-gateway"),
        ("status: error,", "status: failed,", "extensions[0].expect.traces[0].status", "correct status"),
        ("service: api-gateway,", "service: gateway,", "extensions[0].expect.logs[0].service", "api-gateway"),
        ("event: fallback", "evnt: fallback", "extensions[0].expect.logs[0].evnt", "did you mean event"),
        (
            "json: {edge: api-gateway",
            "json: {edge: {type: x}, b: api-gateway",
            "extensions[0].expect.logs[0].json",
            "json",
        ),
        ("silent: true", "silent: false", "extensions[0].expect.alerts[1]", "correct"),
        (
            "{edge: api-gateway->recommendation-svc, route",
            "{edge: api->recommendation-svc, route",
            "extensions[0].expect.retries[0].edge",
            "api-gateway->recomm",
        ),
        ('"<= 0.5"', '"0.5"', "extensions[0].expect.retries[0].amplification", "correct amplification"),
        (
            "route: GET /api/homepage, within",
            "route: GET /, within",
            "extensions[0].expect.bounded[0].route",
            "/homepage",
        ),
        ('"<= 2s"', '"<= 6s"', "extensions[0].expect.bounded[0].within", "longer timeout"),
        (
            "      bounded:\n",
            "      cascade: [{except: [GET /api/homepage]}]\n      bounded:\n",
            "extensions[0].expect.cascade[0].except",
            "leave out fewer",
        ),
        (
            "      bounded:\n",
            "      cascade: [{routes: [GET /api/homepage, GET /api/homepag]}]\n      bounded:\n",
            "extensions[0].expect.cascade[0].routes[1]",
            "did you mean GET /api/homepage",
        ),
        ("- name: gameday", "- name: gamedai", "extensions", "add {name: gameday"),
        (
            "method:\n",
            "controls:\n  - {name: safety, provider: {type: python, module: chaossafty}}\nmethod:\n",
            "controls[0].provider.module",
            "install it",
        ),
        ("title: Recommendation", "titel: Recommendation", "titel", "did you mean title"),
    ],
)
def test_each_mistake_is_told(  # noqa: PLR0917 - a table has columns
    catalogue: Catalogue, tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    told = problems(catalogue, tmp_path, (old, new))
    matching = [problem for problem in told if problem.key == key]
    assert matching, told
    assert any(words in problem.mend for problem in matching), matching
    assert all(problem.file == tmp_path / "spoilt.yaml" for problem in told)


def test_a_trace_is_not_expected_where_nothing_keeps_any(catalogue: Catalogue, tmp_path: Path) -> None:
    without = replace(catalogue, telemetry=replace(catalogue.telemetry, traces=None))
    (problem,) = problems(without, tmp_path, ("title: Recommendation", "title: Recommendations"))
    assert (problem.key, problem.message) == ("extensions[0].expect.traces", "nothing keeps traces here")
    assert problem.line


def test_all_mistakes_are_told_at_once_each_with_its_line(catalogue: Catalogue, tmp_path: Path) -> None:
    spoils = [
        ("fault: kill", "fault: kil"),
        ("rollbacks:", "rolbacks:"),
        ("load: steady-homepage", "load: steady"),
        ('p99: "<= 800ms"', "p98: 1"),
        ("edge: api-gateway->recommendation-svc", "edge: a->b"),
    ]
    told = problems(catalogue, tmp_path, *spoils)
    lines = (tmp_path / "spoilt.yaml").read_text().splitlines()
    for _, new in spoils:
        number = next(index for index, line in enumerate(lines, 1) if new in line)
        assert number in [problem.line for problem in told], new


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no mapping"),
        ("- a\n", "no mapping"),
        ("a: [\n", "not YAML"),
        ("title: x\ntitle: y\n", "duplicate key"),
        ("title: 1\nmethod: 2\nextensions: {}\n", "no extension called gameday"),
        ("extensions: [1, {name: gameday, expect: [], load: [x]}]\nmethod: [1, {provider: 3}]\n", "Input should be"),
    ],
)
def test_what_is_no_experiment_at_all(catalogue: Catalogue, tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "spoilt.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as told:
        experiment.read(path, catalogue)
    assert words in str(told.value)


def test_a_missing_file(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        experiment.check([tmp_path / "none.yaml"], catalogue)


def test_a_problem_of_a_profile_is_told_once(tmp_path: Path) -> None:
    for name in ("experiments", "loadtests", "alerts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    profile = tmp_path / "loadtests/profiles/steady-homepage.yaml"
    profile.write_text(profile.read_text().replace(":Visitor", ":Visiter"))
    system = compose.load([tmp_path / "docker-compose.yml"], environment=os.environ)
    with pytest.raises(InputError) as told:
        experiment.check(experiment.files(tmp_path), system)
    assert [problem.mend for problem in told.value.problems] == ["did you mean Visitor?"]


def test_the_published_schema_is_what_is_read() -> None:
    published = json.loads((ROOT / "docs/experiment.schema.json").read_text())
    assert published == experiment.schema(), "python -m gameday.experiment > docs/experiment.schema.json"


MALFORMED = Path(__file__).parent / "malformed"


def spoilt() -> list[tuple[str, str, int, str]]:
    """Of each entry of the corpus its name, the experiment, and the line and words of what has to be told."""
    found = []
    for number, (good, old, new, line, words) in enumerate(YAML(typ="safe").load(MALFORMED / "corpus.yaml"), 1):
        text = (MALFORMED / f"{good}.yaml").read_text()
        assert old in text, old
        found.append((f"{number:03}-{good}.yaml", text.replace(old, new, 1), line, words))
    return found


def test_a_hundred_malformed_files_are_each_told_with_their_line_and_a_mend(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    corpus = spoilt()
    assert len(corpus) >= 100
    for name, text, line, words in corpus:
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError) as told:
            experiment.read(tmp_path / name, catalogue)
        first = told.value.problems[0]
        assert (first.line, first.message[: len(words)]) == (line, words), name
        assert all(problem.mend and problem.file == tmp_path / name for problem in told.value.problems), name


def test_all_malformed_files_are_told_at_once_with_exit_2(tmp_path: Path) -> None:
    files = []
    for name, text, _, _ in spoilt():
        files.append(tmp_path / name)
        files[-1].write_text(text)
    command = [sys.executable, "-m", "gameday", "experiment", "check", *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "300"}, capture_output=True, text=True)
    assert done.returncode == 2
    assert [file.name for file in files if f"{file.name}:" not in done.stderr] == []
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("good", ["recommendation-down", "llm-slow", "llm-overloaded"])
def test_what_the_malformed_files_were_made_of_is_fine(catalogue: Catalogue, good: str) -> None:
    assert experiment.read(MALFORMED / f"{good}.yaml", catalogue).name == good
