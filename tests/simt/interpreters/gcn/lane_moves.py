"""DPP: the first source of an instruction is taken from another lane of its row of 16, or nearby.

A lane whose source does not exist, or is not active, reads 0 under bound_ctrl and is not written
otherwise. Row and bank masks leave out rows of 16 lanes and, in each row, groups of 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory import SimtError

from .listing import Instruction
from .wave import LANES, Bools, Wave

_LANE = np.arange(LANES)
_ROW, _IN_ROW = _LANE // 16, _LANE % 16
_BARE = ("row_mirror", "row_half_mirror")
_KEYED = (
    "quad_perm", "row_shl", "row_shr", "row_ror", "row_bcast", "row_newbcast", "row_share",
    "wave_shl", "wave_shr", "wave_rol", "wave_ror", "row_xmask",
)  # fmt: skip
NAMES = (*_BARE, *_KEYED)


def moves(instruction: Instruction) -> bool:
    return "row_mask" in instruction.modifiers


def _lanes(instruction: Instruction) -> NDArray[np.int64]:
    """The lane that each lane reads; -1 where there is none."""
    for name in NAMES:
        if name in instruction.modifiers:
            return _moved(name, instruction.modifiers[name])
    return _LANE


def _moved(name: str, value: str) -> NDArray[np.int64]:
    if name == "quad_perm":
        order = np.array([int(x) for x in value.strip("[]").split(",")])
        return _LANE // 4 * 4 + order[_LANE % 4]
    if name == "row_mirror":
        return _ROW * 16 + 15 - _IN_ROW
    if name == "row_half_mirror":
        return _LANE // 8 * 8 + 7 - _LANE % 8
    n = int(value)
    if name == "row_shl":  # lane i takes lane i + n
        return np.where(_IN_ROW + n < 16, _LANE + n, -1)
    if name == "row_shr":
        return np.where(_IN_ROW - n >= 0, _LANE - n, -1)
    if name == "row_ror":
        return _ROW * 16 + (_IN_ROW - n) % 16
    if name in ("row_newbcast", "row_share"):
        return _ROW * 16 + n
    if name == "row_xmask":
        return _ROW * 16 + (_IN_ROW ^ n)
    if name == "row_bcast":  # the last lane of a row (15) or of a half (31) goes to the next one
        last = _LANE // (n + 1) * (n + 1) - 1
        return np.where(last >= 0, last, -1)
    if name == "wave_shl":
        return np.where(_LANE + 1 < LANES, _LANE + 1, -1)
    if name == "wave_shr":
        return _LANE - 1
    if name == "wave_rol":
        return (_LANE + 1) % LANES
    if name == "wave_ror":
        return (_LANE - 1) % LANES
    raise SimtError(f"lane move is {name}, expected a known one")


def source(get: Callable[[Wave], NDArray[Any]], instruction: Instruction) -> Callable[[Wave], Any]:
    lanes = _lanes(instruction)
    inside = lanes >= 0

    def moved(w: Wave) -> NDArray[Any]:
        values = get(w)
        return np.where(inside & w.active[lanes], values[lanes], values.dtype.type(0))

    return moved


def written(instruction: Instruction) -> Callable[[Wave], Bools]:
    """The lanes that take a result."""
    lanes = _lanes(instruction)
    inside = lanes >= 0
    rows, banks = instruction.number("row_mask"), instruction.number("bank_mask")
    chosen = (rows >> _ROW & 1 == 1) & (banks >> _IN_ROW // 4 & 1 == 1)
    if instruction.number("bound_ctrl"):
        return lambda w: chosen & w.active
    return lambda w: chosen & w.active & inside & w.active[lanes]
