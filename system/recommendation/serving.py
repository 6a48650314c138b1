"""Which model serves: loaded and tried before it replaces the one before it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from system.kit import signals, telemetry
from system.recommendation import registry
from system.recommendation.device import Choice, NoDeviceError
from system.recommendation.model import load
from system.recommendation.registry import CorruptModel, NoModel


class Serving:
    """`model` is always whole: a request that has begun keeps the one it began with."""

    def __init__(self, directory: Path, device: Choice = "cpu") -> None:
        """Loads the registry's current model. Raises NoModel, CorruptModel, NoDeviceError."""
        self._directory = directory
        self._device = device
        signals.announce_model()
        self._stamp = _stamp(directory)
        self.model = load(registry.entry(directory), device)
        _tell("loaded", self.model.version, device=self.model.device)

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
            self.model = await asyncio.to_thread(lambda: load(registry.entry(self._directory), self._device))
        except (CorruptModel, NoModel, NoDeviceError) as error:
            _tell("refused", self.model.version, error=str(error))
            return False
        _tell("loaded", self.model.version, device=self.model.device)
        return True


def _tell(result: signals.ModelLoad, serving: str, **facts: str) -> None:
    signals.MODEL_LOADS.labels(result).inc()
    signals.MODEL_INFO.clear()
    signals.MODEL_INFO.labels(serving).set(1)
    log = telemetry.logger().bind(action=f"model-{result}", modelVersion=serving)
    if result == "refused":
        log.error(signals.LOG_MODEL, **facts)
    else:
        log.info(signals.LOG_MODEL, **facts)


def _stamp(directory: Path) -> tuple[str, tuple[tuple[str, int, int], ...]]:
    """Changes when another version becomes current or a file of the current one is touched."""
    try:
        version = registry.current(directory)
        files = sorted((directory / version).iterdir())
        return version, tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except (NoModel, OSError):
        return "", ()
