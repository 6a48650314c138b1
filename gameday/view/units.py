"""Grafana's units as d3 writes numbers, which is how Plotly takes them: https://d3js.org/d3-format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """`format` for d3, `suffix` behind it."""

    format: str
    suffix: str = ""


_PLAIN = ",.3~f"
_UNITS: Mapping[str, Unit] = {
    "none": Unit(_PLAIN),
    "short": Unit(".3~s"),
    "percent": Unit(_PLAIN, "%"),
    "percentunit": Unit(".2~%"),
    "s": Unit(".3~s", "s"),
    "ms": Unit(_PLAIN, " ms"),
    "bytes": Unit(".3~s", "B"),
    "decbytes": Unit(".3~s", "B"),
    "reqps": Unit(_PLAIN, " req/s"),
    "ops": Unit(_PLAIN, " ops/s"),
    "cps": Unit(_PLAIN, " c/s"),
}


def unit(name: str, decimals: int | None = None) -> Unit:
    """One that is not known stands behind its number as it is written, as in Grafana."""
    found = _UNITS.get(name or "none", Unit(_PLAIN, f" {name.removeprefix('suffix:')}"))
    if decimals is None:
        return found
    kind = "%" if found.format.endswith("%") else "f"
    # What is written with a prefix such as m or k has no fixed number of decimals.
    return found if found.format.endswith("s") else Unit(f",.{decimals}{kind}", found.suffix)
