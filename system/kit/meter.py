"""What an exchange with the model took: time, tokens, money, and whether it failed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from opentelemetry.trace import SpanKind, Status, StatusCode

from system.kit import signals, telemetry
from system.kit.llm import Usage

MILLION = 1_000_000
OPERATION = "chat"


@dataclass(frozen=True)
class Meter:
    """Prices in US dollars for a million tokens. `edge` is "consumer->provider"; without the model it `falls_back`."""

    edge: str
    model: str
    input_price: float
    output_price: float
    falls_back: bool = True

    def announce(self) -> None:
        signals.announce_edge(self.edge, falls_back=self.falls_back)
        signals.announce_language_model(self.model)

    def exchange(self) -> Exchange:
        return Exchange(self)


class Exchange:
    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._started = time.perf_counter()
        self._silent = True
        # Named by OpenTelemetry's GenAI conventions.
        attributes = {"gen_ai.operation.name": OPERATION, "gen_ai.request.model": meter.model, "edge": meter.edge}
        self._span = telemetry.late_span(f"{OPERATION} {meter.model}", SpanKind.CLIENT, attributes=attributes)

    def heard(self) -> None:
        if self._silent:
            self._silent = False
            signals.GEN_AI_FIRST_CHUNK.labels(self._meter.model).observe(self._seconds())

    def ended(self, usage: Usage) -> None:
        meter = self._meter
        signals.INFERENCE_DURATION.labels(meter.model, meter.edge.partition("->")[0]).observe(self._seconds())
        signals.EDGE_DURATION.labels(meter.edge).observe(self._seconds())
        signals.EDGE_REQUESTS.labels(meter.edge, "success").inc()
        signals.GEN_AI_TOKENS.labels(meter.model, "input").observe(usage.input_tokens)
        signals.GEN_AI_TOKENS.labels(meter.model, "output").observe(usage.output_tokens)
        cost = usage.input_tokens * meter.input_price + usage.output_tokens * meter.output_price
        signals.GEN_AI_COST.labels(meter.model).inc(cost / MILLION)
        self._span.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
        self._span.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
        self._span.end()

    def failed(self, reason: signals.FallbackReason, detail: str) -> None:
        """Cut off where something was heard, else a fallback where there is one."""
        edge = self._meter.edge
        signals.EDGE_REQUESTS.labels(edge, "short_circuit" if reason == "open" else "failure").inc()
        log = telemetry.logger().bind(edge=edge, reason=reason, error=detail)
        if self._silent and self._meter.falls_back:
            signals.FALLBACK.labels(edge, reason).inc()
            log.warning(signals.LOG_FALLBACK)
        else:
            log.warning(signals.LOG_EDGE_FAILURE)
        self._span.set_status(Status(StatusCode.ERROR, detail))
        self._span.end()

    def _seconds(self) -> float:
        return time.perf_counter() - self._started
