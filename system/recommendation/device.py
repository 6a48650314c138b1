"""Where the graph runs. onnxruntime falls back to the CPU without a word; here it is said or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

Choice = Literal["cpu", "cuda", "auto"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
Tensor = NDArray[Any]


class NoDeviceError(Exception):
    """The device that was asked for cannot run the graph."""


class Runner:
    """One session of one thread: several requests at a time are batched, not run side by side."""

    def __init__(self, graph: bytes, choice: Choice = "cpu") -> None:
        """Raises NoDeviceError, and onnxruntime's own errors for a graph that is none."""
        # Only here: who does not load a model does not pay for the runtime.
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=_wanted(onnxruntime, choice))
        self.device = "cuda" if PROVIDERS["cuda"] in self._session.get_providers() else "cpu"
        if choice not in ("auto", self.device):
            raise NoDeviceError(_REFUSAL)

    @property
    def inputs(self) -> set[str]:
        return {given.name for given in self._session.get_inputs()}

    def run(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
        if self.device == "cuda":
            return self.run_bound(feeds, outputs)
        found: list[Tensor] = self._session.run(outputs, feeds)
        return found

    def run_bound(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """With one copy each way; whatever lies between the graph's nodes stays on the device."""
        binding: Any = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        for name in outputs:
            binding.bind_output(name, self.device)
        self._session.run_with_iobinding(binding)
        found: list[Tensor] = binding.copy_outputs_to_cpu()
        return found


_REFUSAL = (
    "MODEL_DEVICE=cuda, and onnxruntime cannot use CUDA here; "
    "install requirements/gpu.txt on a machine with a GPU, or set MODEL_DEVICE=auto to run on the CPU without one"
)


def _wanted(onnxruntime: Any, choice: Choice) -> list[str]:
    """Without the provider's name in its build, onnxruntime would drop the wish with a warning."""
    available = onnxruntime.get_available_providers()
    if choice == "cpu" or (choice == "auto" and PROVIDERS["cuda"] not in available):
        return [PROVIDERS["cpu"]]
    if PROVIDERS["cuda"] not in available:
        raise NoDeviceError(_REFUSAL)
    return [PROVIDERS["cuda"], PROVIDERS["cpu"]]
