"""A wave: 64 lanes that run one instruction at a time, their registers and their execution mask."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memory import Scratch

if TYPE_CHECKING:
    from .program import Program
    from .spaces import Spaces

LANES = 64
MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
VCC, M0 = 106, 124  # places of special registers among the scalar ones
FIRST_ACCUMULATOR = 256  # a0 among the vector rows
POISON = 0x7FEDBEEF  # what a register holds before it is written: as a float, not a number

Bools = NDArray[np.bool_]


class Stop(Enum):
    """Why a wave hands control back."""

    BARRIER = auto()
    END = auto()
    MODE = auto()  # the float mode changed: instructions are decoded anew
    TURN = auto()  # it has run long enough: another wave may be what it waits for


Step = Callable[["Wave"], "Stop | None"]

_bools: dict[int, Bools] = {}


def bools(mask: int) -> Bools:
    """The 64 bits of a mask, lane 0 first. Not to be written to."""
    found = _bools.get(mask)
    if found is None:
        if len(_bools) > 10_000:
            _bools.clear()
        raw = np.frombuffer(mask.to_bytes(8, "little"), np.uint8)
        found = _bools[mask] = np.unpackbits(raw, bitorder="little").astype(np.bool_)
    return found


def mask_of(values: Bools) -> int:
    """The mask whose bits are these 64 values (or one value for all lanes)."""
    if values.size != LANES:
        return MASK64 if values.all() else 0
    return int.from_bytes(np.packbits(values, bitorder="little").tobytes(), "little")


class Wave:
    """The state of a wave: scalar registers as Python integers, vector registers as rows."""

    def __init__(self) -> None:
        self.words = np.empty((512, LANES), np.uint32)  # v0 to v255, then a0 to a255
        halves = self.words.view(np.uint16).reshape(512, LANES, 2)
        # rows[kind][register] is a view of the register; a trailing h means the upper halves
        self.rows: dict[str, list[NDArray[Any]]] = {
            "u32": list(self.words),
            "i32": list(self.words.view(np.int32)),
            "f32": list(self.words.view(np.float32)),
        }
        for kind, dtype in (("u16", np.uint16), ("i16", np.int16), ("f16", np.float16)):
            self.rows[kind] = list(halves[:, :, 0].view(dtype))
            self.rows[kind + "h"] = list(halves[:, :, 1].view(dtype))
        self.s: list[int] = []

    def start(
        self,
        program: Program,
        pc: int,
        number: int,
        threads: int,
        spaces: Spaces,
        shared: Scratch,
        private: Scratch,
        scalars: dict[int, int],
        mode: int,
    ) -> None:
        """Makes the wave ready to run `threads` lanes from instruction `pc`."""
        self.words.fill(POISON)
        self.words[0] = np.arange(LANES, dtype=np.uint32) + np.uint32(LANES * number)
        self.s = [POISON] * 128
        for register, value in scalars.items():
            self.s[register] = value
        self.program, self.pc, self.number = program, pc, number
        self.spaces, self.shared, self.private = spaces, shared, private
        self.scc = 0
        self.mode = mode
        self.steps = 0
        self.set_exec((1 << threads) - 1)

    def set_exec(self, mask: int) -> None:
        self.exec = mask
        self.active = bools(mask)
        # what numpy's `where` takes: True is its short way
        self.mask: Any = True if mask == MASK64 else self.active

    @property
    def vcc(self) -> int:
        return self.s[VCC] | self.s[VCC + 1] << 32

    def set_vcc(self, mask: int) -> None:
        self.s[VCC], self.s[VCC + 1] = mask & MASK32, mask >> 32

    @property
    def flushes(self) -> bool:
        """Whether subnormal f32 numbers count as zero: one of the bits that allow them is 0."""
        return self.mode >> 4 & 3 != 3

    def run(self, turn: int) -> Stop:
        """Runs until something stops the wave, at most `turn` instructions."""
        code = self.program.steps(self.flushes)
        left = turn
        try:
            while left:
                left -= 1
                pc = self.pc
                self.pc = pc + 1
                stop = code[pc](self)
                if stop is not None:
                    return stop
            return Stop.TURN
        finally:
            self.steps += turn - left
