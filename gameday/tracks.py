"""The tracks that requests leave during a run: spans in the store, lines in the logs. Gathered, not judged.

What an experiment expects of either is looked for all the time; at the end one request that met the fault is kept
whole, its spans and its lines, for people.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from gameday import logs
from gameday.bench import Bench
from gameday.checks import logs as log_check
from gameday.checks import traces as trace_check
from gameday.checks.view import Span, View
from gameday.errors import GamedayError
from gameday.expectations import Expect, Log, Trace
from gameday.redaction import redacted
from gameday.tools.jaeger import Jaeger
from gameday.tools.jaeger import Span as TracedSpan

Write = Callable[..., None]

# Traces asked for at once: one is enough to tell that there is any.
_TRACES = 20
_ASK_EVERY = 1.0
_LINES_KEPT = 60


class Tracks:
    """`began` is the moment (epoch seconds) from which on the history is told, `view` what is known of it so far."""

    def __init__(self, bench: Bench, began: float, write: Write, view: Callable[[], View]) -> None:
        self._bench = bench
        self._began = began
        self._write = write
        self._view = view
        self._open = ExitStack()
        self._traces: Sequence[Trace] = ()
        self._logs: Sequence[Log] = ()
        self._files: list[tuple[str, BinaryIO]] = []
        self._due = 0.0

    def expect(self, expected: Expect) -> None:
        """Looks from now on for what is expected of spans and lines, back to the beginning."""
        self._traces, self._logs = expected.traces, expected.logs
        for service in dict.fromkeys(each.service for each in self._logs):
            error = None
            try:
                self._files += [(service, self._opened(path, self._began)) for path in self._paths(service)]
            except OSError as failed:
                error = str(failed)
            self._write("log", service=service, since=self._began, error=error)

    def poll(self) -> None:
        self._read()
        if self._traces and time.monotonic() >= self._due:
            self._due = time.monotonic() + _ASK_EVERY
            self._ask()

    def finish(self) -> None:
        """What was written until now, and one request for people."""
        self._read()
        self._ask()
        self._keep()
        self._open.close()

    def _read(self) -> None:
        for service, file in self._files:
            wanted = {each.event for each in self._logs if each.service == service}
            for text in logs.whole_lines(file):
                line = logs.parse(text)
                if line is not None and logs.event(line) in wanted:
                    self._write("line", service=service, line=redacted(line))

    def _ask(self) -> None:
        view = self._view()
        for each in self._traces:
            for span in self._questions(view, each):
                self._spans(each, span, is_over=span in trace_check.windows(view))

    def _questions(self, view: View, expected: Trace) -> Sequence[Span]:
        """Is there none before the fault, is there one under it, and at last: was it so for certain?"""
        if view.in_force is None:
            return [Span(self._began, time.time())]
        if view.undone is not None:
            return [] if trace_check.spoken(view, expected, "recovery") else trace_check.windows(view)
        return [] if trace_check.spoken(view, expected, "fault") else [Span(view.in_force, time.time())]

    def _spans(self, expected: Trace, span: Span, *, is_over: bool) -> None:
        jaeger, wall, error, kept = self._bench.jaeger, time.time(), None, None
        found: list[dict[str, Any]] = []
        failed = expected.status == "error"
        try:
            if jaeger is None:
                raise GamedayError("nothing keeps traces here")
            fitting = jaeger.spans(
                expected.service, span.start, span.end, name=expected.name, failed=failed, limit=_TRACES
            )
            through = self._through(jaeger, fitting) if expected.through else {}
            found = [
                {"trace": each.trace, "wall": each.start, "error": each.error, "services": through.get(each.trace, [])}
                for each in fitting
            ]
            if is_over:
                kept = bool(found or jaeger.spans(expected.service, span.start, span.end, limit=1))
        except GamedayError as refused:
            error = str(refused)
        asked = {"service": expected.service, "name": expected.name, "status": expected.status}
        self._write("spans", **asked, since=span.start, until=span.end, wall=wall, found=found, kept=kept, error=error)

    def _through(self, jaeger: Jaeger, spans: Sequence[TracedSpan]) -> dict[str, list[str]]:
        """Which services took part in the trace of each of `spans`."""
        traces = dict.fromkeys(span.trace for span in spans)
        return {trace: sorted({span.service for span in jaeger.trace(trace)}) for trace in traces}

    def _keep(self) -> None:
        view = self._view()
        if self._bench.jaeger is None or view.fault is None:
            return
        try:
            trace = next(self._candidates(view, view.fault), None)
            spans = self._bench.jaeger.trace(trace) if trace else ()
        except GamedayError as error:
            self._write("trace", trace=None, spans=[], lines=[], error=str(error))
            return
        if trace and spans:
            told = [{key: value for key, value in asdict(span).items() if key != "attributes"} for span in spans]
            lines = sorted(self._lines(trace, spans[0].start), key=lambda line: logs.wall(line["line"]) or 0.0)
            self._write("trace", trace=trace, spans=told, lines=lines[:_LINES_KEPT], error=None)

    def _candidates(self, view: View, fault: Span) -> Iterator[str]:
        """Traces that show the fault, the most telling first: what was expected, else what failed of the entry's."""
        for expected in self._traces:
            yield from (span.trace for span in trace_check.seen(view, expected, fault))
        for each in self._logs:
            yield from (str(line["trace_id"]) for line in log_check.written(view, each, fault) if "trace_id" in line)
        entry = self._bench.catalogue.entry
        if entry and self._bench.jaeger and fault.end < float("inf"):
            found = self._bench.jaeger.spans(entry, fault.start, fault.end, failed=True, limit=_TRACES)
            yield from (span.trace for span in found)

    def _lines(self, trace: str, since: float) -> Iterator[dict[str, Any]]:
        """What the services wrote about one request; what cannot be read is left out of a drawing, and no more."""
        for service, name in self._writers():
            path = self._bench.state.logs / f"{name}.log"
            if path.is_file():
                for text in logs.whole_lines(self._opened(path, since)):
                    line = logs.parse(text) if trace in text else None
                    if line is not None:
                        yield {"service": service, "line": redacted(line)}

    def _paths(self, service: str) -> list[Path]:
        return [self._bench.state.logs / f"{name}.log" for each, name in self._writers() if each == service]

    def _writers(self) -> Iterator[tuple[str, str]]:
        """Each service with who writes a log of it: where it has several replicas, they do."""
        return ((each["service"], each["name"]) for each in self._bench.status["services"])

    def _opened(self, path: Path, since: float) -> BinaryIO:
        file = self._open.enter_context(path.open("rb"))
        logs.seek(file, since)
        return file
