"""Spans on their way to the collector, and a count of those that never got there: else nobody knows what is missing.

Not counted is what the SDK drops before, where more than its queue holds (2048 spans) come while one batch is tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from system.kit import signals


class Exporter(OTLPSpanExporter):
    """Where OTEL_EXPORTER_OTLP_ENDPOINT says. Tries a batch for OTEL_EXPORTER_OTLP_TIMEOUT seconds (10)."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            signals.SPANS_LOST.inc(len(spans))
        return result
