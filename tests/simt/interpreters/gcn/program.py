"""The code of an image as steps, each decoded when it is first executed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memory import SimtError

from . import (
    compare,
    control,
    convert,
    lane_access,
    lane_moves,
    matrix,
    memory_access,
    packed,
    scalar_alu,
    shared_access,
    vector_alu,
    vector_carry,
    vector_float,
)
from .image import CodeObject
from .listing import Instruction, disassemble, parse
from .operands import unknown
from .scalar_alu import Decoder
from .wave import Step, Stop, Wave

DECODERS: dict[str, Decoder] = {}
for _module in (
    scalar_alu, control, vector_alu, vector_carry, vector_float, compare, convert, packed,
    lane_access, matrix, memory_access, shared_access,
):  # fmt: skip
    DECODERS |= _module.DECODERS


_CACHE = {"glc", "slc", "scc", "sc0", "sc1", "nt"}  # how caches are used: nothing here
_RESULT = {"clamp", "mul", "div"}
_SELECTED = {"dst_sel", "dst_unused", "src0_sel", "src1_sel"}
_MOVED = {"row_mask", "bank_mask", "bound_ctrl", *lane_moves.NAMES}
_HALVES = {"op_sel", "op_sel_hi", "neg_lo", "neg_hi"}
# The modifiers that the decoders of a family look at; any other makes the instruction unknown.
_MODIFIERS: tuple[tuple[tuple[str, ...], set[str]], ...] = (
    (("s_load", "s_buffer"), {"offset"} | _CACHE),
    (("s_", "v_mfma"), set()),
    (("v_pk_", "v_dot"), {"clamp"} | _HALVES),
    (("v_fma_mix", "v_mad_mix"), {"clamp"} | _HALVES),
    (("v_",), _RESULT | _SELECTED | _MOVED),
    (("ds_",), {"offset", "offset0", "offset1"}),
    (("global_", "flat_", "scratch_"), {"offset"} | _CACHE),
    (("buffer_load", "buffer_store"), {"offset", "offen"} | _CACHE),
    (("buffer_",), _CACHE),
)
_HALF_TYPES = ("f16", "u16", "i16", "b16", "fp8", "bf8")


def _allowed(name: str) -> set[str]:
    for prefixes, allowed in _MODIFIERS:
        if name.startswith(prefixes):
            of_halves = name.startswith("v_") and any(kind in name for kind in _HALF_TYPES)
            return allowed | {"op_sel"} if of_halves else allowed
    return set()


def decode(instruction: Instruction) -> Step:
    decoder = DECODERS.get(instruction.name)
    waits = instruction.name.startswith("s_waitcnt")
    if decoder is None or not (waits or instruction.modifiers.keys() <= _allowed(instruction.name)):
        raise unknown(instruction)
    return decoder(instruction)


class Program:
    """A code object and its instructions; several launches share one."""

    def __init__(self, path: Path):
        self.image = CodeObject(path)
        self.lines = disassemble(path, self.image.architecture)
        self._places = {line.address: i for i, line in enumerate(self.lines)}
        # decoded twice at most: with and without flushing of subnormal numbers
        self._steps = {flush: self._undecoded(flush) for flush in (False, True)}

    def index(self, address: int) -> int:
        """The number of the instruction at an address of the image."""
        found = self._places.get(address)
        if found is None:
            raise SimtError(f"jump to {address:#x}, where no instruction starts")
        return found

    def steps(self, flush: bool) -> list[Step]:
        return self._steps[flush]

    def unknown(self) -> list[str]:
        """The instructions that cannot be decoded, whether a launch reaches them or not."""
        found = []
        for line in {line.text: line for line in self.lines}.values():
            try:
                decode(parse(line))
            except SimtError:
                found.append(line.text)
        return found

    def _undecoded(self, flush: bool) -> list[Step]:
        steps: list[Step] = []

        def decode_first(w: Wave) -> Stop | None:
            place = w.pc - 1
            steps[place] = decode(replace(parse(self.lines[place]), flush=flush))
            return steps[place](w)

        steps.extend(decode_first for _ in self.lines)
        return steps
