"""The embedding model in memory: text to a vector of length 1, by one ONNX session of one thread.

Its directory holds what `python -m system.search.embedder_build` wrote:
- `model.onnx`: the graph
- `tokenizer.json`: how text becomes the graph's input
- `manifest.json`: version, sha256 of each file, and a text with the vector that it must have
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAPH, TOKENIZER, MANIFEST = "model.onnx", "tokenizer.json", "manifest.json"
# Cosine to the double-precision vector: what 8-bit weights leave of it, and no broken graph or processor does.
LEAST_LIKENESS = 0.98
_MEND = "make it with `python -m system.search.embedder_build`"

Vector = NDArray[np.float32]


class NoModelError(Exception):
    """There is no model in the directory."""


class CorruptModelError(Exception):
    """The files are not what was written, or do not compute what they did. The message names the mend."""


@dataclass(frozen=True)
class Manifest:
    version: str
    sha256: dict[str, str]
    reference_text: str
    reference_vector: list[float]


def load(directory: Path) -> Embedder:
    """Takes about a tenth of a second. Raises NoModelError, CorruptModelError."""
    if not (directory / MANIFEST).is_file():
        raise NoModelError(f"{directory} holds no {MANIFEST}; {_MEND}")
    try:
        manifest = Manifest(**json.loads((directory / MANIFEST).read_bytes()))
        embedder = Embedder(manifest.version, _read(directory, GRAPH, manifest), _read(directory, TOKENIZER, manifest))
        likeness = float(embedder.embed(manifest.reference_text) @ np.array(manifest.reference_vector))
    except CorruptModelError:
        raise
    except Exception as error:  # whatever a file makes its reader say
        raise CorruptModelError(f"{directory}: {type(error).__name__}: {error}; {_MEND}") from error
    if not likeness >= LEAST_LIKENESS:
        raise CorruptModelError(f"{directory}: a known text's vector is off: cosine {likeness:.3f}; {_MEND}")
    return embedder


class Embedder:
    def __init__(self, version: str, graph: bytes, tokenizer: bytes) -> None:
        # Only here: who does not load a model does not pay for the runtime.
        from tokenizers import Tokenizer

        self.version = version
        self._session = _session(graph)
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())
        # Truncation stays as the file says: at the 128 tokens that the model was trained with.
        self._tokenizer.no_padding()

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def embed(self, text: str) -> Vector:
        vector: Vector = self._session.run(None, {"input_ids": np.array([self.tokens(text)])})[0][0]
        return vector


def _read(directory: Path, name: str, manifest: Manifest) -> bytes:
    content = (directory / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.sha256.get(name):
        raise CorruptModelError(f"{directory / name}: its sha256 is not the one in {MANIFEST}; {_MEND}")
    return content


def _session(graph: bytes) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
