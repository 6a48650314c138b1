"""Gathers what happens during a run into its history. Judges nothing.

Sources: the load child, Prometheus, Alertmanager's notifications and the leases of
the supervisor. One thread, one writer; `poll` is called again and again.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gameday.bench import Bench
from gameday.checks import loss
from gameday.checks.view import QUEUE_METRIC, View
from gameday.errors import GamedayError
from gameday.expectations import Expect, Loss, Retries
from gameday.journal import History, Journal, Record
from gameday.tools.alertmanager import Notifications
from gameday.tools.locust import LoadChild, dig
from gameday.tools.prometheus import Sample
from gameday.tracks import Tracks

METRICS = ("circuit_breaker_state", "circuit_breaker_transitions_total", "fallback_total", QUEUE_METRIC)
_SELECTOR = f'{{__name__=~"{"|".join((*METRICS, "up", "ALERTS"))}"}}'
_QUERY_EVERY = 0.5
_LOOK_EVERY = 1.0
_LEASES_EVERY = 0.2
_WIRES_EVERY = 0.2
# How far each query reaches back beyond the one before: a scrape is stored when it ended.
_OVERLAP = 3.0
_ERRORS_KEPT = 20


class Collector:
    """`before` is the collector of a run that has just ended under the same load: what it heard after its
    fault was undone belongs to this history too, and `since` says from when on.
    """

    def __init__(
        self, journal: Journal, bench: Bench, run: str, load: LoadChild, before: Collector | None = None
    ) -> None:
        self._journal = journal
        self._bench = bench
        self.run = run
        self._load = load
        self._before = before
        self.since = before.view.undone if before else None
        self._notifications: Notifications = before._notifications if before else Notifications(bench.state.alerts)
        self._records: list[Record] = []
        self._view: View | None = None
        self._began = self.since or time.time()
        self._seen: set[tuple[str, frozenset[tuple[str, str]], float]] = set()
        self._leases: dict[str, str] = {}
        self._queried = self._began
        self._due = {"query": 0.0, "leases": 0.0, "look": 0.0, "wires": 0.0}
        self._lossy: Sequence[Loss] = ()
        self._retried: Sequence[Retries] = ()
        self._tracks = Tracks(bench, self._began, self.write, lambda: self.view)
        self._errors: dict[tuple[str, str], int] = {}

    @property
    def view(self) -> View:
        """What is known so far."""
        if self._view is None:
            self._view = View(History(tuple(self._records)))
        return self._view

    def write(self, kind: str, *, sync: bool = False, **data: Any) -> None:
        self._records.append(self._journal.append(kind, sync=sync, **data))
        self._view = None

    def error(self, where: str, message: str) -> None:
        """Once for each message: a server that is gone is one finding, not one a second."""
        if (where, message) not in self._errors and len(self._errors) < _ERRORS_KEPT:
            self._errors[where, message] = 1
            self.write("error", where=where, message=message)

    def poll(self) -> None:
        self._inherit()
        self._requests()
        self._alerts()
        if self._is_due("leases", _LEASES_EVERY):
            self.leases()
        if self._is_due("query", _QUERY_EVERY):
            self.query()
        if self._retried and self._is_due("wires", _WIRES_EVERY):
            self._wires()
        self._tracks.poll()
        if self._lossy and self.view.undone is not None and self._is_due("look", _LOOK_EVERY):
            self._look()

    def finish(self) -> None:
        """Everything that is under way at the end of the run."""
        self._requests()
        self._alerts()
        self.query()
        self.leases()
        self._tracks.finish()

    def leases(self) -> None:
        """Each lease again after each change."""
        for lease in self._bench.control.call("leases", run=self.run):
            text = json.dumps(lease, sort_keys=True)
            if self._leases.get(lease["id"]) != text:
                self._leases[lease["id"]] = text
                self.write("lease", sync=True, phase=_phase(lease), lease=lease)

    def query(self) -> None:
        """What Prometheus stored since the last time it answered."""
        if self._bench.prometheus is None:
            return
        now = time.time()
        try:
            samples = self._bench.prometheus.raw(_SELECTOR, now - self._queried + _OVERLAP)
        except GamedayError as error:
            self.error("prometheus", str(error))
            return
        self._queried = now
        for sample in samples:
            key = (sample.metric, frozenset(sample.labels.items()), sample.wall)
            if sample.wall >= self._began and key not in self._seen:
                self._seen.add(key)
                self._sample(sample)

    def expect(self, expected: Expect) -> None:
        """Collects from here on what these expectations need and no metric tells."""
        self._lossy = expected.loss
        self._retried = expected.retries
        self._tracks.expect(expected)

    def _wires(self) -> None:
        for edge in {each.edge for each in self._retried}:
            if wires := self._bench.control.call("wires", edge=edge):
                asked = sum(wire["counters"]["requests"] for wire in wires)
                self.write("wire", edge=edge, wall=time.time(), requests=asked)

    def _look(self) -> None:
        for each in self._lossy:
            wall, counts, error = time.time(), None, None
            try:
                entries = self._bench.entries(each.service, each.path)
            except GamedayError as failed:
                error = str(failed)
            else:
                names = loss.acknowledged(self.view, each)
                shown = (dig(entry, each.found)[1] for entry in entries)
                found = Counter(name for name in shown if isinstance(name, str))
                counts = {name: found[name] for name in names if name in found}
            self.write(
                "look",
                route=each.route,
                service=each.service,
                path=each.path,
                wall=wall,
                counts=counts,
                error=error,
            )

    def _sample(self, sample: Sample) -> None:
        labels = dict(sample.labels)
        if sample.metric == "up":
            self.write(
                "scrape", job=labels.get("job"), instance=labels.get("instance"), wall=sample.wall, up=sample.value
            )
        elif sample.metric == "ALERTS":
            name, state = labels.pop("alertname", ""), labels.pop("alertstate", "")
            self.write("alert_state", name=name, labels=labels, state=state, wall=sample.wall)
        else:
            value = sample.value if math.isfinite(sample.value) else str(sample.value)
            self.write("sample", metric=sample.metric, labels=labels, wall=sample.wall, value=value)

    def _requests(self) -> None:
        for event in self._load.events():
            kind = event.pop("kind")
            # What was under way when this run began belongs to the one before.
            if kind != "request" or event["intended_wall"] >= self._began:
                self.write(kind, **event)

    def _alerts(self) -> None:
        for notification in self._notifications.fresh():
            self.write("alert", **notification)

    def _inherit(self) -> None:
        """What cannot be asked for twice: requests and notifications. Prometheus still knows the rest."""
        before, self._before = self._before, None
        if before is None:
            return
        for record in before._records:
            heard = {"request": "intended_wall", "alert": "received_wall"}.get(record.kind)
            if heard and record.data[heard] >= self._began:
                self.write(record.kind, **record.data)

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every
        return True


def _phase(lease: Mapping[str, Any]) -> str:
    """intent | in-force | exercised | undone"""
    if lease["state"] == "intended":
        return "intent"
    if lease["state"] == "in-force":
        return "exercised" if lease["exercised"]["holds"] else "in-force"
    return "undone"
