"""Every service answers as its OpenAPI document says, whatever it is asked, and never with a server error."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from program import ROOT, Gameday
from schemathesis import APIOperation, Case, checks, openapi
from schemathesis.generation import GenerationMode

from gameday.catalogue.compose import load

pytestmark = pytest.mark.alone

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
# What breaks the document must be refused, and the refusal be one that the document knows.
REFUSAL = [*CHECKS, checks.negative_data_rejection]
MODES = {GenerationMode.POSITIVE: (15, CHECKS), GenerationMode.NEGATIVE: (8, REFUSAL)}
SERVICES = load([ROOT / "docker-compose.yml"], environment={}).services
BUILT = sorted(name for name, each in SERVICES.items() if each.build)
# What it takes stands in its provider's document, not in its own; the provider's SDK has tests of its own.
FOREIGN = {"llm-emulator"}


def asked(url: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def token(running: Gameday) -> str:
    who = {"email": "openapi@example.org", "password": "nobody guesses this"}
    gateway = f"http://127.0.0.1:{running.port}/api/users"
    asked(gateway, {**who, "name": "Schema"})
    return str(asked(f"{gateway}/login", who)["access_token"])


@pytest.mark.parametrize("service", BUILT)
def test_it_answers_as_its_document_says(wired: Gameday, token: str, service: str) -> None:
    url = wired.services()[service]["url"]
    document = asked(f"{url}/openapi.json")
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=url, timeout=20) as client:
        for result in openapi.from_dict(document).get_all_operations():
            operation = result.ok()
            conforms(operation, GenerationMode.POSITIVE, client, token, statuses)
            # Any text is a path, and what takes nothing cannot be given too much.
            with suppress(*([] if operation.body else [Unsatisfiable])):
                conforms(operation, GenerationMode.NEGATIVE, client, token, statuses)
    assert any(status < 300 for status in statuses) or service in FOREIGN, statuses
    assert statuses


def conforms(
    operation: APIOperation, mode: GenerationMode, client: httpx.Client, token: str, statuses: Counter[int]
) -> None:
    examples, wanted = MODES[mode]

    @generated(examples)
    @given(operation.as_strategy(mode))
    def one(case: Case) -> None:
        headers = {"authorization": f"Bearer {token}"}
        told = case.as_transport_kwargs(base_url=str(client.base_url), headers=headers)
        if told.pop("cookies", None):
            raise NotImplementedError("no service here takes cookies")
        if "data" in told:
            told["content"] = told.pop("data")
        answer = client.request(**told)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=wanted)

    one()


def generated(examples: int) -> settings:
    """Requests are generated from a seed, so that a finding is found again."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
