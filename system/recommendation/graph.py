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
    """interactions [batch, items] and limit [1] to items and scores [batch, limit], the best first.

    An interaction is 1 where the user has the item, which is then not recommended: it scores -inf.
    All of a request's arithmetic is here, so that little of it is left to Python.
    """
    best = ["batch", "limit"]
    graph = helper.make_graph(
        nodes=[
            helper.make_node("MatMul", ["interactions", "weights"], ["affinity"]),
            helper.make_node("Cast", ["interactions"], ["owned"], to=TensorProto.BOOL),
            helper.make_node("Where", ["owned", "never", "affinity"], ["wanted"]),
            helper.make_node("TopK", ["wanted", "limit"], ["scores", "items"], axis=1),
        ],
        name="ease",
        inputs=[
            helper.make_tensor_value_info("interactions", TensorProto.FLOAT, ["batch", weights.shape[0]]),
            helper.make_tensor_value_info("limit", TensorProto.INT64, [1]),
        ],
        outputs=[
            helper.make_tensor_value_info("items", TensorProto.INT64, best),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, best),
        ],
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
