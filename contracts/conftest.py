"""Consumer tests write pacts beside the committed ones and compare; `pytest contracts --write-pacts` replaces them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before pact's native library is loaded: it calls home otherwise.
os.environ["PACT_DO_NOT_TRACK"] = "true"

from pact import Pact

from system.content.parts import Parts
from system.content.settings import ContentSettings
from system.kit.breaker import Unguarded
from system.kit.client import Edge

COMMITTED = Path(__file__).parent / "pacts"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pacts", action="store_true", help="replace the committed pacts by those of this run")


@pytest.fixture(scope="session")
def pacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run writes its pacts."""
    if not request.config.getoption("--write-pacts"):
        return tmp_path_factory.mktemp("pacts")
    COMMITTED.mkdir(exist_ok=True)
    modules = {item.module for item in request.session.items if isinstance(item, pytest.Function)}
    # What is written is merged into what is there. Of some tests, only the pacts of their pairs are written anew.
    whole = any(module.__name__ == "test_written_pacts" for module in modules)
    pairs = {(getattr(module, "CONSUMER", ""), getattr(module, "PROVIDER", "")) for module in modules}
    for old in COMMITTED.glob("*.json"):
        if whole or old.stem in {"-".join(pair) for pair in pairs}:
            old.unlink()
    return COMMITTED


class Agreed(Pact):
    """Each interaction names the test that it comes from: whoever breaks it wants to read that."""

    test = ""

    def upon_receiving(self, description: str, interaction: Any = "HTTP") -> Any:
        return super().upon_receiving(description, interaction).test_name(self.test)


@pytest.fixture
def agree(request: pytest.FixtureRequest, pacts: Path) -> Iterator[Callable[[str, str], Pact]]:
    """A pact of a consumer and a provider; written once its test has passed."""
    made: list[Pact] = []

    def agreed(consumer: str, provider: str) -> Pact:
        made.append(Agreed(consumer, provider).with_specification("V4"))
        made[-1].test = request.node.nodeid.partition("[")[0]
        return made[-1]

    yield agreed
    for each in made:
        each.write_file(pacts)


@pytest.fixture
def pact(request: pytest.FixtureRequest, agree: Callable[[str, str], Pact]) -> Pact:
    """Of the test's module, which names its `CONSUMER` and `PROVIDER`."""
    return agree(request.module.CONSUMER, request.module.PROVIDER)


@pytest.fixture
async def edge_to(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[str], Edge]]:
    """The module's edge, led to a URL."""
    edges: list[Edge] = []
    name = f"{request.module.CONSUMER}->{request.module.PROVIDER}"

    def connect(url: str) -> Edge:
        edges.append(Edge(name, url, Unguarded("pact"), ai=True, falls_back=True))
        return edges[-1]

    yield connect
    for edge in edges:
        await edge.__aexit__()


@pytest.fixture
async def parts() -> AsyncIterator[Callable[..., Parts]]:
    """content-svc's ways to its providers; those that are not named lead nowhere."""
    made: list[Parts] = []

    def make(**urls: str) -> Parts:
        nowhere = dict.fromkeys(("user_url", "chat_url", "moderation_url", "search_url"), "http://127.0.0.1:1")
        made.append(Parts(ContentSettings(port=0, database_url="", breaker_enabled=False, **(nowhere | urls))))
        return made[-1]

    yield make
    for each in made:
        for edge in each.edges:
            await edge.__aexit__()
