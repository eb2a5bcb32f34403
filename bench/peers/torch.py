"""PyTorch's scaled_dot_product_attention: on grouped heads as given, with K and V repeated
beforehand (not timed), or, without a mask, with the group folded into the rows of queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from peers.case import Case, Way

VERSION = f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}"
torch.set_grad_enabled(False)


def tensor(case: Case, x: np.ndarray) -> torch.Tensor:
    stored = case.stored(x)
    if case.dtype == "bf16":
        return torch.from_numpy(stored.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(stored)


def read(out: torch.Tensor) -> np.ndarray:
    return out.float().numpy()


def take_turns(case: Case) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """K and V, and copies of them."""
    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        k = tensor(case, case.k)
        return k, k[..., : case.v_dim] if case.v_in_k else tensor(case, case.v)

    torch.set_num_threads(case.threads)
    return [pair() for _ in range(case.copies)]


def masking(case: Case) -> dict[str, Any]:
    if case.causal and case.rows != case.keys:
        return {"attn_mask": tensor(case, case.mask())}
    return {"is_causal": case.causal}


def as_given(case: Case, sdpa: Callable[..., torch.Tensor], **options: Any) -> Way:
    case.refuse_unless(case.group <= 8, "groups up to 8 (a head at a time takes seconds)")
    pairs, q, options = take_turns(case), tensor(case, case.q), options | masking(case)
    return Way(lambda n: sdpa(q, *pairs[n], **options), read)


def repeated(case: Case, sdpa: Callable[..., torch.Tensor]) -> Way:
    case.refuse_unless(1 < case.group <= 8, "groups of 2 to 8")
    case.refuse_unless(case.copies == 1, "K and V that stay in cache")
    (pair,), q, options = take_turns(case), tensor(case, case.q), masking(case)
    k, v = (x.repeat_interleave(case.group, 1) for x in pair)
    return Way(lambda _: sdpa(q, k, v, **options), read)


def folded(case: Case, sdpa: Callable[..., torch.Tensor]) -> Way:
    case.refuse_unless(case.group > 1 and not case.causal, "groups without a mask")
    pairs = take_turns(case)
    q = tensor(case, case.q).reshape(case.batch, case.kv_heads, case.group * case.rows, case.dim)
    shape = case.batch, case.heads, case.rows, case.v_dim
    return Way(lambda n: sdpa(q, *pairs[n]), lambda out: read(out).reshape(shape))


SDPA = torch.nn.functional.scaled_dot_product_attention
WAYS = {
    "as given": lambda case: as_given(case, SDPA, enable_gqa=case.group > 1),
    "repeated": lambda case: repeated(case, SDPA),
    "folded": lambda case: folded(case, SDPA),
}
