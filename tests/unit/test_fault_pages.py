"""The pages of the faults say what the code does: their examples are valid, their tables complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gameday import activities, durations
from gameday.catalogue import Catalogue, compose
from gameday.faults import registry

ROOT = Path(__file__).parents[2]


def page(fault: str) -> str:
    return (ROOT / "docs" / "faults" / f"{fault}.md").read_text()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


@pytest.mark.parametrize("fault", registry.FAULTS)
def test_the_example_breaks_the_reference_system(fault: str, catalogue: Catalogue) -> None:
    source = re.search(r"```yaml\n(.*?)```", page(fault), re.DOTALL)
    assert source
    (activity,) = YAML(typ="safe").load(source[1])
    provider = activity["provider"]
    assert (provider["module"], provider["func"]) == (activities.__name__, activities.inject.__name__)
    given = provider["arguments"]
    assert given["fault"] == fault
    assert durations.seconds(given["lease"]) > 0
    assert not registry.problems(fault, given["target"], given.get("arguments", {}), catalogue)


@pytest.mark.parametrize("fault", registry.FAULTS)
def test_the_table_names_every_argument_with_its_default(fault: str) -> None:
    takes = registry.FAULTS[fault]("a->b", {}).takes
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:[\w/]+ )?\| ([^|]+?) \|", page(fault), re.MULTILINE))
    assert set(rows) == set(takes.model_fields)
    for name, described in rows.items():
        field = takes.model_fields[name]
        expected = "required" if field.is_required() else f"{field.default}"
        assert described.strip("`").startswith(expected), name
    assert rows or "| arguments | none |" in page(fault)
