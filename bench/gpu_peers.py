#!/usr/bin/env python3
"""Attention of PyTorch and cuDNN on the present NVIDIA GPU, for tools/gpu_check: a JSON line for each row.

Times are those of CUDA events around a replayed graph of calls, so that neither side pays for its launches; decode rotates
over caches that together exceed the L2. Masked work is not counted in FLOP/s.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

SAMPLES = 20


@dataclass
class Case:
    name: str
    batch: int
    seqlen_q: int
    seqlen_k: int
    heads: int
    kv_heads: int
    head_dim: int
    causal: bool

    def flops(self) -> float:
        pairs = self.seqlen_q * self.seqlen_k
        if self.causal:  # bottom right
            pairs -= self.seqlen_q * (self.seqlen_q - 1) // 2
        return 4.0 * self.head_dim * self.batch * self.heads * pairs

    def bytes(self) -> float:
        q = self.batch * self.seqlen_q * self.heads * self.head_dim
        k = self.batch * self.seqlen_k * self.kv_heads * self.head_dim
        return 2.0 * (2 * q + 2 * k)


CASES = (
    Case("prefill2k", 4, 2048, 2048, 32, 8, 128, True),
    Case("prefill8k", 1, 8192, 8192, 32, 8, 128, False),
    Case("prefill8k_causal", 1, 8192, 8192, 32, 8, 128, True),
    Case("decode1x4096", 1, 1, 4096, 32, 8, 128, False),
    Case("decode32x4096", 32, 1, 4096, 32, 8, 128, False),
    Case("decode128x8192", 128, 1, 8192, 32, 8, 128, False),
)


def measure(torch, calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Microseconds a call, one value a sample."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls:  # plans and autotuning outside of the graph
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(repeats):
            calls[i % len(calls)]()
    samples = []
    for _ in range(SAMPLES + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        samples.append(begin.elapsed_time(end) * 1e3 / repeats)
    return samples[3:]


def main() -> None:
    try:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        sys.exit("peers: this Python has no torch")
    if not torch.cuda.is_available():
        sys.exit("peers: torch sees no GPU")
    attention = torch.nn.functional.scaled_dot_product_attention
    backends = {"torch_flash": SDPBackend.FLASH_ATTENTION, "torch_cudnn": SDPBackend.CUDNN_ATTENTION}
    for case in CASES:
        # Rotated caches: as many as exceed 128 MiB, at most 16.
        copies = min(16, max(1, int(2**27 // max(case.bytes(), 1)) + 1)) if case.seqlen_q == 1 else 1
        make = lambda n, heads: torch.randn(case.batch, heads, n, case.head_dim, device="cuda", dtype=torch.bfloat16)  # noqa: B023, E731
        q = make(case.seqlen_q, case.heads)
        kv = [(make(case.seqlen_k, case.kv_heads), make(case.seqlen_k, case.kv_heads)) for _ in range(copies)]
        for name, backend in backends.items():
            try:
                with sdpa_kernel(backend):
                    calls = [lambda k=k, v=v: attention(q, k, v, is_causal=case.causal, enable_gqa=True) for k, v in kv]  # noqa: B023
                    samples = measure(torch, calls, max(copies, 4))
            except RuntimeError as refusal:
                print(f"{name}/{case.name}: {str(refusal).splitlines()[0]}", file=sys.stderr)
                continue
            best, median = min(samples), statistics.median(samples)
            row = {"name": f"{name}/{case.name}_bf16", "best_us": best, "median_us": median}
            row |= {"FLOP/s": case.flops() / best * 1e6, "bytes/s": case.bytes() / best * 1e6}
            print(json.dumps(row), flush=True)
    print(f"peers: torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}", file=sys.stderr)


if __name__ == "__main__":
    main()
