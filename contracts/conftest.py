"""Consumer tests write pacts beside the committed ones and compare; `pytest contracts --write-pacts` replaces them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before pact's native library is loaded: it calls home otherwise.
os.environ["PACT_DO_NOT_TRACK"] = "true"

from pact import Pact

COMMITTED = Path(__file__).parent / "pacts"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pacts", action="store_true", help="replace the committed pacts by those of this run")


@pytest.fixture(scope="session")
def pacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run writes its pacts."""
    if not request.config.getoption("--write-pacts"):
        return tmp_path_factory.mktemp("pacts")
    for old in COMMITTED.glob("*.json"):
        old.unlink()
    COMMITTED.mkdir(exist_ok=True)
    return COMMITTED


@pytest.fixture
def pact(request: pytest.FixtureRequest, pacts: Path) -> Iterator[Pact]:
    """A pact of the test's module, which names its `CONSUMER` and `PROVIDER`; written once its test has passed."""
    made = Pact(request.module.CONSUMER, request.module.PROVIDER).with_specification("V4")
    yield made
    made.write_file(pacts)
