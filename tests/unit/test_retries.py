"""How many times more requests go over an edge under a fault, for each that users make."""

from __future__ import annotations

import histories as h
import pytest

from gameday.checks import retries
from gameday.checks.view import View
from gameday.durations import TimeScale
from gameday.expectations import Retries
from gameday.verdict import Verdict

RETRIES = Retries.model_validate({"edge": h.EDGE, "route": h.ROUTE, "amplification": "<= 1.5"})
CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def wire(before: float = 1.0, during: float = 1.0, edge: str = h.EDGE) -> list[h.Entry]:
    """Samples, one a second, of an edge with so many requests for each of the forty that users make in it."""
    found: list[h.Entry] = []
    count = 1000.0
    for second in range(int(h.END - h.CONTROL) + 1):
        wall = h.CONTROL + second
        found.append(("wire", {"edge": edge, "wall": wall, "requests": round(count)}))
        count += 40 * (during if h.IN_FORCE <= wall < h.RELEASE else before)
    return found


def run(*more: h.Entry) -> list[h.Entry]:
    return [*h.good(), *more]


FEW_BEFORE = h.without("request", h.during(h.CONTROL, 1009.6))
FEW_DURING = h.without("request", h.during(h.IN_FORCE, h.RELEASE - 0.4))
HALF = h.without("request", lambda data: h.during(h.IN_FORCE, h.RELEASE)(data) and data["intended_wall"] * 40 % 2 == 1)
SAMPLED_LATE = h.without("wire", h.during(h.IN_FORCE, h.RELEASE, "wall"))


@pytest.mark.parametrize(
    ("entries", "verdict", "words"),
    [
        (run(*wire()), CONFIRMED, "amplification of 1.00"),
        (run(*wire(during=1.4)), CONFIRMED, "560 for 401 requests under the fault, 400 for 401 requests without it"),
        (run(*wire(during=1.6)), REFUTED, "amplification of 1.60, allowed is 1.5"),
        # Of what users ask, most is found in a cache; what is not is asked twice.
        (run(*wire(before=0.2, during=0.4)), REFUTED, "amplification of 2.00"),
        (run(*wire(during=0.05)), CONFIRMED, "amplification of 0.05"),
        # Half as many ask, and as much goes over the edge.
        (HALF(run(*wire())), REFUTED, "400 for 201 requests under the fault"),
        # All of it is spared, as behind a breaker.
        (run(*wire(during=0)), CONFIRMED, "amplification of 0.00"),
        (run(), INCONCLUSIVE, "nobody counted"),
        (run(*wire(edge="api-gateway->search-svc")), INCONCLUSIVE, "nobody counted"),
        (run(*wire(before=0)), INCONCLUSIVE, "only 0 requests went over the edge without the fault"),
        (FEW_BEFORE(run(*wire())), INCONCLUSIVE, "only 17 requests of users before and 401 during"),
        (FEW_DURING(run(*wire())), INCONCLUSIVE, "before and 17 during the fault"),
        (SAMPLED_LATE(run(*wire(during=9))), INCONCLUSIVE, "before and 1 during the fault"),
        (run(*wire(), ("wire", {"edge": h.EDGE, "wall": h.END + 1, "requests": 3})), INCONCLUSIVE, "began anew"),
        (h.leases()(run(*wire())), INCONCLUSIVE, "before and 0 during the fault"),
        (h.without("window")(run(*wire())), INCONCLUSIVE, "only 0 requests of users before"),
    ],
)
def test_retries(entries: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = retries.check(h.history(entries), RETRIES, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said


def test_a_window_goes_on_until_there_is_a_quotient() -> None:
    whole = View(h.history(run(*wire())))
    assert all(retries.spoken(whole, RETRIES, window) for window in ("control", "fault", "recovery"))
    assert not retries.spoken(View(h.history(run(*wire(before=0)))), RETRIES, "control")
    assert retries.spoken(View(h.history(run(*wire(during=0)))), RETRIES, "fault")
    assert not retries.spoken(View(h.history(FEW_DURING(run(*wire())))), RETRIES, "fault")
    assert not retries.spoken(View(h.history(run())), RETRIES, "control")


@pytest.mark.parametrize("amplification", ["1.5", "< 1.5", "<= 0", "<= 1.5s", "<= much", 1.5])
def test_an_amplification_is_an_upper_limit(amplification: object) -> None:
    with pytest.raises(ValueError, match=r"factor|no text"):
        Retries.model_validate({"edge": h.EDGE, "route": h.ROUTE, "amplification": amplification})
