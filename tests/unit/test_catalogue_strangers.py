"""Compose files in the styles of strangers: the right edges, and no traceback on anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gameday.catalogue import compose
from gameday.catalogue.model import Edge
from gameday.errors import InputError, render

STRANGERS = Path(__file__).parent / "strangers"
NAMES = sorted(path.parent.name for path in STRANGERS.glob("*/expected.yaml"))


def expected(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load(STRANGERS / name / "expected.yaml")


def row(edge: Edge) -> dict[str, Any]:
    return {
        "edge": edge.name,
        "port": edge.port,
        "kind": edge.kind.value,
        "evidence": [evidence.value for evidence in edge.evidence],
        "env": list(edge.env),
    }


def load(directory: Path, story: dict[str, Any]) -> list[dict[str, Any]]:
    files = [directory / each for each in story.get("files", ())] or compose.find(directory)
    catalogue = compose.load(files, environment=story.get("environment", {}), profiles=story.get("profiles", ()))
    return [row(edge) for edge in catalogue.edges]


@pytest.mark.parametrize("name", NAMES)
def test_the_edges_of_a_stranger(name: str) -> None:
    story = expected(name)
    by_place = lambda each: (each["edge"], each["port"] or 0)  # noqa: E731
    assert sorted(load(STRANGERS / name, story), key=by_place) == sorted(story["edges"], key=by_place)


def test_there_are_at_least_a_dozen() -> None:
    assert len(NAMES) >= 12


SCRAPS = [
    *("${", "$", "<<: *x", "- ", ": ", "&a ", "*a", "!reset null", "\t", "{", "[", "null", "0777", "'", "💥"),
    *("\x00", "99999", "::", "x-gameday: {timers: 3}"),
]


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str]:
    """A stranger and its compose file with some of its text cut, doubled or replaced."""
    name = draw(st.sampled_from(NAMES))
    text = compose.find(STRANGERS / name)[0].read_text()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.sampled_from(["", text[start:end] * 2, *SCRAPS])) + text[end:]
    return name, text


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations())
def test_a_broken_file_is_read_or_explained(tmp_path: Path, mutation: tuple[str, str]) -> None:
    name, text = mutation
    directory = tmp_path / name
    if not directory.exists():
        shutil.copytree(STRANGERS / name, directory)
    compose.find(directory)[0].write_text(text)
    try:
        load(directory, expected(name))
    except InputError as error:
        assert all(render(problem) and problem.mend for problem in error.problems)


STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.floats() | st.text(max_size=6) | st.sampled_from(SCRAPS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def transplants(draw: st.DrawFn) -> tuple[str, Any]:
    """A stranger and its compose file with some of its values replaced by something strange."""
    name = draw(st.sampled_from(NAMES))
    tree = YAML(typ="safe").load(compose.find(STRANGERS / name)[0])
    for _ in range(draw(st.integers(1, 3))):
        node, key = tree, draw(st.sampled_from(sorted(tree)))
        while isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 4)):
            node = node[key]
            key = draw(st.sampled_from(sorted(node, key=str) if isinstance(node, dict) else range(len(node))))
        node[key] = draw(STRANGE)
    return name, tree


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(transplants())
def test_a_strange_value_is_read_or_explained(tmp_path: Path, transplant: tuple[str, Any]) -> None:
    name, tree = transplant
    directory = tmp_path / name
    if not directory.exists():
        shutil.copytree(STRANGERS / name, directory)
    with compose.find(directory)[0].open("w") as file:
        # JSON is YAML, and carries every value that the other kinds of dumper refuse.
        json.dump(tree, file)
    try:
        load(directory, expected(name))
    except InputError as error:
        assert all(render(problem) and problem.mend for problem in error.problems)
