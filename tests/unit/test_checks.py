"""Each checker on hand-made histories: the run that went well, and each way to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import histories as h
import pytest

from gameday.checks import alerts, breaker, control, evidence, queues, toolkit, users
from gameday.checks import load as load_check
from gameday.checks.view import Span, View, gap
from gameday.durations import TimeScale
from gameday.expectations import Alert, Breaker, Expect, Queue, Threshold, Users
from gameday.verdict import Finding, Verdict

CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE
NOT_INJECTED, LEAKED = Verdict.NOT_INJECTED, Verdict.LEAKED
Spoil = Callable[[list[h.Entry]], list[h.Entry]]

SCALE = TimeScale(30)
EXPECT = Expect.model_validate(h.EXPECT)
NO_ANSWER = {"status": None, "json": None, "error": "ConnectionRefusedError()"}
EMPTY = {"json": {"recommendations.source": "fallback", "recommendations.items": []}}
IN_FAULT = h.during(h.IN_FORCE, h.RELEASE)


def nothing(entries: list[h.Entry]) -> list[h.Entry]:
    return entries


def told(finding: Finding) -> str:
    return f"{finding.observed} / {finding.detail}"


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (nothing, CONFIRMED, "0 of 401 bad"),
        (h.change("request", h.during(1015, 1015.025), status=500), CONFIRMED, "1 of 401 bad"),
        (h.change("request", h.during(1015, 1015.05), status=500), REFUTED, "2 of 401"),
        (h.change("request", h.during(1015, 1016), **NO_ANSWER), REFUTED, "ConnectionRefusedError"),
        (h.change("request", IN_FAULT, **EMPTY), REFUTED, "recommendations.items = []"),
        (h.change("request", IN_FAULT, json=None), REFUTED, "recommendations.source is missing"),
        (h.change("request", IN_FAULT, json={}), REFUTED, "is missing"),
        (h.change("request", h.during(1015, 1015.2), ms=900.0), REFUTED, "p99 was 900ms"),
        (h.change("request", h.during(1015, 1015.2), ms=900.0, lag_ms=850.0), INCONCLUSIVE, "too busy"),
        # Requests of another window do not count.
        (h.change("request", h.during(h.RELEASE + 0.01, h.UNDONE), status=500), CONFIRMED, "0 of 401 bad"),
        (h.without("request", h.during(1013, 1020)), INCONCLUSIVE, "only"),
        (h.without("request", h.during(h.CONTROL, 1009.5)), INCONCLUSIVE, "control window"),
        (h.change("request", h.during(1005, 1005.025), status=502), INCONCLUSIVE, "without a fault: 1 of"),
        (
            h.change("request", h.during(1005, 1005.025), json=h.request(1015)[1]["json"]),
            INCONCLUSIVE,
            "vacuous",
        ),
        # The route must look as before within 60s / 30 + 0.5s.
        (h.change("request", h.during(h.UNDONE + 3, h.UNDONE + 4), **NO_ANSWER), REFUTED, "after the undo"),
        (
            h.change("request", h.during(h.UNDONE + 3, h.UNDONE + 4), json=h.request(1015)[1]["json"]),
            REFUTED,
            "fallback",
        ),
        (
            h.change("request", h.during(1030, 1031), json={"recommendations.source": "stale"}),
            REFUTED,
            "stale",
        ),
        (h.change("request", h.during(h.UNDONE + 3, h.UNDONE + 4), status=503), REFUTED, "status 503"),
        (h.without("request", h.during(h.UNDONE, h.END)), INCONCLUSIVE, "only 0 requests showed"),
        (h.leases(h.lease(undone_wall=None)), INCONCLUSIVE, "never undone"),
        (h.leases(), INCONCLUSIVE, "only 0 requests met the fault"),
    ],
)
def test_users(spoil: Spoil, verdict: Verdict, words: str) -> None:
    finding = users.check(h.history(spoil(h.good())), EXPECT.users[0], SCALE)
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)


SIGN_IN = Users.model_validate({"route": h.ROUTE, "status": 503, "before": 201, "bad": "<= 1 of 300"})
# The request at the very end of the window still belongs to it.
UNTIL_RELEASE = h.during(h.IN_FORCE, h.RELEASE + 0.001)
REFUSED = h.change("request", UNTIL_RELEASE, status=503)
SIGNED_IN = h.change("request", lambda request: not UNTIL_RELEASE(request), status=201)


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (nothing, CONFIRMED, "0 of 401 bad"),
        (h.change("request", h.during(1015, 1015.05), status=500), REFUTED, "2 of 401"),
        (h.change("request", h.during(1015, 1015.05), status=201), REFUTED, "2 of 401"),
        (h.change("request", h.during(1005, 1005.05), status=503), INCONCLUSIVE, "without a fault: 2 of"),
        (h.change("request", h.during(h.UNDONE + 3, h.UNDONE + 4), status=503), REFUTED, "status 503"),
    ],
)
def test_a_clean_error_in_place_of_an_answer(spoil: Spoil, verdict: Verdict, words: str) -> None:
    expectation = SIGN_IN.model_copy(update={"recovers": EXPECT.users[0].recovers})
    finding = users.check(h.history(spoil(SIGNED_IN(REFUSED(h.good())))), expectation, SCALE)
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)
    assert finding.expected.startswith("status 503 where it was 201")


def test_a_share_is_told_with_its_interval() -> None:
    finding = users.check(h.history(h.good()), EXPECT.users[0], SCALE)
    assert finding.n == 401
    assert finding.interval is not None
    assert finding.interval[0] == 0.0
    assert finding.interval[1] == pytest.approx(0.0095, abs=0.0005)


def test_p99_of_too_few_requests_is_no_p99() -> None:
    few = Users.model_validate({**h.EXPECT["users"][0], "bad": "<= 1 of 40"})
    finding = users.check(h.history(h.without("request", h.during(1013, h.RELEASE))(h.good())), few, SCALE)
    assert finding.verdict is INCONCLUSIVE
    assert "99th percentile needs 100" in finding.detail


def test_a_literal_is_not_confused_with_its_likeness() -> None:
    """In Python 1 == True."""
    wanted = Users.model_validate({"route": h.ROUTE, "status": 200, "json": {"x": True}, "bad": "<= 1 of 300"})
    finding = users.check(h.history(h.change("request", IN_FAULT, json={"x": 1})(h.good())), wanted, SCALE)
    assert finding.verdict is REFUTED


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (nothing, CONFIRMED, "open after 1s, closed after 2s"),
        (h.without("sample"), INCONCLUSIVE, "no samples"),
        (h.change("sample", h.during(1016, 1017, "wall"), value="NaN"), INCONCLUSIVE, "NaN"),
        (h.without("sample", h.during(1014, 1017, "wall")), INCONCLUSIVE, "no sample for 4s"),
        (h.without("sample", h.during(1014, 1015, "wall")), CONFIRMED, "open after"),
        (h.change("sample", h.during(1003, 1004, "wall"), value=2), INCONCLUSIVE, "not closed in the control"),
        (h.change("sample", value=0), REFUTED, "did not open"),
        (h.change("sample", h.during(1012, 1013, "wall"), value=0), REFUTED, "2s to open"),
        (h.change("sample", h.during(1024, 1040, "wall"), value=2), REFUTED, "did not close"),
        (h.change("sample", h.during(1024, 1025, "wall"), value=1), REFUTED, "3s to close"),
        # Closed, and open again: only the last closing counts.
        (h.change("sample", h.during(1030, 1031, "wall"), value=2), REFUTED, "to close"),
        (h.leases(), INCONCLUSIVE, "window is missing"),
    ],
)
def test_breaker(spoil: Spoil, verdict: Verdict, words: str) -> None:
    finding = breaker.check(h.history(spoil(h.good())), EXPECT.breaker[0], SCALE)
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)


def test_a_breaker_of_another_edge_says_nothing() -> None:
    other = Breaker.model_validate({**h.EXPECT["breaker"][0], "edge": "a->b"})
    assert breaker.check(h.history(h.good()), other, SCALE).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (nothing, CONFIRMED, "fired 4s after the fault, resolved 8s after the undo"),
        (h.without("alert"), REFUTED, "the delivery is what failed"),
        (lambda entries: h.without("alert")(h.without("alert_state")(entries)), REFUTED, "silent"),
        (h.without("alert", lambda data: data["status"] == "resolved"), REFUTED, "no notification that it did resolve"),
        (h.change("alert", lambda data: data["status"] == "firing", received_wall=1019.0), REFUTED, "8s to fire"),
        (h.change("alert", lambda data: data["status"] == "firing", started_wall=900.0), REFUTED, "did fire"),
        (h.change("alert", lambda data: data["status"] == "firing", started_wall=h.INJECT - 0.1), REFUTED, "did fire"),
        # The fault was felt, and even told, before it was seen to be in force.
        (
            h.change(
                "alert",
                lambda data: data["status"] == "firing",
                started_wall=h.INJECT + 0.1,
                received_wall=h.INJECT + 0.5,
            ),
            CONFIRMED,
            "fired 0ms",
        ),
        (h.change("alert", lambda data: data["status"] == "resolved", received_wall=1033.9), REFUTED, "to resolve"),
        (h.add(h.firing(1003.0)), INCONCLUSIVE, "in the control window: RecommendationUnavailable was firing"),
        (h.add(h.alert("firing", 1003.0)), INCONCLUSIVE, "RecommendationUnavailable was delivered"),
        # Of several faults its own may be undone first; what ended under the fault was never undone.
        (
            h.change("alert", lambda data: data["status"] == "resolved", received_wall=h.RELEASE + 0.5),
            CONFIRMED,
            "resolved 0ms after the undo",
        ),
        (h.change("alert", lambda data: data["status"] == "resolved", received_wall=h.RELEASE - 1), REFUTED, "resolve"),
        # An alert of an earlier fault may still be resolved while this control window lasts.
        (h.add(h.alert("resolved", 1001.0, started=990.0)), CONFIRMED, "fired 4s"),
        (h.add(h.alert("firing", 1033.0)), REFUTED, "not resolved"),
        (h.without("scrape", h.during(1016, 1019, "wall")), INCONCLUSIVE, "scraped nothing for 4s"),
        (h.without("scrape"), INCONCLUSIVE, "scraped nothing"),
        (h.leases(), INCONCLUSIVE, "window is missing"),
    ],
)
def test_alert_that_fires(spoil: Spoil, verdict: Verdict, words: str) -> None:
    finding = alerts.check(h.history(spoil(h.good())), EXPECT.alerts[0], SCALE)
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)


@pytest.mark.parametrize(("waits", "verdict"), [("0s", REFUTED), ("4s", CONFIRMED)])
def test_what_requests_wait_for_their_timeout_is_allowed_in_real_time(waits: str, verdict: Verdict) -> None:
    """On the way into the fault only."""
    late = h.history(h.change("alert", lambda data: data["status"] == "firing", received_wall=1019.0)(h.good()))
    expected = Alert.model_validate({**h.EXPECT["alerts"][0], "waits": waits})
    assert alerts.check(late, expected, SCALE).verdict is verdict
    late = h.history(h.change("sample", h.during(1012, 1013, "wall"), value=0)(h.good()))
    edge = Breaker.model_validate({**h.EXPECT["breaker"][0], "waits": waits})
    assert breaker.check(late, edge, SCALE).verdict is verdict
    late = h.history(h.change("sample", h.during(1024, 1025, "wall"), value=1)(h.good()))
    assert breaker.check(late, edge, SCALE).verdict is REFUTED


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        (nothing, CONFIRMED),
        (h.add(h.firing(1016.0, "HomepageUnavailable")), REFUTED),
        (h.add(h.alert("firing", 1016.0, "HomepageUnavailable")), REFUTED),
        (h.add(h.firing(1028.0, "HomepageUnavailable")), REFUTED),
        # Nobody can say that an alert was silent while nobody looked.
        (h.without("scrape", h.during(1020, 1024, "wall")), INCONCLUSIVE),
        (h.without("scrape", h.during(1030, 1040, "wall")), INCONCLUSIVE),
    ],
)
def test_silent_alert(spoil: Spoil, verdict: Verdict) -> None:
    assert alerts.check(h.history(spoil(h.good())), EXPECT.alerts[1], SCALE).verdict is verdict


@pytest.mark.parametrize(
    ("held", "verdict", "words"),
    [
        ([h.lease()], CONFIRMED, "in force, exercised, undone"),
        ([], NOT_INJECTED, "injected nothing"),
        (
            [h.lease(state="not-injected", in_force_wall=None, in_force={"holds": False, "facts": {"alive": 2}})],
            NOT_INJECTED,
            "not in force: alive 2",
        ),
        ([h.lease(in_force={"holds": False, "facts": {"lost_before_undo": {}}})], NOT_INJECTED, "lost_before_undo"),
        ([h.lease(exercised={"holds": False, "facts": {"met": 0}})], NOT_INJECTED, "nothing met the fault: met 0"),
        (
            [h.lease(state="leaked", undone={"holds": False, "facts": {}}, mend="restart it")],
            LEAKED,
            "mend: restart it",
        ),
        (
            [h.lease(state="in-force", undone_wall=None, undone={"holds": False, "facts": {}})],
            LEAKED,
            "gameday recover",
        ),
        ([h.lease(state="intended", undone={"holds": False, "facts": {}}, in_force_wall=None)], LEAKED, "recover"),
        ([h.lease(state="undone", undone={"holds": False, "facts": {}})], LEAKED, "recover"),
        ([h.lease(state="expired", undone_wall=1015.0)], INCONCLUSIVE, "6s before its window"),
        ([h.lease(undone_wall=1015.0)], INCONCLUSIVE, "somebody undid it"),
    ],
)
def test_evidence(held: list[dict[str, Any]], verdict: Verdict, words: str) -> None:
    (finding,) = evidence.check(h.history(h.leases(*held)(h.good())))
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)


def test_the_load_itself_meets_the_fault_of_the_service_that_it_addresses() -> None:
    entry = h.lease(target="api-gateway", exercised={"holds": False, "facts": {}})
    entries = [
        ("lease", {"phase": "undone", "lease": entry}) if kind == "lease" else (kind, data) for kind, data in h.good()
    ]

    def met(load_target: str, status: int | None) -> Verdict:
        changed = [
            (kind, data | {"load_target": load_target})
            if kind == "run"
            else (kind, data | {"status": status, "error": "refused"})
            if kind == "request" and data["intended_wall"] > h.IN_FORCE + 1
            else (kind, data)
            for kind, data in entries
        ]
        (finding,) = evidence.check(h.history(changed))
        return finding.verdict

    assert met("api-gateway", None) is Verdict.CONFIRMED
    assert met("api-gateway", 503) is Verdict.NOT_INJECTED
    assert met("user-svc", None) is Verdict.NOT_INJECTED


def test_no_answer_at_all_is_what_users_of_a_dead_gateway_see() -> None:
    expected = Users.model_validate({"route": h.ROUTE, "status": "none", "before": 200, "bad": "<= 1 of 300"})

    def seen(**changes: Any) -> Finding:
        entries = [
            (kind, data | changes)
            if kind == "request" and h.IN_FORCE <= data["intended_wall"] <= h.UNDONE
            else (kind, data)
            for kind, data in h.good()
        ]
        return users.check(h.history(entries), expected, TimeScale(30))

    assert seen(status=None, error="refused", json=None).verdict is Verdict.CONFIRMED
    assert seen().verdict is Verdict.REFUTED
    assert seen(status=502, json=None).verdict is Verdict.REFUTED
    with pytest.raises(ValueError, match="needs `before`"):
        Users.model_validate({"route": h.ROUTE, "status": "none"})


def test_each_lease_has_evidence_of_its_own() -> None:
    two = h.leases(h.lease(), h.lease(id="pause-1", fault="pause", exercised={"holds": False, "facts": {}}))
    verdicts = [finding.verdict for finding in evidence.check(h.history(two(h.good())))]
    assert verdicts == [CONFIRMED, NOT_INJECTED]


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        (nothing, CONFIRMED),
        (h.change("request", h.during(1005, 1005.025), **NO_ANSWER), INCONCLUSIVE),
        (h.change("request", h.during(1005, 1005.025), status=503), INCONCLUSIVE),
        (h.without("request", h.during(h.CONTROL, 1009.5)), INCONCLUSIVE),
        (h.without("window"), INCONCLUSIVE),
        (h.change("request", IN_FAULT, status=503), CONFIRMED),
    ],
)
def test_control(spoil: Spoil, verdict: Verdict) -> None:
    assert control.check(h.history(spoil(h.good()))).verdict is verdict


FAILED = [{"name": "kill", "type": "action", "status": "failed", "exception": "it is not in force"}]
UNMET = [{"name": "probe", "type": "probe", "status": "succeeded", "tolerance_met": False}]


@pytest.mark.parametrize(
    ("record", "verdict", "words"),
    [
        (h.toolkit(), CONFIRMED, "3 of 3 activities"),
        (h.toolkit(runs=FAILED), INCONCLUSIVE, "it is not in force"),
        (h.toolkit(runs=[*h.toolkit()[1]["runs"], {**FAILED[0], "type": "rollback"}]), INCONCLUSIVE, "rollback 'kill'"),
        (h.toolkit(steady_before=False, status="failed"), INCONCLUSIVE, "before the method"),
        (h.toolkit(steady_after=False, deviated=True), REFUTED, "while the fault was in force"),
        (h.toolkit(deviated=True), REFUTED, "hypothesis"),
        (h.toolkit(runs=UNMET), REFUTED, "out of its tolerance"),
        (h.toolkit(status="interrupted"), INCONCLUSIVE, "interrupted"),
        (h.toolkit(runs=[]), INCONCLUSIVE, "ended as completed"),
        (h.toolkit(steady_before=None, steady_after=None), CONFIRMED, "completed"),
        (("other", {}), INCONCLUSIVE, "no journal"),
    ],
)
def test_toolkit(record: h.Entry, verdict: Verdict, words: str) -> None:
    finding = toolkit.check(h.history([*h.without("toolkit")(h.good()), record]))
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)


@pytest.mark.parametrize(
    ("changes", "threshold", "verdict"),
    [
        ({}, {"bad": "<= 1 of 1000", "p99": "<= 100ms"}, CONFIRMED),
        ({}, {"bad": "<= 1 of 5000"}, INCONCLUSIVE),
        ({"ms": 200.0}, {"p99": "<= 100ms"}, REFUTED),
        ({"status": 503}, {}, REFUTED),
        ({"status": 404}, {"status": 404}, CONFIRMED),
    ],
)
def test_load(changes: dict[str, Any], threshold: dict[str, Any], verdict: Verdict) -> None:
    recorded = h.history(h.change("request", **changes)(h.good()))
    assert load_check.check(recorded, h.ROUTE, Threshold.model_validate(threshold)).verdict is verdict


def test_gap_counts_the_edges_of_a_window() -> None:
    assert gap([1.0, 2.0, 3.0], Span(1, 3), 1.0) is None
    assert gap([1.0, 2.0, 3.0], Span(1, 5.5), 1.0) == 2.5
    assert gap([4.0], Span(1, 5), 1.0) == 3.0
    assert gap([], Span(0, 10), 1.0) == 10.0


def test_windows_wait_until_everybody_spoke() -> None:
    """Cut off at any moment, the growing history says who has spoken, and it never unsays it."""
    view = View(h.history(h.good()))
    spoils = (
        h.without("request", h.during(1014, h.END)),
        h.without("alert"),
        h.without("sample", h.during(1012, 1050, "wall")),
    )
    early = h.good()
    for spoil in spoils:
        early = spoil(early)
    before = View(h.history(early))
    pairs: list[tuple[Any, Any]] = [(users, EXPECT.users[0]), (breaker, EXPECT.breaker[0]), (alerts, EXPECT.alerts[0])]
    for module, expectation in pairs:
        assert module.spoken(view, expectation, "fault"), module
        assert module.spoken(view, expectation, "recovery"), module
        assert not module.spoken(before, expectation, "fault"), module
        assert not module.spoken(before, expectation, "recovery"), module
    assert alerts.spoken(before, Alert(name="x", silent=True), "fault")


@pytest.mark.parametrize(("bad", "enough"), [("<= 1 of 300", 30), ("<= 1 of 12", 12), ("<= 1 of 5", 10)])
def test_a_control_window_lasts_until_the_judge_has_enough_of_it(bad: str, enough: int) -> None:
    expectation = Users.model_validate({**h.EXPECT["users"][0], "bad": bad, "p99": None})

    def run(requests: int, after: int) -> list[h.Entry]:
        entries = h.without("request")(h.good())
        entries += [h.request(h.CONTROL + number / 10) for number in range(requests)]
        entries += [h.request(h.IN_FORCE + number / 40) for number in range(400)]
        return [*entries, *(h.request(h.UNDONE + 2 + number / 10) for number in range(after))]

    def judged(requests: int, after: int) -> tuple[bool, bool, Verdict]:
        history = h.history(run(requests, after))
        windows = [users.spoken(View(history), expectation, window) for window in ("control", "recovery")]
        return windows[0], windows[1], users.check(history, expectation, SCALE).verdict

    assert judged(enough, enough) == (True, True, CONFIRMED)
    assert judged(enough - 1, enough) == (False, True, INCONCLUSIVE)
    assert judged(enough, enough - 1) == (True, False, INCONCLUSIVE)


def test_any_request_that_failed_is_unrest() -> None:
    """Of a route that the experiment does not ask for, too: the judge would not take it."""
    entries = [*h.good(), h.request(h.CONTROL + 1, route="GET /other", status=503)]
    view = View(h.history(entries))
    assert "GET /other: status 503" in control.unrest(view, Span(h.CONTROL, h.INJECT))
    assert control.unrest(view, Span(h.CONTROL + 2, h.INJECT)) == ""


def test_what_is_not_at_rest_without_a_fault_is_named() -> None:
    """The control window begins anew on it, so it must see what the judge would not take."""
    view = View(h.history(h.good()))
    control_, fault = Span(h.CONTROL, h.INJECT), Span(h.IN_FORCE, h.RELEASE)
    pairs: list[tuple[Any, Any]] = [(users, EXPECT.users[0]), (breaker, EXPECT.breaker[0]), (alerts, EXPECT.alerts[0])]
    for module, expectation in pairs:
        assert module.unrest(view, expectation, control_) == "", module
        assert module.unrest(view, expectation, fault), module


def test_a_control_window_that_began_anew_counts_from_its_last_beginning_and_says_so() -> None:
    entries = h.good()
    entries[1:1] = [*h.window("control", h.CONTROL - 20, h.CONTROL - 10), h.request(h.CONTROL - 15, status=500)]
    finding = control.check(h.history(entries))
    assert (finding.verdict, finding.n) == (CONFIRMED, 401)
    assert "anew 1 times" in finding.detail


QUEUE = Queue.model_validate({"queue": "mail-svc.user.purchased", "waiting": 40, "drains": "<= 3s"})


def waiting(wall: float, value: Any, instance: str = "shop", queue: str = QUEUE.queue) -> h.Entry:
    labels = {"queue": queue, "instance": instance}
    return "sample", {"metric": "queue_messages", "labels": labels, "wall": wall, "value": value}


def piled(most: float = 90.0, until: float = h.UNDONE + 2, last: float = h.END) -> list[h.Entry]:
    """As if the consumer had died: ten more wait each second, from two without the fault."""
    walls = [h.CONTROL + number for number in range(int(last - h.CONTROL) + 1)]
    depth = {wall: min(most, 2 + 10 * (wall - h.IN_FORCE)) if h.IN_FORCE <= wall < until else 2.0 for wall in walls}
    return [*h.good(), *(waiting(wall, value) for wall, value in depth.items())]


@pytest.mark.parametrize(
    ("entries", "verdict", "words"),
    [
        (piled(), CONFIRMED, "90 waited where 2 did, drained after 2s"),
        # The slack of one scrape and its handling is allowed for, no more.
        (piled(until=h.UNDONE + 4), CONFIRMED, "drained after 4s"),
        (piled(until=h.UNDONE + 5), REFUTED, "5s to drain"),
        (piled(until=h.END + 1), REFUTED, "wait still"),
        (piled(most=39), REFUTED, "at most 39 waited"),
        (h.good(), INCONCLUSIVE, "no sample of queue_messages"),
        ([*piled(), waiting(1015.5, "nan")], INCONCLUSIVE, "NaN"),
        ([*piled(), waiting(h.CONTROL - 5, "nan")], CONFIRMED, "90 waited"),
        ([*piled(), waiting(1005.5, 40.0)], INCONCLUSIVE, "without a fault: 40 messages"),
        (h.without("sample", h.during(1013, 1017, "wall"))(piled()), INCONCLUSIVE, "no sample for 5s"),
        (h.without("window", lambda data: data["window"] == "control")(piled()), INCONCLUSIVE, "window is missing"),
        (h.leases(h.lease(undone_wall=None, state="leaked"))(piled()), INCONCLUSIVE, "window is missing"),
        ([*piled(), waiting(1031.0, 7.0, queue=f"{QUEUE.queue}.dead")], REFUTED, "7 messages were set aside"),
        # Whoever measures it last is believed as much as whoever measured it first.
        ([*piled(), waiting(h.END, 3.0, "other")], REFUTED, "wait still"),
        (
            [*h.good(), *(waiting(wall, 90.0, queue="mail-svc.other") for wall in (1001, 1015))],
            INCONCLUSIVE,
            "no sample",
        ),
    ],
)
def test_queues(entries: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = queues.check(h.history(entries), QUEUE, SCALE)
    assert (finding.verdict, words in told(finding)) == (verdict, True), told(finding)


def test_a_window_waits_for_a_queue_to_fill_and_to_drain() -> None:
    whole, early = View(h.history(piled())), View(h.history(piled(most=39, until=h.END + 1)))
    for window in ("control", "fault", "recovery"):
        assert queues.spoken(whole, QUEUE, window), window
        assert queues.spoken(early, QUEUE, window) == (window == "control"), window
    assert not queues.spoken(View(h.history(h.good())), QUEUE, "control")
    assert queues.unrest(whole, QUEUE, Span(h.CONTROL, h.INJECT)) == ""
    assert "90 messages" in queues.unrest(whole, QUEUE, Span(h.IN_FORCE, h.RELEASE))
    unmeasured = View(h.history([*piled(), waiting(h.CONTROL, "nan")]))
    assert "could not measure" in queues.unrest(unmeasured, QUEUE, Span(h.CONTROL, h.INJECT))
    assert queues.unrest(unmeasured, QUEUE, Span(h.CONTROL + 1, h.INJECT)) == ""


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        ("mail-svc", CONFIRMED),
        # Their queues are not this one.
        ("mail", NOT_INJECTED),
        ("other-svc", NOT_INJECTED),
    ],
)
def test_a_queue_that_fills_shows_that_a_fault_of_its_consumer_was_met(target: str, verdict: Verdict) -> None:
    unseen = h.lease(target=target, exercised={"holds": False, "facts": {"reason": "no wired edge leads to it"}})
    (finding,) = evidence.check(h.history(h.leases(unseen)(piled())))
    assert finding.verdict is verdict, finding
    still = h.leases(unseen)(piled(most=2))
    assert evidence.check(h.history(still))[0].verdict is NOT_INJECTED
