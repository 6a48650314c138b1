"""promtool and amtool as judges of generated files."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from gameday.errors import InputError, Problem
from gameday.verdict import Finding, Result, Verdict

TIMEOUT_SECONDS = 120.0
_PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def check(directory: Path) -> Result:
    """What the two tools say of the files that `gameday.alerts.build` wrote. Raises InputError where one is missing."""
    began = time.monotonic()
    findings = tuple(_run(command, directory) for command in _commands(directory))
    return Result(
        suite="alerts",
        name="rules",
        title="The alerts fire and stay silent as written",
        findings=findings,
        seconds=time.monotonic() - began,
    )


def _commands(directory: Path) -> Sequence[Sequence[str]]:
    tests = sorted(path.name for path in directory.glob("rules*_test.yml"))
    return [
        ["promtool", "check", "config", "prometheus.yml"],
        ["promtool", "check", "rules", "rules.yml"],
        ["promtool", "test", "rules", *tests],
        ["amtool", "check-config", "alertmanager.yml"],
    ]


def _run(command: Sequence[str], directory: Path) -> Finding:
    tool, *arguments = command
    path = shutil.which(tool)
    if path is None:
        package = _PACKAGES[tool]
        raise InputError(Problem(f"{tool} is missing", f"install it: sudo apt-get install {package}", value=tool))
    try:
        done = subprocess.run(
            [path, *arguments], cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _finding(command, Verdict.INCONCLUSIVE, f"did not end within {TIMEOUT_SECONDS:g} s")
    output = "\n".join(part.strip() for part in (done.stdout, done.stderr) if part.strip())
    if done.returncode:
        return _finding(command, Verdict.REFUTED, f"exit code {done.returncode}", output)
    return _finding(command, Verdict.CONFIRMED, "accepted")


def _finding(command: Sequence[str], verdict: Verdict, observed: str, detail: str = "") -> Finding:
    return Finding(
        check=command[0],
        subject=" ".join(command),
        verdict=verdict,
        expected="accepted",
        observed=observed,
        detail=detail,
    )
