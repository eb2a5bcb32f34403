"""Vector instructions that read or write a lane mask beside their numbers: selections, sums with
carry, wide products."""

from __future__ import annotations

from typing import Any

import numpy as np

from .listing import Instruction
from .operands import mask_source, mask_target, parse, source, target
from .scalar_alu import Decoder
from .wave import MASK32, Step, Wave, bools, mask_of

U64, I64 = np.uint64, np.int64


def _select(instruction: Instruction) -> Step:
    """v_cndmask_b32: the second source where the mask's bit is set."""
    put = target(instruction, 0, "u32")
    no, yes = source(instruction, 1, 0, "u32"), source(instruction, 2, 1, "u32")
    mask = mask_source(instruction.operands[3] if len(instruction.operands) > 3 else "vcc")
    return lambda w: put(w, np.where(bools(mask(w)), yes(w), no(w)))


def _sum(sign: int, swapped: bool, takes_carry: bool) -> Decoder:
    """v_add_co_u32 and its family: a 33-bit result whose top bits go into a lane mask."""

    def decode(instruction: Instruction) -> Step:
        put, put_mask = target(instruction, 0, "u32"), mask_target(instruction.operands[1])
        a, b = source(instruction, 2, 0, "u32"), source(instruction, 3, 1, "u32")
        if swapped:
            a, b = b, a
        carry = mask_source(instruction.operands[4]) if takes_carry else None

        def step(w: Wave) -> None:
            second = b(w).astype(I64)
            if carry is not None:
                second = second + bools(carry(w))
            total = a(w) + sign * second
            outside = (total < 0) | (total > MASK32)
            put(w, total)
            put_mask(w, mask_of(outside) & w.exec)

        return step

    return decode


def _wide_product(dtype: Any, kind: str, wide: str) -> Decoder:
    """v_mad_u64_u32: 32 x 32 + 64 bits; the carry goes into a lane mask."""

    def decode(instruction: Instruction) -> Step:
        put, put_mask = target(instruction, 0, wide), mask_target(instruction.operands[1])
        a, b = source(instruction, 2, 0, kind), source(instruction, 3, 1, kind)
        c = source(instruction, 4, 2, wide)

        def step(w: Wave) -> None:
            x, y, z = a(w), b(w), c(w)
            product = x.astype(dtype) * y.astype(dtype)
            total = product + z
            carry = total < product if dtype is U64 else (total < product) != (z < 0)
            put(w, total)
            put_mask(w, mask_of(carry) & w.exec)

        return step

    return decode


def _swap(instruction: Instruction) -> Step:
    """v_swap_b32."""
    first, second = (parse(text).index for text in instruction.operands)

    def step(w: Wave) -> None:
        kept = w.words[first].copy()
        np.copyto(w.words[first], w.words[second], where=w.mask)
        np.copyto(w.words[second], kept, where=w.mask)

    return step


DECODERS: dict[str, Decoder] = {
    "v_cndmask_b32": _select,
    "v_add_co_u32": _sum(1, False, False),
    "v_sub_co_u32": _sum(-1, False, False),
    "v_subrev_co_u32": _sum(-1, True, False),
    "v_addc_co_u32": _sum(1, False, True),
    "v_subb_co_u32": _sum(-1, False, True),
    "v_subbrev_co_u32": _sum(-1, True, True),
    "v_mad_u64_u32": _wide_product(U64, "u32", "u64"),
    "v_mad_i64_i32": _wide_product(I64, "i32", "i64"),
    "v_swap_b32": _swap,
}
