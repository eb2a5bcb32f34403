"""What every peer is given, the same for all, and what it must answer.

A peer is a file beside this one with VERSION, a sentence, and WAYS: name -> a function that makes
ready for a Case whatever its calls need and returns the Way, or raises an error that says what it
does not take. Arrays are [batch, heads, tokens, dim] in float32, rounded to the case's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ALLOWED_ERROR = {"fp32": 1e-4, "bf16": 2e-2}  # of a row's largest element
CHECKED_ROWS = 16


class Unfit(ValueError):
    """A way that is not made for a case."""


@dataclass
class Way:
    """call(n) does the case with copy n of K and V; read(what the last call returned) is its output
    as an array [batch, heads, rows, v_dim]."""

    call: Callable[[int], Any]
    read: Callable[[Any], np.ndarray]


def aligned(x: np.ndarray) -> np.ndarray:
    """A copy that begins at a multiple of 64 bytes, as tensors of real programs do."""
    memory = np.empty(x.nbytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    copy = memory[begin : begin + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def to_bf16(x: np.ndarray) -> np.ndarray:
    """The bits of the nearest bf16 numbers."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


class Case:
    def __init__(self, words: dict[str, Any]) -> None:
        self.batch, self.heads, self.kv_heads, self.rows, self.keys, self.dim, self.v_dim = words[
            "shape"
        ]
        self.causal, self.dtype = bool(words["causal"]), words["dtype"]
        self.threads, self.copies = words["threads"], words.get("copies", 1)
        self.group, self.scale = self.heads // self.kv_heads, 1 / math.sqrt(self.dim)
        self.v_in_k = self.v_dim < self.dim and self.kv_heads == 1  # MLA
        draw = np.random.default_rng(1).standard_normal
        self.q = self.rounded(draw((self.batch, self.heads, self.rows, self.dim), np.float32))
        self.k = self.rounded(draw((self.batch, self.kv_heads, self.keys, self.dim), np.float32))
        self.v = self.k[..., : self.v_dim]
        if not self.v_in_k:
            self.v = draw((self.batch, self.kv_heads, self.keys, self.v_dim), np.float32)
            self.v = self.rounded(self.v)
        self.expected = self.rows_by_definition()

    def rounded(self, x: np.ndarray) -> np.ndarray:
        return from_bf16(to_bf16(x)) if self.dtype == "bf16" else x

    def stored(self, x: np.ndarray) -> np.ndarray:
        """x in the memory of the case's dtype; bf16 as uint16."""
        return aligned(to_bf16(x) if self.dtype == "bf16" else x)

    def read(self, x: np.ndarray) -> np.ndarray:
        return from_bf16(x) if self.dtype == "bf16" else x

    def take_turns(self, *one: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """One set of arrays and as many copies of it as are rotated over."""
        return [one] + [tuple(aligned(x) for x in one) for _ in range(self.copies - 1)]

    def mask(self) -> np.ndarray:
        """What is added to scores so that row i sees the keys up to i + keys - rows."""
        hidden = np.full((self.rows, self.keys), -np.inf, np.float32)
        return np.triu(hidden, self.keys - self.rows + 1)

    def refuse_unless(self, fits: bool, words: str) -> None:
        if not fits:
            raise Unfit(f"takes {words} only")

    def rows_by_definition(self) -> np.ndarray:
        """Some rows of every head in float64."""
        self.checked = np.linspace(0, self.rows - 1, min(self.rows, CHECKED_ROWS)).astype(int)
        out = np.empty((self.batch, self.heads, len(self.checked), self.v_dim))
        hidden = self.mask()[self.checked] if self.causal else 0.0
        for b in range(self.batch):
            for h in range(self.kv_heads):
                k, v = self.k[b, h].astype(np.float64), self.v[b, h].astype(np.float64)
                for head in range(h * self.group, (h + 1) * self.group):
                    q = self.q[b, head, self.checked].astype(np.float64)
                    scores = q @ k.T * self.scale + hidden
                    weights = np.exp(scores - scores.max(-1, keepdims=True))
                    out[b, head] = weights / weights.sum(-1, keepdims=True) @ v
        return out

    def check(self, out: np.ndarray) -> float:
        """The largest error, if none is larger than allowed."""
        if out.shape != (self.batch, self.heads, self.rows, self.v_dim):
            raise RuntimeError(f"out has shape {out.shape}")
        error = np.abs(out[:, :, self.checked] - self.expected)
        share = float((error / np.abs(self.expected).max(-1, keepdims=True)).max())
        if not share <= ALLOWED_ERROR[self.dtype]:
            raise RuntimeError(f"out is off by {share:.2g} of a row, expected no more than "
                               f"{ALLOWED_ERROR[self.dtype]:g}")
        return float(error.max())
