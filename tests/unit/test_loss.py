"""What was acknowledged is found once after the undo, or it is told what was lost or doubled."""

from __future__ import annotations

from typing import Any

import histories as h
import pytest

from gameday.checks import loss
from gameday.checks.view import View
from gameday.durations import TimeScale
from gameday.expectations import Loss
from gameday.verdict import Verdict

BUY = "POST /purchases"
LOSS = Loss.model_validate(
    {"route": BUY, "service": "mail-sink", "path": "/received", "found": "correlationId", "within": "<= 5s"}
)
CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE
# One a second, from the control window on to the end of the recovery.
WALLS = [h.CONTROL + number for number in range(int(h.END - h.CONTROL))]
WANTED = {f"c{wall:.0f}": 1 for wall in WALLS if wall <= h.UNDONE}


def bought(**changes: Any) -> list[h.Entry]:
    """What was bought, under names like `c1012`."""
    said = {wall: {"status": 201, "headers": {"x-correlation-id": f"c{wall:.0f}"}} for wall in WALLS}
    return [h.request(wall, route=BUY, **data | changes) for wall, data in said.items()]


def look(wall: float, counts: dict[str, int] | None = WANTED, error: str | None = None) -> h.Entry:
    where = {"route": BUY, "service": "mail-sink", "path": "/received"}
    return "look", {**where, "wall": wall, "counts": counts, "error": error}


def run(*more: h.Entry) -> list[h.Entry]:
    return [*h.good(), *bought(), *more]


SOME = {name: 1 for name in WANTED if name != "c1012"}


@pytest.mark.parametrize(
    ("entries", "verdict", "words"),
    [
        (run(look(h.UNDONE + 2)), CONFIRMED, "23 acknowledged: 0 lost, 0 doubled, all found after 2s"),
        # What others put there is nobody's loss, and what is acknowledged after the undo may still be on its way.
        (run(look(h.UNDONE + 2, {**WANTED, "else": 1, "c1030": 1})), CONFIRMED, "23 acknowledged: 0 lost"),
        (run(look(h.UNDONE + 1, SOME), look(h.UNDONE + 2)), CONFIRMED, "all found after 2s"),
        (run(look(h.UNDONE + 1, error="refused", counts=None), look(h.UNDONE + 2)), CONFIRMED, "0 lost"),
        (run(look(h.UNDONE + 2, SOME)), REFUTED, "lost: c1012"),
        (run(look(h.UNDONE + 2, {})), REFUTED, "lost: c1000, c1001, c1002 and 20 more"),
        (run(look(h.UNDONE + 2), look(h.UNDONE + 3, {**WANTED, "c1012": 2})), REFUTED, "doubled: c1012"),
        # What was there and is gone is lost.
        (run(look(h.UNDONE + 2), look(h.UNDONE + 3, SOME)), REFUTED, "lost: c1012"),
        (run(look(h.UNDONE + 5, SOME), look(h.UNDONE + 7)), REFUTED, "it took 7s"),
        (run(), INCONCLUSIVE, "nobody looked"),
        (run(look(h.UNDONE + 2, None, "connection refused")), INCONCLUSIVE, "connection refused"),
        ([*h.good(), *bought(headers={}), look(h.UNDONE + 2)], INCONCLUSIVE, "have no header x-correlation-id"),
        ([*h.good(), *bought(status=503), look(h.UNDONE + 2, {})], INCONCLUSIVE, "nothing was acknowledged"),
        (h.without("request", h.during(h.IN_FORCE, h.END, "intended_wall"))(run()), INCONCLUSIVE, "nothing was"),
        (h.without("window", lambda data: data["window"] == "control")(run(look(1024.0))), INCONCLUSIVE, "is missing"),
        (h.leases(h.lease(undone_wall=None, state="leaked"))(run(look(1024.0))), INCONCLUSIVE, "is missing"),
    ],
)  # fmt: skip
def test_loss(entries: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = loss.check(h.history(entries), LOSS, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said


def test_the_recovery_goes_on_until_all_was_found_twice() -> None:
    assert not loss.spoken(View(h.history(run(look(h.UNDONE + 1)))), LOSS, "recovery")
    assert not loss.spoken(View(h.history(run(look(h.UNDONE + 1), look(h.UNDONE + 2, SOME)))), LOSS, "recovery")
    assert loss.spoken(View(h.history(run(look(h.UNDONE + 1), look(h.UNDONE + 2)))), LOSS, "recovery")
    assert loss.spoken(View(h.history(run())), LOSS, "fault")
    assert not loss.spoken(View(h.history([*h.good(), *bought(status=503)])), LOSS, "fault")
