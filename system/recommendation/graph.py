"""The model as an ONNX graph: what the service runs, whatever trained it."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Old enough for every onnxruntime that the project supports.
OPSET = 17
IR = 9


def build(weights: NDArray[np.float32], version: str) -> bytes:
    """interactions [batch, items] and mask [batch, items] to scores [batch, items].

    `mask` is 1 where an item may be recommended; the others score -inf.
    """
    items = weights.shape[0]
    shape = ["batch", items]
    graph = helper.make_graph(
        nodes=[
            helper.make_node("MatMul", ["interactions", "weights"], ["affinity"]),
            helper.make_node("Cast", ["mask"], ["allowed"], to=TensorProto.BOOL),
            helper.make_node("Where", ["allowed", "affinity", "never"], ["scores"]),
        ],
        name="ease",
        inputs=[
            helper.make_tensor_value_info("interactions", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, shape),
        ],
        outputs=[helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        initializer=[
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(-np.inf, np.float32), "never"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name, model.producer_version = "gameday-ease", version
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString()
    return serialized
