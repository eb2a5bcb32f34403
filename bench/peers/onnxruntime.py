"""ONNX Runtime: GroupQueryAttention, which stores the new tokens in a cache in every call (past and
present share it), MultiHeadAttention with K and V repeated beforehand (not timed), and ONNX's own
Attention."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from peers.case import Case, Way

VERSION = f"ONNX Runtime {ort.__version__}"
CONTRIB = "com.microsoft"


class Model:
    """One operator. Arrays of `turns` are those of which there are copies; `shared` names outputs
    that are written to the memory of one of them."""

    def __init__(self, case: Case, node: onnx.NodeProto, still: dict[str, np.ndarray],
                 turns: dict[str, np.ndarray], out: tuple[int, ...],
                 shared: dict[str, str] | None = None) -> None:
        self.case, shared = case, shared or {}
        kind = {"fp32": TensorProto.FLOAT, "bf16": TensorProto.BFLOAT16}[case.dtype]

        def info(name: str, x: np.ndarray) -> onnx.ValueInfoProto:
            of = TensorProto.INT32 if x.dtype == np.int32 else kind
            return helper.make_tensor_value_info(name, of, list(x.shape))

        def value(x: np.ndarray) -> ort.OrtValue:
            if x.dtype == np.uint16:
                return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(x, kind)
            return ort.OrtValue.ortvalue_from_numpy(x)

        zeros = case.stored(np.zeros(out, np.float32))
        self.arrays = [still, zeros, case.take_turns(*turns.values())]
        graph = helper.make_graph(
            [node], "attention", [info(*item) for item in (still | turns).items()],
            [info("out", zeros)] + [info(o, turns[i]) for o, i in shared.items()])
        sets = [helper.make_opsetid("", 23), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=11)
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(model.SerializeToString(), options,
                                            providers=["CPUExecutionProvider"])
        self.out, self.bindings = value(zeros), []
        still_values = {name: value(x) for name, x in still.items()}
        for arrays in self.arrays[2]:
            values = still_values | {n: value(x) for n, x in zip(turns, arrays)}
            binding = self.session.io_binding()
            for name, x in values.items():
                binding.bind_ortvalue_input(name, x)
            binding.bind_ortvalue_output("out", self.out)
            for name, place in shared.items():
                binding.bind_ortvalue_output(name, values[place])
            self.bindings.append((binding, values))

    def call(self, n: int) -> None:
        self.session.run_with_iobinding(self.bindings[n][0])

    def read(self, _: None) -> np.ndarray:
        return self.case.read(self.out.numpy())

    def read_by_token(self, _: None) -> np.ndarray:
        case = self.case
        shape = case.batch, case.rows, case.heads, case.v_dim
        return self.read(None).reshape(shape).transpose(0, 2, 1, 3)


def by_token(case: Case, x: np.ndarray) -> np.ndarray:
    """[batch, tokens, heads * dim]."""
    return case.stored(x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1))


def grouped(case: Case) -> Way:
    case.refuse_unless(case.dim == case.v_dim, "head_dim equal to v_dim")
    case.refuse_unless(case.causal or case.rows == 1, "causal calls")
    node = helper.make_node(
        "GroupQueryAttention", ["q", "k", "v", "past_k", "past_v", "last", "total"],
        ["out", "present_k", "present_v"], domain=CONTRIB, num_heads=case.heads,
        kv_num_heads=case.kv_heads, scale=case.scale)
    new = case.keys - case.rows
    still = {"q": by_token(case, case.q), "k": by_token(case, case.k[:, :, new:]),
             "v": by_token(case, case.v[:, :, new:]),
             "last": np.full(case.batch, case.keys - 1, np.int32),
             "total": np.array(case.keys, np.int32)}
    caches = {"past_k": case.stored(case.k), "past_v": case.stored(case.v)}
    model = Model(case, node, still, caches, (case.batch, case.rows, case.heads * case.dim),
                  {"present_k": "past_k", "present_v": "past_v"})
    return Way(model.call, model.read_by_token)


def multi_head(case: Case) -> Way:
    case.refuse_unless(case.group == 1 or case.copies == 1, "K and V that stay in cache")
    case.refuse_unless(case.group <= 8, "groups up to 8")
    case.refuse_unless(not case.causal or case.rows == case.keys, "as many keys as rows if causal")
    node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["out"], domain=CONTRIB,
                            num_heads=case.heads, scale=case.scale, unidirectional=int(case.causal))
    pair = {"k": by_token(case, np.repeat(case.k, case.group, 1)),
            "v": by_token(case, np.repeat(case.v, case.group, 1))}
    model = Model(case, node, {"q": by_token(case, case.q)}, pair,
                  (case.batch, case.rows, case.heads * case.v_dim))
    return Way(model.call, model.read_by_token)


def attention(case: Case) -> Way:
    still = {"q": case.stored(case.q)}
    masked = case.causal and case.rows != case.keys
    if masked:
        still["mask"] = case.stored(np.maximum(case.mask(), -60000))
    node = helper.make_node("Attention", ["q", "k", "v"] + ["mask"] * masked, ["out"],
                            is_causal=int(case.causal and not masked), scale=case.scale)
    model = Model(case, node, still, {"k": case.stored(case.k), "v": case.stored(case.v)},
                  (case.batch, case.heads, case.rows, case.v_dim))
    return Way(model.call, model.read)


WAYS = {"GroupQueryAttention": grouped, "MultiHeadAttention": multi_head, "Attention": attention}
