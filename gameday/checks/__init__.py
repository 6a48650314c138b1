"""Checkers: pure functions from a history and one expectation to a finding.

`spoken` tells the engine, from the same history while it grows, that a window
need not wait any longer for one expectation; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gameday.checks import alerts, breaker, users
from gameday.checks.view import View
from gameday.durations import TimeScale
from gameday.journal import History
from gameday.verdict import Finding

Check = Callable[[History, Any, TimeScale], Finding]
Spoken = Callable[[View, Any, str], bool]

# By the key of `expect` in an experiment.
CHECKS: Mapping[str, Check] = {"users": users.check, "breaker": breaker.check, "alerts": alerts.check}
SPOKEN: Mapping[str, Spoken] = {"users": users.spoken, "breaker": breaker.spoken, "alerts": alerts.spoken}
