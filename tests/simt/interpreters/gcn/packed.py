"""Packed instructions: two numbers in a register (16 bits each) or in a pair of them (f32).

op_sel chooses the half of each source that the lower result uses, op_sel_hi the upper one's;
neg_lo and neg_hi change signs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .floats import F16, F32, bf16_to_f32, fused
from .listing import Instruction
from .operands import DTYPES, UNSIGNED, Array, Source, constant_bits, parse, read, scalar, unknown
from .scalar_alu import Decoder
from .wave import Step, Wave

_U16, _U32 = np.uint16, np.uint32


def _half(text: str, kind: str, high: bool) -> Source:
    """One half of a 32-bit source. A constant has its bits in the lower half; integers, inline,
    fill the upper half with their sign."""
    operand = parse(text)
    if operand.bank != "constant":
        return read(operand.text, kind, high)
    integer = operand.text.lstrip("-").isdigit() or operand.text.startswith("0x")
    word = int(operand.text, 0) & 0xFFFFFFFF if integer else constant_bits(operand.text, "f16")
    value = np.array([word >> (16 if high else 0) & 0xFFFF], _U16).view(DTYPES[kind])
    return lambda w: value


def _word(text: str, kind: str, high: bool) -> Source:
    """One word of a 64-bit source. A constant stands for both words alike."""
    operand = parse(text)
    if operand.bank == "v":
        return lambda w: w.rows[kind][operand.index + high]
    if operand.bank == "constant":
        return read(operand.text, kind)
    get, shift = scalar(operand.text, 64), 32 if high else 0
    return lambda w: np.array((get(w) >> shift & 0xFFFFFFFF,), _U32).view(DTYPES[kind])


def _negated(get: Source, kind: str, negate: bool) -> Source:
    if not negate:
        return get
    unsigned = UNSIGNED[int(kind[1:])]
    top = unsigned(1 << int(kind[1:]) - 1)
    return lambda w: (get(w).view(unsigned) ^ top).view(DTYPES[kind])


def _sources(
    instruction: Instruction, kind: str, part: Callable[[str, str, bool], Source]
) -> tuple[list[Source], list[Source]]:
    """What the lower and the upper result are made of."""
    texts = instruction.operands[1:]
    count = len(texts)
    select = (instruction.bits("op_sel", count, 0), instruction.bits("op_sel_hi", count, 1))
    negate = (instruction.bits("neg_lo", count, 0), instruction.bits("neg_hi", count, 0))
    results = []
    for chosen, signs in zip(select, negate, strict=True):
        results.append(
            [
                _negated(part(text, kind, bool(chosen[i])), kind, bool(signs[i]) and kind[0] == "f")
                for i, text in enumerate(texts)
            ]
        )
    return results[0], results[1]


def _clamp(kind: str) -> Callable[[Array], Array]:
    number = DTYPES[kind]
    return lambda x: np.fmin(np.fmax(x, number(0)), number(1))


def _halves(kind: str, compute: Callable[..., Any]) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        low, high = _sources(instruction, kind, _half)
        index = parse(instruction.operands[0]).index
        clamps = "clamp" in instruction.modifiers
        if clamps and kind[0] != "f":
            raise unknown(instruction)
        shape = _clamp(kind) if clamps else lambda x: x

        def step(w: Wave) -> None:
            lower = shape(compute(*(get(w) for get in low)))
            upper = shape(compute(*(get(w) for get in high)))
            np.copyto(w.rows[kind][index], lower, "unsafe", w.mask)
            np.copyto(w.rows[kind + "h"][index], upper, "unsafe", w.mask)

        return step

    return decode


def _words(kind: str, compute: Callable[..., Any]) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        low, high = _sources(instruction, kind, _word)
        index = parse(instruction.operands[0]).index
        shape = _clamp(kind) if "clamp" in instruction.modifiers else np.copy

        def step(w: Wave) -> None:
            lower = shape(compute(*(get(w) for get in low)))
            upper = compute(*(get(w) for get in high))
            np.copyto(w.rows[kind][index + 1], shape(upper), where=w.mask)
            np.copyto(w.rows[kind][index], lower, where=w.mask)

        return step

    return decode


def _move(instruction: Instruction) -> Step:
    """v_pk_mov_b32: the lower word is one of the first source's, the upper one of the second's."""
    choice = instruction.bits("op_sel", 2, 0)
    low, high = (_word(instruction.operands[1 + i], "u32", bool(choice[i])) for i in range(2))
    index = parse(instruction.operands[0]).index

    def step(w: Wave) -> None:
        lower, upper = low(w).copy(), high(w).copy()
        np.copyto(w.words[index], lower, where=w.mask)
        np.copyto(w.words[index + 1], upper, where=w.mask)

    return step


def _dot_floats(to_f32: Callable[[Array], Array], kind: str) -> Decoder:
    """v_dot2_f32_f16: two products and a sum, in f32."""

    def decode(instruction: Instruction) -> Step:
        pairs = instruction.operands[1:3]
        plain = Instruction(**{**vars(instruction), "operands": ("v0", *pairs)})
        low, high = _sources(plain, kind, _half)
        text = instruction.operands[3] if len(instruction.operands) > 3 else instruction.operands[0]
        addend = parse(text)
        c, index = read(addend.text, "f32"), parse(instruction.operands[0]).index
        sign = F32(-1 if addend.negate else 1)

        def step(w: Wave) -> None:
            a0, b0, a1, b1 = (to_f32(get(w)).astype(np.float64) for get in (*low, *high))
            total = a0 * b0 + a1 * b1 + sign * c(w)
            np.copyto(w.rows["f32"][index], total, "unsafe", w.mask)

        return step

    return decode


def _dot_integers(count: int, signed: bool) -> Decoder:
    """v_dot4_i32_i8 and its like."""
    bits = 32 // count

    def decode(instruction: Instruction) -> Step:
        a, b = (read(text, "u32") for text in instruction.operands[1:3])
        text = instruction.operands[3] if len(instruction.operands) > 3 else instruction.operands[0]
        c, index = read(text, "u32"), parse(instruction.operands[0]).index
        if instruction.modifiers:
            raise unknown(instruction)

        def step(w: Wave) -> None:
            total = c(w).astype(np.int64)
            for i in range(count):
                x, y = (
                    (get(w) >> _U32(bits * i)).astype(np.int64) & (1 << bits) - 1 for get in (a, b)
                )
                if signed:
                    x, y = ((v ^ (1 << bits - 1)) - (1 << bits - 1) for v in (x, y))
                total = total + x * y
            np.copyto(w.words[index], total, "unsafe", w.mask)

        return step

    return decode


def _decoders() -> dict[str, Decoder]:
    def fused16(a: Array, b: Array, c: Array) -> Array:
        return fused(a, b, c, F16)

    table = {
        "v_pk_add_f16": _halves("f16", np.add),
        "v_pk_mul_f16": _halves("f16", np.multiply),
        "v_pk_fma_f16": _halves("f16", fused16),
        "v_pk_max_f16": _halves("f16", np.fmax),
        "v_pk_min_f16": _halves("f16", np.fmin),
        "v_pk_mad_i16": _halves("i16", lambda a, b, c: a * b + c),
        "v_pk_mad_u16": _halves("u16", lambda a, b, c: a * b + c),
        "v_pk_mul_lo_u16": _halves("u16", np.multiply),
        "v_pk_lshlrev_b16": _halves("u16", lambda n, x: x << (n & _U16(15))),
        "v_pk_lshrrev_b16": _halves("u16", lambda n, x: x >> (n & _U16(15))),
        "v_pk_ashrrev_i16": _halves("i16", lambda n, x: x >> (n & np.int16(15))),
        "v_pk_add_f32": _words("f32", np.add),
        "v_pk_mul_f32": _words("f32", np.multiply),
        "v_pk_fma_f32": _words("f32", fused),
        "v_pk_mov_b32": _move,
        "v_dot2_f32_f16": _dot_floats(lambda x: x.astype(F32), "f16"),
        "v_dot2c_f32_f16": _dot_floats(lambda x: x.astype(F32), "f16"),
        "v_dot2_f32_bf16": _dot_floats(bf16_to_f32, "u16"),
        "v_dot2c_f32_bf16": _dot_floats(bf16_to_f32, "u16"),
    }
    for sign in "ui":
        kind = f"{sign}16"
        table[f"v_pk_add_{kind}"] = _halves(kind, np.add)
        table[f"v_pk_sub_{kind}"] = _halves(kind, np.subtract)
        table[f"v_pk_max_{kind}"] = _halves(kind, np.maximum)
        table[f"v_pk_min_{kind}"] = _halves(kind, np.minimum)
    for count, bits in ((2, 16), (4, 8), (8, 4)):
        for sign in "ui":
            for form in ("", "c"):  # c: the destination is the addend
                name = f"v_dot{count}{form}_{sign}32_{sign}{bits}"
                table[name] = _dot_integers(count, sign == "i")
    return table


DECODERS = _decoders()
