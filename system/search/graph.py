"""MiniLM as an ONNX graph: token ids to unit vectors, the pooling included.

The architecture is BERT's (Devlin et al., 2018) with the mean pooling and the
normalisation that sentence-transformers/all-MiniLM-L6-v2 was trained with. All
weights are as in the published file, so that one can be compared with the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Old enough for every onnxruntime that the project supports.
OPSET = 17
IR = 9
INPUT = "input_ids"
OUTPUT = "embedding"

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Shape:
    """What the weights themselves do not say."""

    layers: int
    heads: int
    epsilon: float


def build(weights: Weights, shape: Shape) -> onnx.ModelProto:
    """input_ids [batch, tokens], int64, to embedding [batch, width]. All texts of a batch have the same length.

    There is no mask: texts are embedded one at a time, so that there is no padding
    to compute, and no text has a share in the scales by which another's activations
    are quantised.
    """
    writer = _Writer(weights, shape)
    hidden = writer.embed()
    for number in range(shape.layers):
        hidden = writer.layer(hidden, f"encoder.layer.{number}")
    writer.pool(hidden)
    width = weights["embeddings.LayerNorm.weight"].shape[0]
    graph = helper.make_graph(
        nodes=writer.nodes,
        name="minilm",
        inputs=[helper.make_tensor_value_info(INPUT, TensorProto.INT64, ["batch", "tokens"])],
        outputs=[helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", width])],
        initializer=writer.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name = "gameday-minilm"
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Writes nodes one after the other; each method returns the name of what its nodes compute."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        self.weights = weights
        self.shape = shape
        self.width = weights["embeddings.LayerNorm.weight"].shape[0]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: set[str] = set()

    def embed(self) -> str:
        """The words' vectors, each at its position; a text is alone in its sequence, so its type is the first."""
        words = self._weight("embeddings.word_embeddings.weight")
        first_type = self.weights["embeddings.token_type_embeddings.weight"][0]
        typed = self.weights["embeddings.position_embeddings.weight"] + first_type
        positions = self._constant("positions", typed)
        length = self._node("Slice", self._node("Shape", INPUT), self._ints("one", 1), self._ints("two", 2))
        placed = self._node("Slice", positions, self._ints("zero", 0), length, self._ints("zero", 0))
        summed = self._node("Add", self._node("Gather", words, INPUT), placed)
        return self._normalised(summed, "embeddings.LayerNorm")

    def layer(self, hidden: str, name: str) -> str:
        attended = self._linear(self._attention(hidden, name), f"{name}.attention.output.dense")
        hidden = self._normalised(self._node("Add", hidden, attended), f"{name}.attention.output.LayerNorm")
        wide = self._gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        narrow = self._linear(wide, f"{name}.output.dense")
        return self._normalised(self._node("Add", hidden, narrow), f"{name}.output.LayerNorm")

    def pool(self, hidden: str) -> None:
        """The mean of the tokens, at length 1."""
        mean = self._node("ReduceMean", hidden, axes=[1], keepdims=0)
        norm = self._node("ReduceL2", mean, axes=[1], keepdims=1)
        self.nodes.append(helper.make_node("Div", [mean, norm], [OUTPUT]))

    def _attention(self, hidden: str, name: str) -> str:
        query, key, value = (self._heads(hidden, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        turned = self._node("Transpose", key, perm=[0, 1, 3, 2])
        scale = self._constant("scale", np.array((self.width / self.shape.heads) ** -0.5, np.float32))
        scores = self._node("Mul", self._node("MatMul", query, turned), scale)
        mixed = self._node("MatMul", self._node("Softmax", scores, axis=-1), value)
        joined = self._constant("joined", np.array([0, 0, self.width], np.int64))
        return self._node("Reshape", self._node("Transpose", mixed, perm=[0, 2, 1, 3]), joined)

    def _heads(self, hidden: str, name: str) -> str:
        """[batch, heads, tokens, width / heads]"""
        heads = self.shape.heads
        split = self._constant("split", np.array([0, 0, heads, self.width // heads], np.int64))
        return self._node("Transpose", self._node("Reshape", self._linear(hidden, name), split), perm=[0, 2, 1, 3])

    def _linear(self, hidden: str, name: str) -> str:
        matrix = self._constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        return self._node("Add", self._node("MatMul", hidden, matrix), self._weight(f"{name}.bias"))

    def _gelu(self, hidden: str) -> str:
        root = self._constant("root_of_two", np.array(np.sqrt(2), np.float32))
        erf = self._node("Erf", self._node("Div", hidden, root))
        share = self._node("Add", erf, self._constant("unit", np.array(1, np.float32)))
        half = self._constant("half", np.array(0.5, np.float32))
        return self._node("Mul", self._node("Mul", hidden, share), half)

    def _normalised(self, hidden: str, name: str) -> str:
        scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._node("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=self.shape.epsilon)

    def _weight(self, name: str) -> str:
        return self._constant(name, self.weights[name])

    def _ints(self, name: str, *values: int) -> str:
        return self._constant(name, np.array(values, np.int64))

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        if name not in self._known:
            self._known.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output
