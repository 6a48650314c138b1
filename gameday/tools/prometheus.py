"""What a running Prometheus knows, over its HTTP API."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from gameday.errors import GamedayError

# A Prometheus on this machine answers within milliseconds; a stopped one must not hold up the run.
TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """One raw sample; `wall` is when it was scraped or evaluated. NaN and infinities stay what they are."""

    metric: str
    labels: Mapping[str, str]
    wall: float
    value: float


@dataclass(frozen=True)
class Series:
    """`points` are (epoch seconds, value) on the grid of a range query, with nothing where nothing was known.

    NaN and infinities stay what they are.
    """

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Prometheus:
    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def raw(self, selector: str, seconds: float, at: float | None = None) -> Sequence[Sample]:
        """The samples of `selector` in the last `seconds` before `at` (now), as they were stored.

        An instant query with a range selector gives them with their own times; a
        range query would invent values on a grid.
        """
        query = f"{selector}[{max(1, math.ceil(seconds * 1000))}ms]"
        return list(_samples(self._get("/api/v1/query", query=query, **({} if at is None else {"time": at}))))

    def instant(self, query: str) -> Sequence[Sample]:
        """What `query` gives now. Raises GamedayError where it gives no instant vector."""
        data = self._get("/api/v1/query", query=query)
        if data["resultType"] != "vector":
            raise GamedayError(f"{query} gives a {data['resultType']}, not an instant vector")
        return list(_samples({"result": [{**series, "values": [series["value"]]} for series in data["result"]]}))

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Series]:
        """What `query` gave at each `step` (seconds) of the time."""
        data = self._get("/api/v1/query_range", query=query, start=start, end=end, step=step)
        return [
            Series(series["metric"], [(float(wall), float(value)) for wall, value in series["values"]])
            for series in data["result"]
        ]

    def label_values(self, label: str, selector: str | None = None) -> Sequence[str]:
        """Of all series, or of those of `selector`."""
        values: Sequence[str] = self._get(
            f"/api/v1/label/{label}/values", **({"match[]": selector} if selector else {})
        )
        return values

    def scrape_interval(self) -> float:
        """Seconds: the longest interval of all active targets."""
        targets = self.targets()
        if not targets:
            raise GamedayError("Prometheus scrapes nothing")
        return max(seconds(target["scrapeInterval"]) for target in targets)

    def targets(self) -> Sequence[Mapping[str, Any]]:
        """What is scraped at present."""
        active: Sequence[Mapping[str, Any]] = self._get("/api/v1/targets", state="active")["activeTargets"]
        return active

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Every alerting rule, with `interval` of its group (seconds) added."""
        groups = self._get("/api/v1/rules", type="alert")["groups"]
        return [{**rule, "interval": group["interval"]} for group in groups for rule in group["rules"]]

    def _get(self, path: str, **parameters: Any) -> Any:
        try:
            response = self._client.get(path, params=parameters)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise GamedayError(f"Prometheus does not answer: {type(error).__name__} {error}") from error
        if answer.get("status") != "success":
            raise GamedayError(f"Prometheus refused {parameters}: {answer.get('error')}")
        return answer["data"]


def seconds(duration: str) -> float:
    """A duration as Prometheus writes it: `1m30s`, `500ms`."""
    from gameday import durations

    return durations.seconds(duration)


def _samples(data: Mapping[str, Any]) -> Iterator[Sample]:
    for series in data["result"]:
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        for wall, value in series["values"]:
            yield Sample(series["metric"].get("__name__", ""), labels, float(wall), float(value))
