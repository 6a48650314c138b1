"""What stock docker-compose makes of a file is what the catalogue says of it.

Compose v1 needs no engine for `config`. It does not know the newest keys, so that
files which use them are left to the unit tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gameday.catalogue import Catalogue, compose
from gameday.catalogue.model import Service

ROOT = Path(__file__).parents[2]
STRANGERS = ROOT / "tests" / "unit" / "strangers"
PROGRAM = shutil.which("docker-compose")
OLD_ENOUGH = ["airflow", "elastic", "eshop", "laravel", "monitoring", "shop"]

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="docker-compose v1 is not installed")


def docker(files: list[Path], directory: Path, environment: dict[str, str]) -> dict[str, Any]:
    arguments = [argument for file in files for argument in ("-f", str(file))]
    done = subprocess.run(
        [str(PROGRAM), *arguments, "config"],
        cwd=directory,
        env=environment | {"PATH": os.environ["PATH"], "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return YAML(typ="safe").load(done.stdout)["services"]


def load(files: list[Path], environment: dict[str, str]) -> Catalogue:
    catalogue = compose.load(files, environment=environment, profiles=["*"])
    for service in catalogue.services.values():
        # Compose v1 wants the build contexts to be there.
        if service.build:
            service.build.mkdir(parents=True, exist_ok=True)
    return catalogue


def same(theirs: dict[str, Any], ours: Service) -> None:
    given = {key: value for key, value in (theirs.get("environment") or {}).items() if value is not None}
    # Its output escapes `$` again.
    assert {key: str(value).replace("$$", "$") for key, value in given.items()} == ours.environment
    assert list(theirs.get("depends_on", {})) == sorted(ours.depends_on)
    binds = {volume.split(":")[0] for volume in theirs.get("volumes", []) if volume.startswith("/") and ":" in volume}
    assert binds == {volume.source for volume in ours.volumes if volume.kind == "bind"}


@pytest.mark.parametrize("name", OLD_ENOUGH)
def test_a_stranger(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    shutil.copytree(STRANGERS / name, directory)
    story = YAML(typ="safe").load(directory / "expected.yaml")
    files = [directory / each for each in story.get("files", ())] or compose.find(directory)
    environment = story.get("environment", {})
    catalogue = load(files, environment)
    for service, theirs in docker(files, directory, environment).items():
        same(theirs, catalogue.services[service])


def test_our_own_file() -> None:
    catalogue = load([ROOT / "docker-compose.yml"], {})
    found = docker([ROOT / "docker-compose.yml"], ROOT, {})
    assert found.keys() == catalogue.services.keys()
    timers = {name: f"{timer.value:g}" for name, timer in catalogue.timers.items()}
    for name, theirs in found.items():
        same(theirs, catalogue.services[name])
        # The defaults in the file and the timers of x-gameday say the same.
        for key, value in theirs.get("environment", {}).items():
            assert timers.get(key, value) == value
