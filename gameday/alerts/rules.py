"""Prometheus rules: what is recorded, and when somebody is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gameday.alerts.slos import Alert, Arm, Failure, Held, Limit, Links, Queue, Share, Slo, Slos
from gameday.alerts.timers import LONGEST_SCALED_WINDOW, hold, prometheus, timer

PROBE_JOB = "blackbox"
# Seconds of production: longer windows are computed from recorded shorter ones.
LONG = 3600.0


def groups(slos: Slos, scale: float) -> dict[str, Any]:
    """The content of `rules.yml`. Series and labels have the same names at every scale."""
    found = [_slo(slo, slos.links, scale) for slo in slos.slo]
    found += [_share(share, slos.links, scale) for share in slos.shares]
    found += [_queue(queue, slos.links, scale) for queue in slos.queue]
    found += [_limit(limit, slos.links, scale) for limit in slos.limit]
    return {"groups": found}


def arms(slo: Slo, scale: float) -> Iterator[Arm]:
    """The arms of `slo` that this scale can prove; in production all of them."""
    for arm in slo.arm:
        if scale == 1 or arm.long <= LONGEST_SCALED_WINDOW:
            yield arm


def window_label(arm: Arm) -> str:
    """`1h/5m`: the windows in production, also where they are scaled."""
    return f"{prometheus(arm.long)}/{prometheus(arm.short)}"


def error_ratio(window: float) -> str:
    """The series of the share of failed probes over `window` seconds of production."""
    return f"slo:probe_errors:ratio_{prometheus(window)}"


def share_of(share: Share) -> str:
    """The series of the share of the calls on an edge."""
    return "edge:failure:share" if isinstance(share, Failure) else "edge:fallback:share"


def probes(window: float, scale: float) -> int:
    """How many probes `window` real seconds hold."""
    return round(window / timer("scrape_interval", scale))


def base(slo: Slo, scale: float) -> float:
    """The shortest window of `slo` in seconds of production: windows of days are means of it."""
    return min(arm.short for arm in arms(slo, scale))


def _slo(slo: Slo, links: Links, scale: float) -> dict[str, Any]:
    chosen = list(arms(slo, scale))
    windows = {arm.long: timer("long_window", scale, arm.long) for arm in chosen}
    windows |= {arm.short: timer("window", scale, arm.short) for arm in chosen}
    recorded = [
        {
            "record": error_ratio(production),
            "expr": _mean(slo, production, scale) if production > LONG else _failed(slo, real, scale),
            "labels": {"slo": slo.name},
        }
        for production, real in sorted(windows.items())
    ]
    return {"name": f"slo:{slo.name}", "rules": recorded + [_arm(slo, arm, links) for arm in chosen]}


def _failed(slo: Slo, window: float, scale: float) -> str:
    """Failed probes over all that the window holds when it is full.

    A mean over those that were made would let a young Prometheus page for the
    first probe that fails: 100 % of one.
    """
    selector = f'probe_success{{job="{PROBE_JOB}", route="{slo.route}"}}[{prometheus(window)}]'
    return (
        "sum without (instance) (\n"
        f"  count_over_time({selector}) - sum_over_time({selector})\n"
        f")\n/ {probes(window, scale)}"
    )


def _mean(slo: Slo, window: float, scale: float) -> str:
    """The same from the recorded short windows: three days of probes are many samples to read every 15 s."""
    step = base(slo, scale)
    series = f'{error_ratio(step)}{{slo="{slo.name}"}}'
    return f"sum_over_time({series}[{prometheus(window)}:{prometheus(step)}]) / {window / step:g}"


def _arm(slo: Slo, arm: Arm, links: Links) -> dict[str, Any]:
    limit = f"({arm.burn:g} * {slo.budget:g})"
    selector = f'{{slo="{slo.name}"}}'
    return {
        "alert": slo.alert,
        "expr": f"{error_ratio(arm.long)}{selector} > {limit}\nand\n{error_ratio(arm.short)}{selector} > {limit}",
        "labels": {"severity": arm.severity, "window": window_label(arm)},
        "annotations": _annotations(
            slo,
            links,
            f"{{{{ $value | humanizePercentage }}}} of the probes of {slo.route} failed over "
            f"{prometheus(arm.long)} (production time): the budget of {slo.budget:.3%} burns more than {arm.burn:g} "
            "times too fast.",
        ),
    }


def _share(share: Share, links: Links, scale: float) -> dict[str, Any]:
    window = prometheus(timer("window", scale, share.window))
    edge = f'edge="{share.edge}"'
    if isinstance(share, Failure):
        kind, counted, ended = "failure", f'edge_requests_total{{{edge}, outcome=~"failure|short_circuit"}}', "failed"
    else:
        kind, counted, ended = "fallback", f"fallback_total{{{edge}}}", "ended in a fallback"
    recorded = {
        "record": share_of(share),
        "expr": (
            f"sum by (edge) (rate({counted}[{window}]))\n/\n"
            f"sum by (edge) (rate(edge_requests_total{{{edge}}}[{window}]))"
        ),
    }
    expression = f"{share_of(share)}{{{edge}}} > {share.share / 100:g}"
    value = f"{{{{ $value | humanizePercentage }}}} of the calls on {share.edge} {ended} (limit {share.share:g} %)."
    return {"name": f"{kind}:{share.edge}", "rules": [recorded, _held(share, links, scale, expression, value)]}


def _queue(queue: Queue, links: Links, scale: float) -> dict[str, Any]:
    """Several processes measure a queue: its consumer, and those who publish to it."""
    expression = f'max by (queue) (queue_messages{{queue="{queue.queue}"}}) > {queue.limit}'
    value = f"{{{{ $value }}}} messages wait in {queue.queue} (limit {queue.limit})."
    return {"name": f"queue:{queue.queue}", "rules": [_held(queue, links, scale, expression, value)]}


def _limit(limit: Limit, links: Links, scale: float) -> dict[str, Any]:
    sign, most = (">", "at most") if limit.above is not None else ("<", "at least")
    whose = " ".join(f"{{{{ $labels.{label} }}}}" for label in limit.by)
    expression = f"{_shown(limit, scale)} {sign} {limit.number:g}"
    value = f"{{{{ $value | humanize }}}}{limit.unit} of {whose} ({most} {limit.number:g}{limit.unit})."
    return {"name": f"limit:{limit.alert}", "rules": [_held(limit, links, scale, expression, value)]}


def _shown(limit: Limit, scale: float) -> str:
    """What is held against the number, as PromQL."""
    by = ", ".join(limit.by)
    if limit.window is None:
        return f"{'max' if limit.above is not None else 'min'} by ({by}) ({limit.metric})"
    window = prometheus(timer("window", scale, limit.window))
    if limit.quantile is None:
        return f"sum by ({by}) (rate({limit.metric}[{window}]))"
    return f"histogram_quantile({limit.quantile:g}, sum by ({by}, le) (rate({limit.metric}_bucket[{window}])))"


def _held(held: Held, links: Links, scale: float, expression: str, value: str) -> dict[str, Any]:
    alert = {
        "alert": held.alert,
        "expr": expression,
        "labels": {"severity": held.severity},
        "annotations": _annotations(held, links, value),
    }
    return alert | ({"for": prometheus(hold(scale, held.hold))} if held.hold else {})


def _annotations(alert: Alert, links: Links, value: str) -> dict[str, str]:
    annotations = {
        "summary": alert.summary,
        "description": f"{alert.description} {value}",
        "runbook_url": f"{links.runbooks}{alert.alert}.md",
    }
    if alert.dashboard:
        annotations["dashboard"] = f"{links.dashboards}{alert.dashboard}"
    return annotations
