"""SDWA: an instruction reads and writes bytes or halves of 32-bit registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .listing import Instruction
from .wave import Wave

Array = NDArray[Any]
_PLACES = {  # shift and width
    "BYTE_0": (0, 8), "BYTE_1": (8, 8), "BYTE_2": (16, 8), "BYTE_3": (24, 8),
    "WORD_0": (0, 16), "WORD_1": (16, 16), "DWORD": (0, 32),
}  # fmt: skip
_FULL = 0xFFFFFFFF


def selects(instruction: Instruction, position: int) -> bool:
    return f"src{position}_sel" in instruction.modifiers


def places(instruction: Instruction) -> bool:
    return "dst_sel" in instruction.modifiers


def source(
    get: Callable[[Wave], Array], instruction: Instruction, position: int, extend: bool, kind: str
) -> Callable[[Wave], Array]:
    """The chosen bits of a word, extended to 32 bits and cut to the kind."""
    shift, width = _PLACES[instruction.modifiers[f"src{position}_sel"]]
    up, down = np.uint32(32 - width - shift), np.uint32(32 - width)
    word: Any = np.int32 if extend else np.uint32
    half = int(kind[1:]) == 16
    unsigned: Any = np.uint16 if half else np.uint32
    dtype = {"f16": np.float16, "f32": np.float32, "i16": np.int16, "i32": np.int32}.get(
        kind, unsigned
    )

    def chosen(w: Wave) -> Array:
        bits = (get(w) << up).view(word) >> down.astype(word)
        return bits.view(np.uint32).astype(unsigned).view(dtype)

    return chosen


def target(instruction: Instruction, index: int, kind: str) -> Callable[[Wave, Array], None]:
    """Puts a result into its place; the rest of the register is kept, cleared or sign-filled."""
    shift, width = _PLACES[instruction.modifiers["dst_sel"]]
    unused = instruction.modifiers.get("dst_unused", "UNUSED_PAD")
    place = (1 << width) - 1 << shift
    unsigned: Any = np.uint16 if int(kind[1:]) == 16 else np.uint32
    lower = np.uint32(shift)

    def put(w: Wave, x: Array) -> None:
        row = w.rows["u32"][index]
        bits = np.ascontiguousarray(x).view(unsigned).astype(np.uint32) << lower & np.uint32(place)
        if unused == "UNUSED_PRESERVE":
            bits = bits | row & np.uint32(_FULL ^ place)
        elif unused == "UNUSED_SEXT":
            above = np.uint32(_FULL ^ (1 << shift + width) - 1 & _FULL)
            sign = bits >> np.uint32(shift + width - 1) & np.uint32(1)
            bits = bits | np.where(sign == 1, above, np.uint32(0))
        np.copyto(row, bits, where=w.mask)

    return put
