"""Routes that a fault is not about go on answering, or it is told which did not."""

from __future__ import annotations

from typing import Any

import histories as h
import pytest

from gameday.checks import cascade
from gameday.checks.view import View
from gameday.durations import TimeScale
from gameday.expectations import Cascade
from gameday.verdict import Verdict

SEARCH, PROFILE = "GET /api/search", "GET /api/users/me"
OTHERS = Cascade.model_validate({"except": [h.ROUTE]})
CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE
WALLS = [h.CONTROL + number / 2 for number in range(int(h.END - h.CONTROL) * 2)]


def run(*spoilt: float, start: float = 0.0, route: str = SEARCH, **spoil: Any) -> list[h.Entry]:
    """Both other routes are asked twice a second, of `route` not before `start`; its requests at `spoilt` went ill."""
    asked = [(each, wall) for each in (SEARCH, PROFILE) for wall in WALLS if each != route or wall >= start]
    entries = [
        h.request(wall, route=each, **(spoil if each == route and wall in spoilt else {})) for each, wall in asked
    ]
    (_, told), *rest = h.good()
    return [("run", {**told, "load_routes": [h.ROUTE, SEARCH, PROFILE]}), *rest, *entries]


NONE = {"status": None, "error": "timed out"}
ONLY_SEARCH = h.without("request", lambda data: data["route"] == PROFILE)
LOST = h.change("request", lambda data: data["route"] == SEARCH and data["intended_wall"] > 1015, oldest_wall=1015.0)
SELDOM = h.without("request", lambda data: data["route"] == PROFILE and 1013 <= data["intended_wall"] < 1019.5)
SELDOM_BEFORE = h.without("request", lambda data: data["route"] == PROFILE and data["intended_wall"] < 1009)


@pytest.mark.parametrize(
    ("entries", "verdict", "words"),
    [
        (run(), CONFIRMED, "0 of 42 bad, of 2 routes"),
        (run(1015.0, status=503), REFUTED, "GET /api/search: 1 of 21 bad, such as status 503"),
        (run(1015.0, **NONE), REFUTED, "such as timed out"),
        # What the fault is about is judged by others; what users did wrong is none of its doing.
        (h.change("request", lambda data: data["route"] == h.ROUTE, status=500)(run()), CONFIRMED, "0 of 42"),
        (run(1015.0, status=429), CONFIRMED, "0 of 42"),
        (run(1005.0, 1030.0, status=503), CONFIRMED, "0 of 42"),
        (SELDOM(run()), INCONCLUSIVE, "only 8 requests to GET /api/users/me, 10 are needed"),
        (SELDOM(run(1015.0, status=503)), REFUTED, "GET /api/search: 1 of 21"),
        (SELDOM_BEFORE(run()), INCONCLUSIVE, "without a fault: only"),
        # Named in the profile and never asked.
        (ONLY_SEARCH(run()), INCONCLUSIVE, "only 0 requests to GET /api/users/me"),
        (h.good(), INCONCLUSIVE, "no other route"),
        (LOST(run()), INCONCLUSIVE, "not all that was asked of GET /api/search has ended"),
        (h.leases()(run()), INCONCLUSIVE, "never in force"),
    ],
)
def test_all_but_some_routes(entries: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = cascade.check(h.history(entries), OTHERS, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said


@pytest.mark.parametrize(("n", "verdict"), [(1, CONFIRMED), (3, REFUTED)])
def test_a_share_may_fail_of_each_named_route(n: int, verdict: Verdict) -> None:
    named = Cascade.model_validate({"routes": [SEARCH], "bad": "<= 1 of 10"})
    spoilt = [1012.0 + number for number in range(n)]
    finding = cascade.check(h.history(run(*spoilt, status=502)), named, TimeScale(30))
    assert (finding.subject, finding.verdict, finding.n) == (SEARCH, verdict, 21)


def test_a_window_goes_on_until_each_route_was_asked_often_enough() -> None:
    assert all(cascade.spoken(View(h.history(run())), OTHERS, window) for window in ("control", "fault", "recovery"))
    assert not cascade.spoken(View(h.history(SELDOM(run()))), OTHERS, "fault")
    assert not cascade.spoken(View(h.history(SELDOM_BEFORE(run()))), OTHERS, "control")


@pytest.mark.parametrize("given", [{}, {"routes": [SEARCH], "except": [h.ROUTE]}])
def test_either_the_routes_or_those_left_out_are_named(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either"):
        Cascade.model_validate(given)
