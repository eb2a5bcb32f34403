"""AMD's zentorch (ZenDNN), an extension of PyTorch: its scaled_dot_product_attention."""

from __future__ import annotations

from typing import Any

import torch
import zentorch

from peers import torch as plain

VERSION = f"zentorch {zentorch.__version__} on {plain.VERSION}"


def sdpa(*tensors: torch.Tensor, **options: Any) -> torch.Tensor:
    return torch.ops.zentorch.zentorch_sdpa(*tensors, **options)[0]


WAYS = {
    "as given": lambda case: plain.as_given(case, sdpa),
    "repeated": lambda case: plain.repeated(case, sdpa),
    "folded": lambda case: plain.folded(case, sdpa),
}
