"""The published JSON Schema, as an editor uses it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from gameday import experiment
from gameday.yamlfile import YamlFile

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(experiment.schema())


@pytest.mark.parametrize("path", experiment.files(ROOT), ids=lambda path: path.stem)
def test_our_experiments_fit(path: Path) -> None:
    VALIDATOR.validate(YamlFile.read(path).data)


def test_misspelt_keys_do_not() -> None:
    data = YamlFile.read(experiment.files(ROOT)[0]).data
    assert not VALIDATOR.is_valid({**data, "rolbacks": []})
    data["extensions"][0]["expect"]["users"][0]["p98"] = "<= 1s"
    assert not VALIDATOR.is_valid(data)
