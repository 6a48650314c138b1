"""Which model serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from system.recommendation import registry, train
from system.recommendation.serving import Serving


@pytest.fixture
def models(tmp_path: Path) -> Path:
    train.train(tmp_path)
    return tmp_path


async def test_a_new_current_model_takes_over(models: Path) -> None:
    serving = Serving(models)
    newer = train.train(models, seed=7).version
    assert serving.model.version != newer
    assert await serving.refresh()
    assert serving.model.version == newer


async def test_a_corrupt_model_is_refused_and_the_old_one_serves_on(models: Path) -> None:
    serving = Serving(models)
    old = serving.model
    (models / old.version / "model.onnx").write_bytes(b"spoiled")
    assert not await serving.refresh()
    assert serving.model is old


async def test_a_registry_that_vanishes_does_not_end_the_service(models: Path) -> None:
    serving = Serving(models)
    (models / registry.CURRENT).unlink()
    assert not await serving.refresh()
    assert len(serving.model.history("user-0001"))


async def test_nothing_is_loaded_again_while_nothing_changes(models: Path) -> None:
    assert not await Serving(models).refresh()
