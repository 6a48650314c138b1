"""Hand-made histories and verdicts for the report: one of each verdict, told as a real run would."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from gameday.journal import History, Record
from gameday.verdict import Finding, Result, Verdict, Verdicts, worst

BEGAN = 1_795_000_000.0
EDGE = "api-gateway->recommendation-svc"
ROUTE = "GET /api/homepage"
CONTROL, FAULT, END = 10.0, 22.0, 38.0


def history(*, falls_back: bool = True, undone: bool = True, exercised: bool = True, observed: bool = True) -> History:
    """38 s: control to 10 s, recommendation-svc killed to 22 s, then recovery.

    `falls_back=False` answers 502 under the fault instead, `observed=False` has no
    samples of Prometheus.
    """
    kinds = [*_frame(undone=undone, exercised=exercised), *_requests(falls_back, exercised)]
    if observed:
        kinds += [*_prometheus(exercised), *_notifications(exercised)]
    if observed and exercised:
        kinds.append(("trace", request()))
    records = [Record(seq, BEGAN + 40, 1000.0 + seq / 100, kind, data) for seq, (kind, data) in enumerate(kinds)]
    return History(tuple(records))


def _frame(*, undone: bool, exercised: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        "run",
        {
            "id": "1",
            "experiment": "recommendation-down",
            "substitutions": {
                "postgres": "PostgreSQL 18.4 for pgvector/pgvector:pg18",
                "cache": "redis-server 6.2.14 for redis:7-alpine",
            },
        },
    )
    for window, start, end in (("control", 0.0, CONTROL), ("fault", CONTROL, FAULT), ("recovery", FAULT, END)):
        yield "window", {"window": window, "edge": "start", "wall": BEGAN + start}
        yield "window", {"window": window, "edge": "end", "wall": BEGAN + end}
    yield "lease", {"phase": "undone", "lease": lease(undone=undone, exercised=exercised)}


def lease(*, undone: bool, exercised: bool) -> dict[str, Any]:
    return {
        "id": "l1",
        "run": "1",
        "fault": "kill",
        "target": "recommendation-svc",
        "arguments": {},
        "ttl": 120.0,
        "state": "undone" if undone else "leaked",
        "intent_wall": BEGAN + CONTROL,
        "in_force_wall": BEGAN + CONTROL + 0.2,
        "undone_wall": BEGAN + FAULT + 0.9 if undone else None,
        "in_force": {"holds": True, "facts": {"dead": [4711], "port": "127.0.0.1:41001 refuses"}},
        "exercised": {"holds": exercised, "facts": {"refused": 182 if exercised else 0}},
        "undone": {"holds": undone, "facts": {"state": "healthy"}} if undone else None,
        "error": None if undone else "the process did not start again: exit code 1",
        "mend": None if undone else "gameday recover",
    }


def _requests(falls_back: bool, exercised: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    chance = random.Random(7)
    for number in range(int(END * 40)):
        at = number / 40
        hit = exercised and CONTROL + 0.2 <= at < FAULT + 1.6
        ms = chance.lognormvariate(math.log(9), 0.35)
        if hit and at < CONTROL + 0.8:
            ms += 400
        status = 502 if hit and not falls_back else 200
        source = "fallback" if hit and falls_back else "model"
        yield (
            "request",
            {
                "route": ROUTE,
                "status": status,
                "ms": ms,
                "intended_wall": BEGAN + at,
                "started_wall": BEGAN + at,
                "json": {"recommendations.source": source} if status == 200 else None,
                "error": None,
            },
        )


def _prometheus(exercised: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for second in range(int(END)):
        state = 2 if exercised and CONTROL + 1 <= second < FAULT + 2 else 0
        state = 1 if exercised and second in (14, 18) else state
        sample = {"metric": "circuit_breaker_state", "labels": {"edge": EDGE}, "value": state, "wall": BEGAN + second}
        yield "sample", sample
        yield "sample", {**sample, "labels": {"edge": "api-gateway->cache"}, "value": 0}
        yield "scrape", {"job": "api-gateway", "wall": BEGAN + second}
        firing = "firing" if second >= CONTROL + 4 else "pending"
        if exercised and CONTROL + 2 <= second <= FAULT + 4:
            labels = {"severity": "page"}
            yield (
                "alert_state",
                {"name": "RecommendationUnavailable", "labels": labels, "state": firing, "wall": BEGAN + second},
            )


def _notifications(exercised: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    if exercised:
        for status, at in (("firing", CONTROL + 4.6), ("resolved", FAULT + 6.2)):
            yield (
                "alert",
                {
                    "name": "RecommendationUnavailable",
                    "status": status,
                    "labels": {"severity": "page"},
                    "started_wall": BEGAN + CONTROL + 4,
                    "received_wall": BEGAN + at,
                },
            )


def request() -> dict[str, Any]:
    """The one request that is kept: a call of its second span failed, whose provider's span has another parent."""
    began = BEGAN + CONTROL + 1
    spans = (
        ("a", "", "api-gateway", "GET /api/homepage", 0.0, 0.050, None),
        ("b", "a", "api-gateway", "POST /recommend", 0.010, 0.040, "connection refused"),
        ("c", "gone", "user-svc", "GET /users/me", 0.020, 0.0201, None),
    )
    lines = (
        (0.041, {"event": "fallback_served", "level": "warning", "edge": EDGE, "reason": "connection"}),
        (0.049, {"event": "request", "level": "info", "status": 200, "trace_id": "7f", "correlationId": "c1"}),
    )
    keys = ("id", "parent", "service", "name", "start", "end", "error")
    return {
        "trace": "7f",
        "spans": [
            {"trace": "7f", **dict(zip(keys, each, strict=True)), "start": began + each[4], "end": began + each[5]}
            for each in spans
        ],
        "lines": [{"service": "api-gateway", "line": {"timestamp": began + at, **line}} for at, line in lines],
        "error": None,
    }


