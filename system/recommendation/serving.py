"""Which model serves: loaded and tried before it replaces the one before it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from system.kit import signals, telemetry
from system.recommendation import registry
from system.recommendation.model import load
from system.recommendation.registry import CorruptModel, NoModel


class Serving:
    """`model` is always whole: a request that has begun keeps the one it began with."""

    def __init__(self, directory: Path) -> None:
        """Loads the registry's current model. Raises NoModel, CorruptModel."""
        self._directory = directory
        signals.announce_model()
        self._stamp = _stamp(directory)
        self.model = load(registry.entry(directory))
        _tell("loaded", self.model.version)

    async def watch(self, interval: float) -> None:
        """Takes over what becomes current, looking every `interval` seconds; refuses what is corrupt and serves on."""
        while True:
            await asyncio.sleep(interval)
            await self.refresh()

    async def refresh(self) -> bool:
        """Whether another model serves now."""
        stamp = _stamp(self._directory)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.model = await asyncio.to_thread(lambda: load(registry.entry(self._directory)))
        except (CorruptModel, NoModel) as error:
            _tell("refused", self.model.version, error=str(error))
            return False
        _tell("loaded", self.model.version)
        return True


def _tell(result: signals.ModelLoad, serving: str, error: str | None = None) -> None:
    signals.MODEL_LOADS.labels(result).inc()
    signals.MODEL_INFO.clear()
    signals.MODEL_INFO.labels(serving).set(1)
    log = telemetry.logger().bind(action=f"model-{result}", modelVersion=serving)
    if error:
        log.error(signals.LOG_MODEL, error=error)
    else:
        log.info(signals.LOG_MODEL)


def _stamp(directory: Path) -> tuple[str, tuple[tuple[str, int, int], ...]]:
    """Changes when another version becomes current or a file of the current one is touched."""
    try:
        version = registry.current(directory)
        files = sorted((directory / version).iterdir())
        return version, tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except (NoModel, OSError):
        return "", ()
