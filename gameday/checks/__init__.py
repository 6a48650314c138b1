"""Checkers: pure functions from a history and one expectation to a finding.

`spoken` tells the engine, from the same history while it grows, that a window
need not wait any longer for one expectation; `unrest` what is not at rest although
no fault is in force. Neither decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gameday.checks import alerts, bounded, breaker, cascade, logs, loss, panels, queues, retries, traces, users
from gameday.checks.view import Span, View
from gameday.durations import TimeScale
from gameday.journal import History
from gameday.verdict import Finding

Check = Callable[[History, Any, TimeScale], Finding]
Spoken = Callable[[View, Any, str], bool]
Unrest = Callable[[View, Any, Span], str]

# By the key of `expect` in an experiment.
_MODULES = {
    "users": users,
    "breaker": breaker,
    "retries": retries,
    "cascade": cascade,
    "bounded": bounded,
    "queues": queues,
    "loss": loss,
    "alerts": alerts,
    "traces": traces,
    "logs": logs,
    "panels": panels,
}
CHECKS: Mapping[str, Check] = {kind: module.check for kind, module in _MODULES.items()}
SPOKEN: Mapping[str, Spoken] = {kind: module.spoken for kind, module in _MODULES.items()}
UNREST: Mapping[str, Unrest] = {kind: module.unrest for kind, module in _MODULES.items()}
