"""Serves the registered model. At the very first start, when there is none, it is trained: less than a second."""

from __future__ import annotations

import sys
from pathlib import Path

from system.kit import app, settings
from system.recommendation import registry
from system.recommendation.app import Settings, create
from system.recommendation.device import NoDeviceError


def ensure_model(directory: Path) -> None:
    try:
        registry.current(directory)
    except registry.NoModel:
        # Only here: onnx is needed to write a graph, never to run one.
        from system.recommendation.train import train

        train(directory)


def main() -> None:
    chosen = settings.load(Settings)
    ensure_model(chosen.model_dir)
    try:
        service = create(chosen)
    except (registry.CorruptModel, registry.NoModel, NoDeviceError) as error:
        sys.exit(f"the model was refused: {error}")
    app.run(service, chosen)


if __name__ == "__main__":
    main()
