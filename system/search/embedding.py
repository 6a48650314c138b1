"""The embedder as the service uses it: taken into service when it is whole, off the event loop, guarded."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from system.kit import signals, telemetry
from system.kit.client import UnavailableError
from system.search import embedder
from system.search.embedder import CorruptModelError, Embedder, NoModelError, Vector
from system.search.guard import Guard

EDGE = "search-svc->embedder"
MODEL = "minilm"


class Embedding:
    """Without a model everything but `embed` works. A model that comes, or is mended, is taken into service."""

    def __init__(self, directory: Path, guard: Guard) -> None:
        self._directory = directory
        self._guard = guard
        self._embedder: Embedder | None = None
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._executor = ThreadPoolExecutor(1, "embedder")
        signals.announce_model()

    @property
    def version(self) -> str | None:
        return self._embedder.version if self._embedder else None

    async def embed(self, text: str) -> Vector:
        """Raises UnavailableError."""
        with telemetry.TRACER.start_as_current_span(signals.SPAN_EMBED_TEXT) as span:
            span.set_attribute("model.version", self.version or "none")
            return await self._guard.ask(lambda: self._embed(text))

    async def watch(self, interval: float) -> None:
        """Looks every `interval` seconds whether there is another model. Runs for as long as the service does."""
        while True:
            await self.refresh()
            await asyncio.sleep(interval)

    async def refresh(self) -> None:
        """Takes over a model that is new. One that is corrupt is refused, and the one before it serves on."""
        stamp = _stamp(self._directory)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._embedder = await asyncio.to_thread(embedder.load, self._directory)
        except (CorruptModelError, NoModelError) as error:
            _tell("refused", self.version, str(error))
        else:
            _tell("loaded", self.version)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _embed(self, text: str) -> Vector:
        model = self._embedder
        if model is None:
            raise UnavailableError(EDGE, "connection", "there is no model")
        return await asyncio.get_running_loop().run_in_executor(self._executor, _timed, model, text)


def _timed(model: Embedder, text: str) -> Vector:
    started = time.perf_counter()
    vector = model.embed(text)
    signals.INFERENCE_DURATION.labels(MODEL, "search-svc").observe(time.perf_counter() - started)
    return vector


def _tell(result: signals.ModelLoad, serving: str | None, error: str | None = None) -> None:
    signals.MODEL_LOADS.labels(result).inc()
    signals.MODEL_INFO.clear()
    log = telemetry.logger(f"model-{result}").bind(modelVersion=serving)
    if serving:
        signals.MODEL_INFO.labels(serving).set(1)
    if error:
        log.error(signals.LOG_MODEL, error=error)
    else:
        log.info(signals.LOG_MODEL)


def _stamp(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes with any of the model's files."""
    try:
        stats = [(name, (directory / name).stat()) for name in (embedder.GRAPH, embedder.TOKENIZER, embedder.MANIFEST)]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
