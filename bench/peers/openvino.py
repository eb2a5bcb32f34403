"""OpenVINO: ScaledDotProductAttention, grouped heads by a Broadcast in the graph as its converters
write it, and PagedAttention, the operator of its LLM runtime, which stores the new tokens in every
call. The latter is built by a class without documentation, whose inputs are those of 2026.4."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import op as operators
from openvino import opset13 as ops

from peers.case import Case, Way, aligned

VERSION = f"OpenVINO {ov.__version__}"
PAGE = 32
TYPES = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16}


def tensor(x: np.ndarray) -> ov.Tensor:
    if x.dtype == np.uint16:
        return ov.Tensor(x, list(x.shape), ov.Type.bf16)
    return ov.Tensor(x, shared_memory=True)


class Model:
    """A compiled graph of one output, whose K and V change from call to call."""

    def __init__(self, case: Case, node: ov.Node, inputs: list[ov.Node], **options: object) -> None:
        options |= {"INFERENCE_NUM_THREADS": case.threads, "NUM_STREAMS": 1,
                    "INFERENCE_PRECISION_HINT": TYPES[case.dtype]}
        model = ov.Core().compile_model(ov.Model([node], inputs), "CPU", options)
        self.case, self.request = case, model.create_infer_request()
        self.arrays: list[object] = []  # tensors only refer to their memory

    def set(self, inputs: dict[int, np.ndarray]) -> None:
        self.arrays.append(inputs)
        for n, x in inputs.items():
            self.request.set_input_tensor(n, tensor(x))

    def way(self, k_input: int, k: np.ndarray, v: np.ndarray, shape: tuple[int, ...],
            order: tuple[int, ...]) -> Way:
        pairs = self.case.take_turns(k, v)
        tensors = [(tensor(k), tensor(v)) for k, v in pairs]
        self.arrays.append(pairs)
        set_to = -1

        def call(n: int) -> None:
            nonlocal set_to
            if n != set_to:
                self.request.set_input_tensor(k_input, tensors[n][0])
                self.request.set_input_tensor(k_input + 1, tensors[n][1])
                set_to = n
            self.request.infer()

        def read(_: None) -> np.ndarray:
            out = self.request.get_output_tensor(0)
            data = out.data
            if out.element_type == ov.Type.bf16:
                data = self.case.read(np.frombuffer(data.tobytes(), np.uint16))
            return data.astype(np.float32).reshape(shape).transpose(order)

        return Way(call, read)


def sdpa(case: Case) -> Way:
    case.refuse_unless(case.group <= 8, "groups up to 8 (every call repeats K and V)")
    kind = TYPES[case.dtype]
    inputs = [ops.parameter(list(x.shape), kind) for x in (case.q, case.k, case.v)]

    def repeated(x: ov.Node, dim: int) -> ov.Node:
        if case.group == 1:
            return x
        groups = [case.batch, case.kv_heads, case.group, case.keys, dim]
        x = ops.broadcast(ops.unsqueeze(x, ops.constant([2])), ops.constant(groups))
        return ops.reshape(x, ops.constant([0, case.heads, -1, dim]), True)

    parts = [inputs[0], repeated(inputs[1], case.dim), repeated(inputs[2], case.v_dim)]
    masked = case.causal and case.rows != case.keys
    if masked:
        inputs.append(ops.parameter([1, 1, case.rows, case.keys], kind))
        parts.append(inputs[3])
    node = ops.scaled_dot_product_attention(*parts, causal=case.causal and not masked)
    model = Model(case, node, inputs, PERFORMANCE_HINT="LATENCY")
    model.set({0: case.stored(case.q)})
    if masked:
        model.set({3: case.stored(np.maximum(case.mask(), -60000)[None, None])})
    shape = case.batch, case.heads, case.rows, case.v_dim
    return model.way(1, case.stored(case.k), case.stored(case.v), shape, (0, 1, 2, 3))


def paged(case: Case) -> Way:
    case.refuse_unless(case.dim == case.v_dim, "head_dim equal to v_dim")
    case.refuse_unless(case.causal or case.rows == 1, "causal calls")
    kind, heads, dim = TYPES[case.dtype], case.kv_heads, case.dim
    tokens = [[-1, n * dim] for n in (case.heads, heads, heads)]
    inputs = [ops.parameter(s, kind) for s in (*tokens, *[[-1, heads, PAGE, dim]] * 2)]
    inputs += [ops.parameter(s, ov.Type.i32) for s in ([-1], [-1], [-1], [-1], [])]
    names = ("query key value key_cache.0 value_cache.0 past_lens subsequence_begins block_indices "
             "block_indices_begins max_context_len")
    for node, name in zip(inputs, names.split()):
        node.set_friendly_name(name)
        node.output(0).get_tensor().set_names({name})

    def whole(*shape: int) -> ov.Node:
        return ops.constant(np.zeros(shape, np.int32))

    def real(*shape: int) -> ov.Node:
        return ops.constant(np.zeros(shape, np.float32))

    def number(n: int) -> ov.Node:
        return ops.constant(np.array(n, np.int32))

    rest = [whole(0), whole(0), whole(0), real(0), real(0), number(64), number(8), real(0, 1, 1, 1),
            number(0), whole(0), whole(0), whole(0), whole(0), ops.constant(np.zeros(0, np.uint8)),
            whole(0)]
    scale = ops.constant(np.array(case.scale, np.float32))
    # 11, 12: sliding window, ALiBi slopes
    parts = [*inputs[:9], scale, number(0), real(0), inputs[9], *rest]
    node = operators._PagedAttentionExtension([x.output(0) for x in parts])
    for name, n in (("num_k_heads", heads), ("k_head_size", dim), ("num_v_heads", heads),
                    ("v_head_size", dim)):
        node.get_rt_info()[name] = n
    model = Model(case, node.output(0), inputs, KV_CACHE_PRECISION=kind)

    def by_token(x: np.ndarray) -> np.ndarray:
        return case.stored(x.transpose(0, 2, 1, 3).reshape(-1, x.shape[1] * dim))

    pages, past = -(-case.keys // PAGE), case.keys - case.rows
    table = np.random.default_rng(1).permutation(case.batch * pages).astype(np.int32)

    def cache(x: np.ndarray) -> np.ndarray:
        padded = np.zeros((case.batch, heads, pages * PAGE, dim), np.float32)
        padded[:, :, : case.keys] = x
        padded = padded.reshape(case.batch, heads, pages, PAGE, dim).transpose(0, 2, 1, 3, 4)
        return case.stored(padded.reshape(-1, heads, PAGE, dim)[np.argsort(table)])

    sequences = np.arange(case.batch + 1, dtype=np.int32)
    model.set({0: by_token(case.q), 1: by_token(case.k[:, :, past:]),
               2: by_token(case.v[:, :, past:]), 5: np.full(case.batch, past, np.int32),
               6: sequences * np.int32(case.rows), 7: aligned(table),
               8: sequences * np.int32(pages), 9: np.array(case.keys, np.int32)})
    shape = case.batch, case.rows, case.heads, dim
    return model.way(3, cache(case.k), cache(case.v), shape, (0, 2, 1, 3))


WAYS = {"paged": paged, "SDPA": sdpa}
