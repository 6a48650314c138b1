"""Where the graph runs, and what is said where it cannot run there."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from system.recommendation import graph
from system.recommendation.device import NoDeviceError, Runner

GRAPH = graph.build(np.array([[0, 2], [3, 0]], np.float32), "test")
FEEDS = {"interactions": np.array([[1, 0]], np.float32), "limit": np.array([2], np.int64)}
OUTPUTS = ("items", "scores")
BEST = [[[1, 0]], [[2, -np.inf]]]

without_gpu = pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="has CUDA")


def test_on_the_cpu_it_ranks_what_the_user_has_last() -> None:
    runner = Runner(GRAPH)
    assert runner.device == "cpu"
    assert [found.tolist() for found in runner.run(FEEDS, OUTPUTS)] == BEST


def test_bound_to_a_device_it_ranks_the_same() -> None:
    assert [found.tolist() for found in Runner(GRAPH).run_bound(FEEDS, OUTPUTS)] == BEST


@without_gpu
def test_without_cuda_a_wish_for_it_is_refused_with_the_mend() -> None:
    with pytest.raises(NoDeviceError, match=r"requirements/gpu\.txt"):
        Runner(GRAPH, "cuda")


@without_gpu
def test_auto_runs_on_the_cpu_where_there_is_no_cuda() -> None:
    assert Runner(GRAPH, "auto").device == "cpu"


def test_a_provider_that_cannot_load_is_no_silent_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a CUDA build on a machine without a GPU: the name is there, the session runs on the CPU."""
    session = onnxruntime.InferenceSession(GRAPH, providers=["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: session)
    with pytest.raises(NoDeviceError):
        Runner(GRAPH, "cuda")
    assert Runner(GRAPH, "auto").device == "cpu"
