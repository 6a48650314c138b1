"""Each target of a service that runs is scraped, or it is told which is not."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.alerts import targets
from gameday.verdict import Finding, Verdict


def target(job: str, health: str, error: str = "") -> dict[str, Any]:
    return {"labels": {"job": job, "instance": f"{job}:80"}, "health": health, "lastError": error}


def checked(*given: dict[str, Any]) -> list[Finding]:
    return list(targets.check(given, ("worker",)))


@pytest.mark.parametrize(
    ("health", "verdict"),
    [("up", Verdict.CONFIRMED), ("down", Verdict.REFUTED), ("unknown", Verdict.INCONCLUSIVE)],
)
def test_a_target_is_named_with_what_was_wrong_with_it(health: str, verdict: Verdict) -> None:
    web, api = checked(target("web", "up"), target("api", health, "connection refused"))
    assert web.verdict is Verdict.CONFIRMED
    assert (api.verdict, api.subject, api.detail) == (verdict, "api api:80", "connection refused")


def test_a_service_that_was_not_started_is_no_target_and_a_prober_is_one() -> None:
    (prober,) = checked(target("worker", "down"), target("blackbox", "down"))
    assert (prober.subject, prober.verdict) == ("blackbox blackbox:80", Verdict.REFUTED)


def test_no_target_at_all_is_no_pass() -> None:
    (finding,) = checked(target("worker", "up"))
    assert finding.verdict is Verdict.INCONCLUSIVE
