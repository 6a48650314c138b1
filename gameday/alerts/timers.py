"""Every timer of the alerting chain, and how far each may shrink: one table."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.catalogue.model import Timer

HOUR = 3600.0

# Seconds: the value in production, and the floor that no time scale goes below.
# Floors of 1 s are what Prometheus still keeps up with on two cores; a window
# needs four scrapes to bear one that is lost, and the long window of an arm keeps
# the workbook's ratio of 12 to its short one.
TABLE: Mapping[str, Timer] = {
    "scrape_interval": Timer(15, 1),
    "scrape_timeout": Timer(10, 1),
    "evaluation_interval": Timer(15, 1),
    "group_wait": Timer(10, 0.5),
    "group_interval": Timer(30, 1),
    "repeat_interval": Timer(4 * HOUR, 300),
}
FLOORS: Mapping[str, float] = {"for": 1, "window": 4, "long_window": 48}

# At a scale other than 1 an arm with a longer window is left out: in a Prometheus
# a minute old it would judge days by seconds, and fire for minutes on.
LONGEST_SCALED_WINDOW = HOUR


def timer(name: str, scale: float, production: float | None = None) -> float:
    """Seconds of the timer `name` at `scale`.

    `production` is the value of a timer that `alerts/slos.toml` states (`for`,
    `window`, `long_window`); the others stand in the table.
    """
    stated = TABLE[name] if production is None else Timer(production, FLOORS[name])
    # Prometheus counts in milliseconds; multiples of a timer must stay multiples.
    return round(stated.scaled(scale), 3)


def hold(scale: float, production: float) -> float:
    """Seconds for which an alert is pending at `scale`; 0 stays 0, whatever the floor."""
    return timer("for", scale, production) if production else 0.0


def delivery(scale: float) -> float:
    """Seconds from a change in a metric to its notification, at worst: scrape, evaluation, grouping."""
    return sum(timer(name, scale) for name in ("scrape_interval", "evaluation_interval", "group_wait"))


def prometheus(seconds: float) -> str:
    """A duration as Prometheus and Alertmanager write it: 90 -> `90s`, 0.5 -> `500ms`."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
