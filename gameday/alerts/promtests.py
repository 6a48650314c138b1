"""promtool unit tests of the generated rules: each alert fires, and each stays silent.

promtool itself passes over an alert that no test touches; here none can be
forgotten, because a rule and its tests come from the same entry of the SLO file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gameday.alerts.rules import LONG, PROBE_JOB, arms, base, probes, window_label
from gameday.alerts.slos import Arm, Failure, Limit, Queue, Share, Slo, Slos
from gameday.alerts.timers import hold, prometheus, timer


def tests(slos: Slos, scale: float) -> dict[str, dict[str, Any]]:
    """The contents of `rules_test.yml` and, where there are windows above an hour, `rules_long_test.yml`.

    Those are evaluated only as often as their means take a sample: every 15 s
    over three days would take a minute.
    """
    step = timer("evaluation_interval", scale)
    armed = [(slo, arm) for slo in slos.slo for arm in arms(slo, scale)]
    quick = [test for slo, arm in armed if arm.long <= LONG for test in _of_arm(slo, arm, scale, step)]
    quick += [test for share in slos.shares for test in _of_share(share, scale)]
    quick += [test for queue in slos.queue for test in _of_queue(queue, scale)]
    quick += [test for limit in slos.limit for test in _of_limit(limit, scale)]
    files = {"rules_test.yml": _file(step, quick)}
    slow = [(slo, arm) for slo, arm in armed if arm.long > LONG]
    if slow:
        coarse = min(base(slo, scale) for slo, _ in slow)
        found = [test for slo, arm in slow for test in _of_arm(slo, arm, scale, coarse)]
        files["rules_long_test.yml"] = _file(coarse, found)
    return files


def _file(step: float, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rule_files": ["rules.yml"], "evaluation_interval": prometheus(step), "tests": found}


def _of_arm(slo: Slo, arm: Arm, scale: float, step: float) -> Iterator[dict[str, Any]]:
    """The rules are evaluated every `step` seconds only: each story waits for the next evaluation."""
    interval = timer("scrape_interval", scale)
    pace = round(step / interval)
    long = probes(timer("long_window", scale, arm.long), scale)
    within = math.floor(long * arm.burn * slo.budget)
    good, bad = _up(long, pace), _up(within + 1, pace)
    short = probes(timer("window", scale, arm.short), scale)
    clean = _up(short + 1, pace)
    series = f'probe_success{{job="{PROBE_JOB}", route="{slo.route}", instance="probed"}}'
    alert = _firing(slo.alert, window=window_label(arm))
    name = f"{slo.alert} {window_label(arm)}"
    yield _case(
        f"{name}: silent while probes succeed, fires when both windows burn, silent once the short one is clean",
        interval,
        {series: _values((1, good + 1), (0, bad), (1, clean))},
        {good: (alert, False), good + bad: (alert, True), good + bad + clean: (alert, False)},
    )
    if not within:
        return
    # A window that is too short has forgotten the first ones.
    last = math.floor(short * arm.burn * slo.budget) + 1
    first = within + 1 - last
    gap = good - 2 * pace - within - 1
    yield _case(
        f"{name}: fires for failures far apart in the long window",
        interval,
        {series: _values((1, 2 * pace + 1), (0, first), (1, gap), (0, last))},
        {good: (alert, True)},
    )
    # A window that is too long still holds the burst before it.
    waits = good + _up(2 * within, pace) - 2 * within + 2 * pace
    yield _case(
        f"{name}: silent within the budget, whatever happened before the long window",
        interval,
        {series: _values((0, within + 1), (1, waits), (0, within))},
        {2 * within + waits: (alert, False)},
    )
    yield _case(
        f"{name}: silent after one bad probe in a young Prometheus",
        interval,
        {series: _values((0, 1), (1, 2 * pace))},
        {pace: (alert, False)},
    )


def _up(samples: int, pace: int) -> int:
    return math.ceil(samples / pace) * pace


def _of_share(share: Share, scale: float) -> Iterator[dict[str, Any]]:
    window = timer("window", scale, share.window)
    interval = timer("scrape_interval", scale)
    samples = math.ceil((2 * window + hold(scale, share.hold)) / interval) + 2
    clean = math.ceil(window / interval) + 2
    alert, fails = _firing(share.alert), isinstance(share, Failure)
    lost = f'fallback_total{{edge="{share.edge}", reason="failure"}}'
    if fails:
        lost = f'edge_requests_total{{edge="{share.edge}", outcome="failure"}}'
    good = f'edge_requests_total{{edge="{share.edge}", outcome="success"}}'

    def case(story: str, bad: float, fires: bool) -> dict[str, Any]:
        # A call that ends in a fallback is counted beside the fallback, one that failed is one of the hundred.
        step = 100 - bad * fails
        series = {
            lost: f"0+{bad:g}x{samples} {bad * samples:g}x{clean}",
            good: f"0+{step:g}x{samples + clean + 1}",
        }
        return _case(
            f"{share.alert}: {story}",
            interval,
            series,
            {samples: (alert, fires), samples + clean: (alert, False)},
        )

    bad = "failure" if fails else "fallback"
    yield case(f"silent without a {bad}", 0, False)
    yield case("silent below its share", share.share * 0.9, False)
    yield case(f"fires above its share, silent once the {bad}s stopped", min(100, share.share * 1.1), True)
    # Without traffic the share is 0/0, and nobody is to be woken by a NaN.
    yield _case(f"{share.alert}: silent without traffic", interval, {lost: "0x9", good: "0x9"}, {9: (alert, False)})


def _of_queue(queue: Queue, scale: float) -> Iterator[dict[str, Any]]:
    """Two processes measure it: that is still one alert."""
    interval = timer("scrape_interval", scale)
    pending = hold(scale, queue.hold)
    samples = math.ceil(pending / interval) + 2
    alert = _firing(queue.alert)

    def case(story: str, values: str, expected: Mapping[int, tuple[str, bool]]) -> dict[str, Any]:
        series = {f'queue_messages{{queue="{queue.queue}", instance="{each}"}}': values for each in ("a", "b")}
        return _case(f"{queue.alert}: {story}", interval, series, expected)

    yield case("silent at its limit", f"{queue.limit}x{samples}", {samples: (alert, False)})
    yield case(
        "fires above its limit, silent once the queue is empty",
        f"{queue.limit + 1}x{samples} 0x2",
        {samples: (alert, True), samples + 1: (alert, False)},
    )
    if pending:
        yield case("silent for a moment above it", f"{queue.limit + 1}x0 0x{samples}", {0: (alert, False)})


def _of_limit(limit: Limit, scale: float) -> Iterator[dict[str, Any]]:
    """Whatever the metric is: well within the limit, then beyond it, then within again."""
    interval = timer("scrape_interval", scale)
    window = timer("window", scale, limit.window) if limit.window else 0.0
    beyond = math.ceil((2 * window + hold(scale, limit.hold)) / interval) + 2
    after = math.ceil(window / interval) + 2
    alert = _firing(limit.alert)

    def case(story: str, factor: float, fires: bool) -> dict[str, Any]:
        return _case(
            f"{limit.alert}: {story}",
            interval,
            _seen(limit, factor, beyond, after, interval),
            {beyond: (alert, fires), beyond + after: (alert, False)},
        )

    beside = 1.1 if limit.above is not None else 0.9
    at = limit.window is None
    yield case(f"silent {'at' if at else 'within'} its limit", 1.0 if at else 0.9, False)
    yield case("fires beyond its limit, silent once it is kept again", beside, True)
    if limit.hold:
        moment = _seen(limit, beside, 0, beyond, interval)
        yield _case(f"{limit.alert}: silent for a moment beyond it", interval, moment, {0: (alert, False)})


def _seen(limit: Limit, factor: float, beyond: int, after: int, interval: float) -> dict[str, str]:
    """Series of `factor` times the limit for `beyond` samples, and of what is allowed for `after` more."""
    named = ", ".join(f'{label}="x"' for label in limit.by)
    if limit.window is None:
        allowed = 0 if limit.above is not None else limit.number
        values = f"{factor * limit.number:g}x{beyond} {allowed:g}x{after}"
        return {f"{limit.metric}{{{named}}}": values}
    if limit.quantile is None:
        step = factor * limit.number * interval
        return {f"{limit.metric}{{{named}}}": f"0+{step:g}x{beyond} {step * beyond:g}x{after}"}
    # Of a hundred at each sample as many are slow as the quantile allows, times `factor`.
    slow = min(100.0, 100 * (1 - limit.quantile) * factor)
    quick = 100 - slow
    return {
        f'{limit.metric}_bucket{{{named}, le="{limit.number}"}}': (
            f"0+{quick:g}x{beyond} {quick * beyond + 100:g}+100x{after}"
        ),
        f'{limit.metric}_bucket{{{named}, le="{2 * limit.number}"}}': f"0+100x{beyond + after}",
        f'{limit.metric}_bucket{{{named}, le="+Inf"}}': f"0+100x{beyond + after}",
    }


def _firing(alert: str, **labels: str) -> str:
    """Asks for ALERTS, not for alerts: their annotations hold values that only Prometheus can print."""
    wanted = {"alertname": alert, **labels, "alertstate": "firing"}
    return "count(ALERTS{" + ", ".join(f'{key}="{value}"' for key, value in wanted.items()) + "})"


def _case(
    title: str, interval: float, series: Mapping[str, str], expected: Mapping[int, tuple[str, bool]]
) -> dict[str, Any]:
    """`expected` says per sample (from 0) which query finds an alert then, or finds none."""
    return {
        "name": title,
        "interval": prometheus(interval),
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": prometheus(sample * interval),
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
            for sample, (query, fires) in expected.items()
        ],
    }


def _values(*runs: tuple[int, int]) -> str:
    """`((1, 3), (0, 2))` in promtool's notation, in which `1x2` are three samples."""
    return " ".join(f"{value}x{count - 1}" for value, count in runs if count)
