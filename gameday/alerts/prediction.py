"""How soon an alert is delivered when all of its calls or probes begin to fail: what a proof is held against."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.alerts.rules import arms
from gameday.alerts.slos import Limit, Queue, Share, Slo, Slos
from gameday.alerts.timers import delivery, hold, timer


def detection(slos: Slos, scale: float) -> Mapping[str, float]:
    """Seconds by alert from the first failure to the notification, at worst, where everything fails.

    Of an SLO the quickest arm counts. The share of failures that a window holds grows by the second, so that a limit
    is crossed after that share of the window (SRE workbook, chapter 5: "detection time").
    """
    return {
        **{slo.alert: _of_slo(slo, scale) + delivery(scale) for slo in slos.slo},
        **{each.alert: _of_share(each, scale) + delivery(scale) for each in slos.shares},
        **{each.alert: _of_queue(each, scale) + delivery(scale) for each in slos.queue},
        **{each.alert: _of_limit(each, scale) + delivery(scale) for each in slos.limit},
    }


def _of_slo(slo: Slo, scale: float) -> float:
    return min(arm.burn * slo.budget * timer("long_window", scale, arm.long) for arm in arms(slo, scale))


def _of_share(share: Share, scale: float) -> float:
    return share.share / 100 * timer("window", scale, share.window) + hold(scale, share.hold)


def _of_queue(queue: Queue, scale: float) -> float:
    """Messages come as fast at every scale."""
    return queue.limit / queue.rate + hold(scale, queue.hold)


def _of_limit(limit: Limit, scale: float) -> float:
    """A rate may have to fill its whole window; of a quantile, as many must be slow as it leaves out."""
    if limit.window is None:
        return hold(scale, limit.hold)
    share = 1.0 if limit.quantile is None else 1 - limit.quantile
    return share * timer("window", scale, limit.window) + hold(scale, limit.hold)
