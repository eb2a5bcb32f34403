"""SGLang's CPU operators, which vLLM's library holds too: extend, new tokens behind a prefix, and
decode, which stores each sequence's newest token in every call. Both find tokens one by one."""

from __future__ import annotations

import torch

from peers.case import Case, Way
from peers.torch import read, tensor
from peers.vllm import OPS, by_token
from peers.vllm import VERSION as LIBRARY

VERSION = f"SGLang's of {LIBRARY}"
SPLITS = 8  # of a sequence's keys, as SGLang's


def places(case: Case) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where each sequence's tokens lie, the sequences, and their lengths."""
    tokens = torch.arange(case.batch * case.keys, dtype=torch.int32)
    lengths = torch.full((case.batch,), case.keys, dtype=torch.int64)
    return tokens.reshape(case.batch, case.keys), torch.arange(case.batch), lengths


def extend(case: Case) -> Way:
    case.refuse_unless(case.causal, "causal calls")
    torch.set_num_threads(case.threads)
    q, k, v = (by_token(tensor(case, x)) for x in (case.q, case.k, case.v))
    new = case.keys - case.rows
    new_k, new_v = (by_token(tensor(case, x[:, :, new:])) for x in (case.k, case.v))
    counts = torch.full((case.batch,), case.rows, dtype=torch.int32)
    starts = torch.arange(0, case.batch * case.rows, case.rows, dtype=torch.int32)
    out = torch.zeros(len(q), case.heads, case.v_dim, dtype=q.dtype)
    where = places(case)

    def call(_: int) -> torch.Tensor:
        OPS.extend_attention_cpu(q, new_k, new_v, out, k, v, *where, counts, starts, case.rows,
                                 case.scale, 0.0, False, -1, None, None, None)
        return out

    shape = case.batch, case.rows, case.heads, case.v_dim
    return Way(call, lambda out: read(out.reshape(shape).transpose(1, 2)))


def decode(case: Case) -> Way:
    case.refuse_unless(case.rows == 1, "one row a sequence")
    torch.set_num_threads(case.threads)
    q = tensor(case, case.q).reshape(case.batch, case.heads, case.dim)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        k = by_token(tensor(case, case.k))
        return k, k[..., : case.v_dim] if case.v_in_k else by_token(tensor(case, case.v))

    pairs, where = [pair() for _ in range(case.copies)], places(case)
    newest = where[0][:, -1].long().contiguous()
    new_k, new_v = (x[newest].contiguous() for x in pairs[0])
    parts = torch.empty(case.batch, case.heads, SPLITS, case.v_dim + 1)
    out = torch.zeros(case.batch, case.heads, case.v_dim, dtype=q.dtype)

    def call(n: int) -> torch.Tensor:
        OPS.decode_attention_cpu(q, *pairs[n], out, new_k, new_v, newest, parts, *where, case.scale,
                                 0.0, False, -1, None, None)
        return out

    return Way(call, lambda out: read(out.unsqueeze(2)))


WAYS = {"extend": extend, "decode": decode}
