"""ggml, the library under llama.cpp: ggml_flash_attn_ext on its CPU backend. Queries and output are
f32 and the mask f16, as llama.cpp has them; K and V are of the case's dtype."""

from __future__ import annotations

import ctypes
import pathlib
import sys

import numpy as np

from peers.case import Case, Way

FOLDER = pathlib.Path(sys.prefix) / "lib"  # where tools/setup puts libggml-*.so
KINDS = {"fp32": 0, "fp16": 1, "bf16": 30}  # enum ggml_type
POINTER, INT, FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", POINTER), ("no_alloc", ctypes.c_bool)]


BASE = ctypes.CDLL(str(FOLDER / "libggml-base.so"), ctypes.RTLD_GLOBAL)
CPU = ctypes.CDLL(str(FOLDER / "libggml-cpu.so"), ctypes.RTLD_GLOBAL)
for library, name, result, *arguments in (
    (BASE, "ggml_version", ctypes.c_char_p),
    (BASE, "ggml_init", POINTER, InitParams),
    (BASE, "ggml_get_data", POINTER, POINTER),
    (BASE, "ggml_nbytes", ctypes.c_size_t, POINTER),
    (BASE, "ggml_new_tensor_4d", POINTER, POINTER, INT, *[ctypes.c_int64] * 4),
    (BASE, "ggml_flash_attn_ext", POINTER, *[POINTER] * 5, *[FLOAT] * 3),
    (BASE, "ggml_new_graph", POINTER, POINTER),
    (BASE, "ggml_build_forward_expand", None, POINTER, POINTER),
    (BASE, "ggml_backend_graph_compute", INT, POINTER, POINTER),
    (CPU, "ggml_backend_cpu_init", POINTER),
    (CPU, "ggml_backend_cpu_set_n_threads", None, POINTER, INT),
):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments

VERSION = f"ggml {BASE.ggml_version().decode()}"


class Flash:
    """A graph for every copy of K and V, in one memory of ggml's."""

    def __init__(self, case: Case) -> None:
        q, k, v = np.ascontiguousarray(case.q), case.stored(case.k), case.stored(case.v)
        self.shape = case.batch, case.rows, case.heads, case.v_dim
        size = q.nbytes + (q.nbytes + k.nbytes + v.nbytes) * case.copies
        size += 2 * case.rows * case.keys + (64 << 20)
        self.context = BASE.ggml_init(InitParams(size, None, False))
        self.backend = CPU.ggml_backend_cpu_init()
        CPU.ggml_backend_cpu_set_n_threads(self.backend, case.threads)
        queries, mask = self.tensor(q, "fp32"), None
        if case.causal:
            mask = self.tensor(case.mask().astype(np.float16)[None, None], "fp16")
        self.graphs = []
        for _ in range(case.copies):
            pair = self.tensor(k, case.dtype), self.tensor(v, case.dtype)
            out = BASE.ggml_flash_attn_ext(self.context, queries, *pair, mask, case.scale, 0.0, 0.0)
            graph = BASE.ggml_new_graph(self.context)
            BASE.ggml_build_forward_expand(graph, out)
            self.graphs.append((graph, out))

    def tensor(self, x: np.ndarray, kind: str) -> int:
        batch, heads, tokens, dim = x.shape
        place = BASE.ggml_new_tensor_4d(self.context, KINDS[kind], dim, tokens, heads, batch)
        if BASE.ggml_nbytes(place) != x.nbytes:
            raise RuntimeError(f"tensor has {BASE.ggml_nbytes(place)} bytes, not {x.nbytes}")
        ctypes.memmove(BASE.ggml_get_data(place), x.ctypes.data, x.nbytes)
        return place

    def call(self, n: int) -> int:
        BASE.ggml_backend_graph_compute(self.backend, self.graphs[n][0])
        return n

    def read(self, n: int) -> np.ndarray:
        at = BASE.ggml_get_data(self.graphs[n][1])
        data = (ctypes.c_float * int(np.prod(self.shape))).from_address(at)
        return np.ctypeslib.as_array(data).reshape(self.shape).transpose(0, 2, 1, 3)


def flash_attn_ext(case: Case) -> Way:
    flash = Flash(case)
    return Way(flash.call, flash.read)


WAYS = {"flash_attn_ext": flash_attn_ext}
