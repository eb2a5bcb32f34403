"""Operands: the text of an operand becomes a function that reads or writes it in a given wave.

A vector source is read as an array of 64 lanes or, where it is the same for all lanes, of one
element, typed by its kind: "f32", "u16", "i64" and so on. Modifiers (signs, halves, the lane
moves of DPP, the bytes and words of SDWA, clamp) are part of these functions, so that an
instruction's own code sees values only.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory import SimtError

from . import lane_moves, sub_words
from .listing import Instruction
from .spaces import PRIVATE_APERTURE, SHARED_APERTURE
from .wave import FIRST_ACCUMULATOR, LANES, M0, MASK32, MASK64, VCC, Wave

Array = NDArray[Any]
Source = Callable[[Wave], Array]
Target = Callable[[Wave, Array], None]
ScalarSource = Callable[[Wave], int]
ScalarTarget = Callable[[Wave, int], None]

DTYPES: dict[str, Any] = {
    "u16": np.uint16, "i16": np.int16, "f16": np.float16,
    "u32": np.uint32, "i32": np.int32, "f32": np.float32,
    "u64": np.uint64, "i64": np.int64, "f64": np.float64,
}  # fmt: skip
UNSIGNED: dict[int, Any] = {16: np.uint16, 32: np.uint32, 64: np.uint64}
TINY32 = np.float32(2.0**-126)


class UnknownInstruction(SimtError):
    """An instruction, or a form of one, that the interpreter does not know."""


def unknown(instruction: Instruction) -> UnknownInstruction:
    return UnknownInstruction(f"unknown instruction: {instruction.text}")


class Operand(NamedTuple):
    bank: str  # v: vector or accumulator, s: scalar, exec, constant, special
    index: int
    count: int  # words
    text: str  # without signs
    negate: bool = False
    absolute: bool = False
    extend: bool = False  # SDWA's sign extension


_NAMED = {
    "vcc": ("s", VCC, 2), "vcc_lo": ("s", VCC, 1), "vcc_hi": ("s", VCC + 1, 1), "m0": ("s", M0, 1),
    "flat_scratch": ("s", 102, 2),
    "flat_scratch_lo": ("s", 102, 1), "flat_scratch_hi": ("s", 103, 1),
    "xnack_mask": ("s", 104, 2), "xnack_mask_lo": ("s", 104, 1), "xnack_mask_hi": ("s", 105, 1),
    "exec": ("exec", 0, 2), "exec_lo": ("exec", 0, 1), "exec_hi": ("exec", 32, 1),
}  # fmt: skip
_REGISTER = re.compile(r"(s|v|a|ttmp)(?:(\d+)|\[(\d+):(\d+)\])$")
_SPECIAL = {
    "src_shared_base": SHARED_APERTURE,
    "src_private_base": PRIVATE_APERTURE,
    "src_shared_limit": SHARED_APERTURE | MASK32,
    "src_private_limit": PRIVATE_APERTURE | MASK32,
}


@lru_cache(maxsize=4096)
def parse(text: str) -> Operand:
    extend = text.startswith("sext(")
    text = text[5:-1] if extend else text
    negate = text.startswith(("-v", "-s", "-a", "-|", "neg("))
    text = text[4:-1] if text.startswith("neg(") else text[1:] if negate else text
    absolute = text.startswith(("|", "abs("))
    text = text[4:-1] if text.startswith("abs(") else text.strip("|")
    signs = (negate, absolute, extend)
    if text in _NAMED:
        bank, index, count = _NAMED[text]
        return Operand(bank, index, count, text, *signs)
    match = _REGISTER.match(text)
    if match:
        family, single, first, last = match.groups()
        index = int(single or first)
        count = 1 if single else int(last) - index + 1
        offset = {"a": FIRST_ACCUMULATOR, "ttmp": 108}.get(family, 0)
        return Operand("v" if family in "va" else "s", index + offset, count, text, *signs)
    if text in _SPECIAL or text in ("src_scc", "src_vccz", "src_execz", "scc", "vccz", "execz"):
        return Operand("special", 0, 1, text, *signs)
    return Operand("constant", 0, 1, text, *signs)


def constant_bits(text: str, kind: str) -> int:
    """The bits that a constant stands for in an operand of a kind."""
    bits = int(kind[1:])
    if re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", text):
        value = int(text, 0)
        if kind == "f64" and text.startswith("0x"):
            return value << 32 if value <= MASK32 else value  # a literal is the upper word
        return value & (1 << bits) - 1
    code = {16: "<e", 32: "<f", 64: "<d"}[bits]
    return int.from_bytes(struct.pack(code, float(text)), "little")


# ---- scalar operands: Python integers, unsigned


def scalar(text: str, bits: int = 32) -> ScalarSource:
    """Reads an operand of 32 or 64 bits that is the same for all lanes."""
    operand = parse(text)
    index, mask = operand.index, (1 << bits) - 1
    if operand.bank == "s":
        if bits == 64:
            return lambda w: w.s[index] | w.s[index + 1] << 32
        return lambda w: w.s[index]
    if operand.bank == "exec":
        return lambda w: w.exec >> index & mask
    if operand.bank == "special":
        return _special(operand.text, mask)
    if operand.bank == "constant":
        value = constant_bits(operand.text, f"u{bits}")
        return lambda w: value
    raise SimtError(f"operand is {text}, expected a scalar")


def _special(name: str, mask: int) -> ScalarSource:
    if name in _SPECIAL:
        # a 32-bit read of an aperture gives its upper word
        value = _SPECIAL[name] & MASK64 if mask == MASK64 else _SPECIAL[name] >> 32
        return lambda w: value
    if name.endswith("scc"):
        return lambda w: w.scc
    if name.endswith("vccz"):
        return lambda w: int(not w.vcc)
    return lambda w: int(not w.exec)


def scalar_target(text: str, bits: int = 32) -> ScalarTarget:
    """Writes a scalar register; the value may have more bits than the register takes."""
    operand = parse(text)
    index = operand.index
    if operand.bank == "exec":
        if bits == 64:
            return lambda w, x: w.set_exec(x & MASK64)
        keep = MASK32 << (32 - index)
        return lambda w, x: w.set_exec(w.exec & keep | (x & MASK32) << index)
    if operand.bank != "s":
        raise SimtError(f"operand is {text}, expected a scalar register")

    def put32(w: Wave, x: int) -> None:
        w.s[index] = x & MASK32

    def put64(w: Wave, x: int) -> None:
        w.s[index], w.s[index + 1] = x & MASK32, x >> 32 & MASK32

    return put64 if bits == 64 else put32


# ---- vector operands


def read(text: str, kind: str, high: bool = False) -> Source:
    """Reads an operand as it stands, without modifiers. `high` takes the upper half of a word."""
    operand = parse(text)
    bits, dtype = int(kind[1:]), DTYPES[kind]
    index = operand.index
    if operand.bank == "v":
        if bits == 64:
            return lambda w: pair(w, index).view(dtype)
        row = kind + "h" if high else kind
        return lambda w: w.rows[row][index]
    unsigned = UNSIGNED[bits]
    if operand.bank == "constant":
        fixed = constant_bits(operand.text, kind) if not high else 0
        value = np.array([fixed], unsigned).view(dtype)
        return lambda w: value
    get = scalar(text, 64 if bits == 64 else 32)
    if bits == 16:
        shift = 16 if high else 0
        return lambda w: np.array((get(w) >> shift & 0xFFFF,), unsigned).view(dtype)
    return lambda w: np.array((get(w),), unsigned).view(dtype)


def pair(w: Wave, index: int) -> NDArray[np.uint64]:
    """Two registers as 64-bit numbers, in memory of their own."""
    out = np.empty((LANES, 2), np.uint32)
    out[:, 0] = w.words[index]
    out[:, 1] = w.words[index + 1]
    return out.view(np.uint64)[:, 0]


def lanes(values: Array) -> Array:
    """One element a lane, even where all are the same."""
    return values if values.size == LANES else np.broadcast_to(values, LANES)


def source(instruction: Instruction, operand: int, position: int, kind: str) -> Source:
    """Reads an operand that is the source `position` (0, 1, 2), with its modifiers."""
    text = instruction.operands[operand]
    parsed = parse(text)
    get: Source
    if sub_words.selects(instruction, position):
        get = sub_words.source(read(parsed.text, "u32"), instruction, position, parsed.extend, kind)
    else:
        half = int(kind[1:]) == 16 and instruction.bits("op_sel", 4, 0)[position] == 1
        get = read(parsed.text, kind, half)
    if position == 0 and lane_moves.moves(instruction):
        get = lane_moves.source(get, instruction)
    if parsed.absolute or parsed.negate:
        get = _signed(get, kind, parsed.absolute, parsed.negate)
    if instruction.flush and kind == "f32":
        get = _flushed(get)
    return get


def _signed(get: Source, kind: str, absolute: bool, negate: bool) -> Source:
    """The sign modifiers, which work on the top bit whatever the rest is."""
    bits = int(kind[1:])
    unsigned, dtype = UNSIGNED[bits], DTYPES[kind]
    top = unsigned(1 << bits - 1)
    keep = unsigned((1 << bits - 1) - 1 if absolute else (1 << bits) - 1)
    flip = top if negate else unsigned(0)
    return lambda w: ((get(w).view(unsigned) & keep) ^ flip).view(dtype)


def _flushed(get: Source) -> Source:
    return lambda w: flush(get(w))


def flush(values: Array) -> Array:
    """Subnormal f32 numbers become zeros of their sign."""
    tiny = np.abs(values) < TINY32
    return np.where(tiny, np.copysign(np.float32(0), values), values) if tiny.any() else values


# Of 16-bit instructions these write half a register; others set the upper half to zero.
_HALF_WRITERS = frozenset(
    "v_mad_u16 v_mad_i16 v_mad_f16 v_fma_f16 v_div_fixup_f16 v_fma_mixlo_f16 v_fma_mixhi_f16"
    " v_med3_f16 v_med3_i16 v_med3_u16 v_min3_f16 v_min3_i16 v_min3_u16"
    " v_max3_f16 v_max3_i16 v_max3_u16 v_sub_i16 v_add_i16".split()
)


def target(instruction: Instruction, operand: int, kind: str) -> Target:
    """Writes operand number `operand` in the active lanes, with the modifiers of a result."""
    parsed = parse(instruction.operands[operand])
    if parsed.bank != "v":
        raise unknown(instruction)
    index, bits = parsed.index, int(kind[1:])
    put: Target
    if sub_words.places(instruction):
        put = sub_words.target(instruction, index, kind)
    elif lane_moves.moves(instruction):
        put = _moved_target(instruction, index, kind)
    elif bits == 64:
        put = _pair_target(index)
    elif bits == 16:
        put = _half_target(instruction, index, kind)
    else:

        def put(w: Wave, x: Array) -> None:
            np.copyto(w.rows[kind][index], x, "unsafe", w.mask)

    return _shaped(put, instruction, kind)


def _moved_target(instruction: Instruction, index: int, kind: str) -> Target:
    if int(kind[1:]) != 32:
        raise unknown(instruction)
    where = lane_moves.written(instruction)

    def put(w: Wave, x: Array) -> None:
        np.copyto(w.rows[kind][index], x, "unsafe", where(w))

    return put


def _pair_target(index: int) -> Target:
    def put(w: Wave, x: Array) -> None:
        words = np.ascontiguousarray(x).view(np.uint32).reshape(-1, 2)
        np.copyto(w.words[index], words[:, 0], where=w.mask)
        np.copyto(w.words[index + 1], words[:, 1], where=w.mask)

    return put


def _half_target(instruction: Instruction, index: int, kind: str) -> Target:
    high = instruction.modifiers.get("op_sel", "").endswith("1]")  # the last bit is the result's
    row = kind + "h" if high else kind
    clears = instruction.name not in _HALF_WRITERS

    def put(w: Wave, x: Array) -> None:
        np.copyto(w.rows[row][index], x, "unsafe", w.mask)
        if clears:
            np.copyto(w.rows["u16h"][index], 0, where=w.mask)

    return put


def _shaped(put: Target, instruction: Instruction, kind: str) -> Target:
    """clamp, output multipliers and the flushing of subnormal results."""
    steps: list[Callable[[Array], Array]] = []
    scale = {"mul:2": 2.0, "mul:4": 4.0, "div:2": 0.5}
    for key, value in instruction.modifiers.items():
        if f"{key}:{value}" in scale:
            factor = DTYPES[kind](scale[f"{key}:{value}"])
            steps.append(lambda x, factor=factor: x * factor)
    if "clamp" in instruction.modifiers:
        if kind[0] != "f":
            raise unknown(instruction)
        zero, one = DTYPES[kind](0), DTYPES[kind](1)
        steps.append(lambda x: np.fmin(np.fmax(x, zero), one))  # not a number becomes 0
    if instruction.flush and kind == "f32":
        steps.append(flush)
    if not steps:
        return put

    def shaped(w: Wave, x: Array) -> None:
        for step in steps:
            x = step(x)
        put(w, x)

    return shaped


def mask_source(text: str) -> Callable[[Wave], int]:
    """A lane mask: vcc, exec or a pair of scalar registers."""
    return scalar(text, 64)


def mask_target(text: str) -> ScalarTarget:
    return scalar_target(text, 64)
