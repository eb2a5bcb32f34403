"""Instructions that reach across lanes: reading and writing one lane, counting the lanes below."""

from __future__ import annotations

import numpy as np

from .listing import Instruction
from .operands import lanes, parse, read, scalar, scalar_target, source, target
from .scalar_alu import Decoder
from .wave import LANES, Step, Wave, bools

_U32 = np.uint32


def _read_first(instruction: Instruction) -> Step:
    """v_readfirstlane_b32: of the first active lane, of lane 0 where none is."""
    put, a = scalar_target(instruction.operands[0]), source(instruction, 1, 0, "u32")

    def step(w: Wave) -> None:
        first = (w.exec & -w.exec).bit_length() - 1 if w.exec else 0
        put(w, int(lanes(a(w))[first]))

    return step


def _read_lane(instruction: Instruction) -> Step:
    put, a = scalar_target(instruction.operands[0]), read(instruction.operands[1], "u32")
    lane = scalar(instruction.operands[2])

    def step(w: Wave) -> None:
        put(w, int(lanes(a(w))[lane(w) % LANES]))

    return step


def _write_lane(instruction: Instruction) -> Step:
    """v_writelane_b32, whatever the execution mask is."""
    index = parse(instruction.operands[0]).index
    a, lane = (scalar(text) for text in instruction.operands[1:3])

    def step(w: Wave) -> None:
        w.words[index, lane(w) % LANES] = a(w)

    return step


def _count_below(upper: bool) -> Decoder:
    """v_mbcnt: how many bits of a mask belong to lanes below this one, of its lower or upper 32."""
    lane = np.arange(LANES)
    below = np.clip(lane - 32 if upper else lane, 0, 32)  # bits of the word below each lane

    def decode(instruction: Instruction) -> Step:
        put = target(instruction, 0, "u32")
        a, b = read(instruction.operands[1], "u32"), source(instruction, 2, 1, "u32")
        uniform = parse(instruction.operands[1]).bank != "v"

        def step(w: Wave) -> None:
            words = a(w)
            if uniform:
                bits = bools(int(words[0]))[:32]
                counts = np.concatenate(([0], np.cumsum(bits)))[below]
            else:
                kept = words.astype(np.uint64) & (
                    (np.uint64(1) << below.astype(np.uint64)) - np.uint64(1)
                )
                counts = np.array([int(x).bit_count() for x in kept])
            put(w, counts.astype(_U32) + b(w))

        return step

    return decode


DECODERS: dict[str, Decoder] = {
    "v_readfirstlane_b32": _read_first,
    "v_readlane_b32": _read_lane,
    "v_writelane_b32": _write_lane,
    "v_mbcnt_lo_u32_b32": _count_below(False),
    "v_mbcnt_hi_u32_b32": _count_below(True),
}