def finding(verdict: Verdict, **changes: Any) -> Finding:
    base: dict[str, Any] = {
        "check": "users",
        "subject": ROUTE,
        "verdict": verdict,
        "expected": "status 200, recommendations.source = 'fallback', bad <= 1 of 300, p99 <= 800ms",
        "observed": "0 of 472 bad (0.00%, 95 % 0.00% to 0.81%), p99 411ms (95 % 21 to 415ms)",
        "n": 472,
        "interval": (0.0, 0.0081),
        "file": "experiments/recommendation-down.yaml",
        "line": 24,
    }
    return Finding(**base | changes)


def breaker() -> Finding:
    return Finding(
        check="breaker",
        subject=EDGE,
        verdict=Verdict.CONFIRMED,
        expected="opens <= 5s, closes <= 35s",
        observed="opened 0.8s after the fault, closed 1.1s after the undo",
        n=38,
        detail="limit / 30 + 2s slack",
    )


def result(name: str, title: str, *findings: Finding, suite: Any = "experiments", seconds: float = 38.4) -> Result:
    return Result(
        suite=suite,
        name=name,
        title=title,
        findings=findings,
        seconds=seconds,
        directory=f".gameday/runs/{name}",
        facts={"time_scale": 30.0, "scrape_interval": 1.0, "slack": {"users": 0.5, "alerts": 2.5}},
    )


def all_verdicts() -> tuple[Verdicts, dict[str, History]]:
    """One result of each verdict, and a contract and a load profile that hold."""
    results = (
        result(
            "homepage-contract",
            "api-gateway -> recommendation-svc",
            finding(
                Verdict.CONFIRMED,
                check="contract",
                subject="a request for recommendations",
                expected="answers as the pact says",
                observed="verified",
                n=None,
                interval=None,
                file="contracts/gateway_recommendation.py",
                line=12,
            ),
            suite="contracts",
            seconds=1.2,
        ),
        result(
            "recommendation-down",
            "Recommendation dies; the homepage falls back to popular items",
            finding(Verdict.CONFIRMED),
            breaker(),
        ),
        result(
            "recommendation-slow",
            "Recommendation is slow; the homepage falls back within its deadline",
            breaker(),
            finding(
                Verdict.REFUTED,
                observed="472 of 472 bad (100.00%, 95 % 99.19% to 100.00%)",
                interval=(0.9919, 1.0),
                detail="472 of 472 requests were bad, such as status 502",
                line=31,
            ),
        ),
        result(
            "prometheus-gone",
            "Prometheus stops; the run must not be green",
            finding(
                Verdict.INCONCLUSIVE,
                expected="opens <= 5s, closes <= 35s",
                check="breaker",
                subject=EDGE,
                observed="no samples",
                n=0,
                interval=None,
                detail="no sample for 28s, more than two scrape intervals (1s each)",
            ),
        ),
        result(
            "chat-unused",
            "Chat dies, but nobody chats",
            finding(
                Verdict.NOT_INJECTED,
                check="evidence",
                subject="kill chat-svc",
                expected="in force, exercised, undone",
                observed="in force, undone",
                detail="nothing met the fault: refused 0",
                n=None,
                interval=None,
                file=None,
                line=None,
            ),
        ),
        result(
            "undo-fails",
            "The undo fails",
            finding(
                Verdict.LEAKED,
                check="evidence",
                subject="kill recommendation-svc",
                expected="in force, exercised, undone",
                observed="in force, exercised",
                detail="the process did not start again: exit code 1; mend: gameday recover",
                n=None,
                interval=None,
            ),
        ),
        result(
            "steady-homepage",
            "Twenty seconds of homepage",
            finding(
                Verdict.CONFIRMED,
                check="load",
                expected="bad <= 1 of 300, p99 <= 300ms",
                observed="0 of 800 bad, p99 21ms",
                n=800,
            ),
            suite="load",
            seconds=20.1,
        ),
    )
    histories = {
        "recommendation-down": history(),
        "recommendation-slow": history(falls_back=False),
        "prometheus-gone": history(observed=False),
        "chat-unused": history(exercised=False),
        "undo-fails": history(undone=False),
        "steady-homepage": History(
            tuple(record for record in history(exercised=False).records if record.kind == "request")
        ),
    }
    return verdicts(*results), histories


def verdicts(
    *results: Result, left_out: tuple[str, ...] = ("experiments/user-down.yaml: not in the covering set",)
) -> Verdicts:
    verdict = worst(each.verdict for each in results)
    return Verdicts(
        gameday="0.1.0",
        started="2026-11-25T03:00:00Z",
        seconds=104.2,
        time_scale=30.0,
        results=results,
        left_out=left_out,
        verdict=verdict,
        exit_code=verdict.exit_code,
    )
