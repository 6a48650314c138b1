"""Serves the registered model. Where there is none, or one of an older form, it is trained: less than a second."""

from __future__ import annotations

import sys
from pathlib import Path

from system.kit import app, settings
from system.recommendation import registry
from system.recommendation.app import Settings, create
from system.recommendation.device import NoDeviceError


def ensure_model(directory: Path) -> None:
    try:
        registry.entry(directory)
    except registry.NoModel:
        # Only here: onnx is needed to write a graph, never to run one.
        from system.recommendation.train import train

        train(directory)


def main() -> None:
    chosen = settings.load(Settings)
    try:
        ensure_model(chosen.model_dir)
        service = create(chosen)
    except (registry.CorruptModel, registry.NoModel, NoDeviceError) as error:
        sys.exit(f"the model was refused: {error}")
    app.run(service, chosen)


if __name__ == "__main__":
    main()
