"""What Grafana writes into queries and legends: `$variable`, `${variable:format}`, `[[variable]]`, `{{label}}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

# As Grafana does: four scrapes bear one that is lost.
RATE_SCRAPES = 4
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def resolve(expression: str, value: Callable[[str], str | None]) -> str:
    """With the `value` of each variable, by its name; one without stays as it is written."""

    def resolved(found: re.Match[str]) -> str:
        known = value(found[1] or found[2] or found[3])
        return found[0] if known is None else known

    return _VARIABLE.sub(resolved, expression)


def named(legend: str, labels: Mapping[str, str], otherwise: str) -> str:
    """The series with `labels`: by its legend, else by all labels; `otherwise` where it has none."""
    if not legend or legend == "__auto":
        return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or otherwise
    return " ".join(_LABEL.sub(lambda found: labels.get(found[1], ""), legend).split())
