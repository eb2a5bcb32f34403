"""Vector instructions on floating-point numbers of 16, 32 and 64 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .floats import F16, F32, F64, exponent, flushed, fused, fused64
from .listing import Instruction
from .operands import Array, constant_bits, mask_target, parse, read, source, target, unknown
from .scalar_alu import Decoder
from .vector_alu import Vector, lane_wise, middle, vector
from .wave import Step, Wave, bools, mask_of

_FUSED: dict[str, Callable[[Array, Array, Array], Array]] = {
    "f16": lambda a, b, c: fused(a, b, c, F16),
    "f32": fused,
    "f64": fused64,
}


def _rounded_half(compute: Callable[..., Any]) -> Callable[..., Array]:
    """An f16 function, computed in f64."""
    return lambda *x: compute(*(v.astype(F64) for v in x)).astype(F16)


def _middle(a: Array, b: Array, c: Array) -> Array:
    """v_med3: with a number missing, the smallest of the rest."""
    lowest = np.fmin(np.fmin(a, b), c)
    return np.where(np.isnan(a) | np.isnan(b) | np.isnan(c), lowest, middle(a, b, c))


def _fraction(x: Array) -> Array:
    below_one = x.dtype.type(1) - np.finfo(x.dtype).epsneg
    return np.minimum(x - np.floor(x), below_one)


def _scaled(x: Array, by: Array) -> Array:
    """x * 2**by; where that is subnormal, rounded once."""
    return np.ldexp(x, np.clip(by.astype(np.int32), -5000, 5000))


def _mantissa(x: Array) -> Array:
    return np.where(np.isfinite(x), np.frexp(x)[0], x)


def _binary_exponent(x: Array) -> Array:
    return np.where(np.isfinite(x), np.frexp(x)[1], 0).astype(np.int32)


def _legacy_product(a: Array, b: Array) -> Array:
    return np.where((a == 0) | (b == 0), F32(0), a * b)


def _same(kind: str) -> dict[str, Vector]:
    """What every width has."""
    one, two, three = (f"{kind} = " + " ".join([kind] * n) for n in (1, 2, 3))
    table = {
        f"v_add_{kind}": vector(two, np.add),
        f"v_mul_{kind}": vector(two, np.multiply),
        f"v_max_{kind}": vector(two, np.fmax),
        f"v_min_{kind}": vector(two, np.fmin),
        f"v_fma_{kind}": vector(three, _FUSED[kind]),
        f"v_fmac_{kind}": vector(three, _FUSED[kind]),
        f"v_floor_{kind}": vector(one, np.floor),
        f"v_ceil_{kind}": vector(one, np.ceil),
        f"v_trunc_{kind}": vector(one, np.trunc),
        f"v_rndne_{kind}": vector(one, np.rint),
        f"v_fract_{kind}": vector(one, _fraction),
        f"v_frexp_mant_{kind}": vector(one, _mantissa),
    }
    if kind != "f64":
        table |= {
            f"v_sub_{kind}": vector(two, np.subtract),
            f"v_subrev_{kind}": vector(two, lambda a, b: b - a),
            f"v_mad_{kind}": vector(three, lambda a, b, c: a * b + c),
            f"v_mac_{kind}": vector(three, lambda a, b, c: a * b + c),
            f"v_min3_{kind}": vector(three, lambda a, b, c: np.fmin(np.fmin(a, b), c)),
            f"v_max3_{kind}": vector(three, lambda a, b, c: np.fmax(np.fmax(a, b), c)),
            f"v_med3_{kind}": vector(three, _middle),
        }
    return table


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp2,
    "log": np.log2,
    "rcp": lambda x: 1 / x,
    "rsq": lambda x: 1 / np.sqrt(x),
    "sqrt": np.sqrt,
    "sin": lambda x: np.sin(2 * np.pi * x),  # of turns
    "cos": lambda x: np.cos(2 * np.pi * x),
}


def _table() -> dict[str, Vector]:
    table = _same("f16") | _same("f32") | _same("f64")
    for name, compute in _FUNCTIONS.items():
        table[f"v_{name}_f32"] = vector("f32 = f32", flushed(compute))
        table[f"v_{name}_f16"] = vector("f16 = f16", _rounded_half(compute))
        table[f"v_{name}_f64"] = vector("f64 = f64", compute)
    return table | {
        "v_rcp_iflag_f32": table["v_rcp_f32"],
        "v_mul_legacy_f32": vector("f32 = f32 f32", _legacy_product),
        "v_ldexp_f32": vector("f32 = f32 i32", _scaled),
        "v_ldexp_f64": vector("f64 = f64 i32", _scaled),
        "v_ldexp_f16": vector("f16 = f16 i16", _scaled),
        "v_frexp_exp_i32_f32": vector("i32 = f32", _binary_exponent),
        "v_frexp_exp_i32_f64": vector("i32 = f64", _binary_exponent),
        "v_fma_legacy_f16": table["v_fma_f16"],  # legacy: the upper half becomes zero
        "v_mad_legacy_f16": table["v_mad_f16"],
        "v_frexp_exp_i16_f16": vector("i16 = f16", _binary_exponent),
    }


# ---- division: scale, refine (ordinary fused instructions), undo the scale, fix special values


def _ordinary(of_d: Array, of_n: Array, tiny: int, far: int, top: int) -> bool:
    """Whether no lane needs a scale: both numbers and both quotients are far inside the range."""
    if of_d.min() < 1 or of_d.max() > top - 4 or of_n.min() <= tiny:
        return False
    ratio = of_n - of_d
    return bool(ratio.max() < far and ratio.min() > 3 - top // 2)


def _divide_scale(kind: str) -> Decoder:
    """v_div_scale: scales numerator or denominator so that no refinement step leaves the range."""
    far, scale, tiny, top = (96, 64, 23, 255) if kind == "f32" else (768, 128, 53, 2047)
    smallest = np.finfo(F32 if kind == "f32" else F64).tiny

    def decode(instruction: Instruction) -> Step:
        put, put_mask = target(instruction, 0, kind), mask_target(instruction.operands[1])
        a, den, num = (source(instruction, 2 + i, i, kind) for i in range(3))

        def step(w: Wave) -> None:
            x, d, n = np.broadcast_arrays(a(w), den(w), num(w))
            of_d, of_n = exponent(d), exponent(n)
            if _ordinary(of_d, of_n, tiny, far, top):
                put(w, x)
                put_mask(w, 0)
                return
            is_den = x.view(f"u{x.itemsize}") == d.view(f"u{d.itemsize}")
            is_num = x.view(f"u{x.itemsize}") == n.view(f"u{n.itemsize}")
            # The quotients here are compared with the smallest normal number alone: the type's
            # own rounding serves.
            inverse, quotient = np.abs(d.dtype.type(1) / d), np.abs(n / d)
            zero = (n == 0) | (d == 0)
            huge = of_n - of_d >= far
            subnormal_den = (np.abs(d) < smallest) & (d != 0)
            low_inverse, low_quotient = inverse < smallest, quotient < smallest
            cases = [
                (zero, None, None),
                (huge, is_den, scale),
                (subnormal_den, np.True_, scale),
                # The manuals print a positive scale here, by which the denominator would overflow.
                (low_inverse & low_quotient, is_den, -scale),
                (low_inverse, np.True_, -scale),
                (low_quotient, is_num, scale),
                (of_n <= tiny, np.True_, scale),
            ]
            flags = ~zero & (huge | ~subnormal_den & low_quotient)
            shift = np.zeros(x.shape, np.int32)
            left = np.ones(x.shape, np.bool_)
            for holds, who, amount in cases:
                if amount is not None:
                    shift[left & holds & who] = amount
                left &= ~holds
            put(w, np.where(zero, x.dtype.type(np.nan), np.ldexp(x, shift)))
            put_mask(w, mask_of(flags) & w.exec)

        return step

    return decode


def _divide_fused(kind: str) -> Decoder:
    """v_div_fmas: a fused multiply-add whose scale is undone in the lanes of vcc."""
    scale, middle_exponent = (64, 127) if kind == "f32" else (128, 1023)

    def decode(instruction: Instruction) -> Step:
        put = target(instruction, 0, kind)
        sources = [source(instruction, 1 + i, i, kind) for i in range(3)]

        def step(w: Wave) -> None:
            a, b, c = (get(w) for get in sources)
            plain = _FUSED[kind](a, b, c)
            flags = bools(w.vcc)
            if not (flags & w.active).any():
                put(w, plain)
                return
            up = exponent(np.broadcast_to(c, flags.shape).copy()) > middle_exponent
            wide: Array = plain
            if kind == "f32":  # so that a subnormal quotient is rounded once
                wide = np.multiply(a, b, dtype=F64) + c
            scaled = np.ldexp(wide, np.where(up, scale, -scale)).astype(plain.dtype)
            put(w, np.where(flags, scaled, plain))

        return step

    return decode


def _divide_fixup(q: Array, d: Array, n: Array) -> Array:
    """v_div_fixup: the quotient, or what the division of special values gives."""
    q, d, n = np.broadcast_arrays(q, d, n)
    number = q.dtype.type
    sign = np.where(np.signbit(d) ^ np.signbit(n), number(-1), number(1))
    infinite, zero = sign * number(np.inf), sign * number(0)
    wide, top = {2: (22, 31), 4: (150, 255), 8: (1075, 2047)}[q.itemsize]
    out = np.where(np.isnan(q), infinite, np.abs(q) * sign)  # the steps before left the range
    if q.itemsize > 2:
        out = np.where(exponent(d) == top, infinite, out)
        out = np.where(exponent(n) - exponent(d) < -wide, zero, out)
    out = np.where(np.isinf(d) | (n == 0), zero, out)
    out = np.where((d == 0) | np.isinf(n), infinite, out)
    impossible = ((d == 0) & (n == 0)) | (np.isinf(d) & np.isinf(n))
    return np.where(impossible | np.isnan(d) | np.isnan(n), number(np.nan), out)


# ---- forms with a constant in the middle or halves as sources


def _with_literal(kind: str, addend: bool, is_fused: bool) -> Decoder:
    """v_fmaak: a * b + K; v_fmamk: a * K + b. v_madak and v_madmk round twice."""

    def decode(instruction: Instruction) -> Step:
        put = target(instruction, 0, kind)
        a = source(instruction, 1, 0, kind)
        b, c = read(instruction.operands[2], kind), read(instruction.operands[3], kind)
        if parse(instruction.operands[3 if addend else 2]).bank != "constant":
            raise unknown(instruction)
        if is_fused:
            compute = _FUSED[kind]
            return lambda w: put(w, compute(a(w), b(w), c(w)))
        return lambda w: put(w, a(w) * b(w) + c(w))

    return decode


def _always(value: Array) -> Callable[[Wave], Array]:
    return lambda w: value


def _mixed_sources(instruction: Instruction) -> list[Callable[[Wave], Array]]:
    """v_fma_mix: op_sel_hi says which sources are f16, op_sel which of their halves."""
    half, high = instruction.bits("op_sel_hi", 3, 0), instruction.bits("op_sel", 3, 0)
    sources: list[Callable[[Wave], Array]] = []
    for i, text in enumerate(instruction.operands[1:4]):
        operand = parse(text)
        kind = "f16" if half[i] else "f32"
        if operand.bank == "constant":
            bits = constant_bits(operand.text, kind)
            value = np.array([bits], np.uint16 if half[i] else np.uint32)
            value = value.view(F16 if half[i] else F32)
            get: Callable[[Wave], Array] = _always(value)
        else:
            get = read(operand.text, kind, bool(half[i] and high[i]))
        sign, absolute = F32(-1 if operand.negate else 1), operand.absolute
        sources.append(
            lambda w, get=get, sign=sign, absolute=absolute: (
                sign * (np.abs(get(w)) if absolute else get(w)).astype(F32)
            )
        )
    return sources


def _mixed(result: str, high: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        a, b, c = _mixed_sources(instruction)
        index = parse(instruction.operands[0]).index
        clamp = "clamp" in instruction.modifiers
        row = result + ("h" if high else "")
        narrow = F16 if result == "f16" else F32

        def step(w: Wave) -> None:
            x = fused(a(w), b(w), c(w), narrow)
            if clamp:
                x = np.fmin(np.fmax(x, narrow(0)), narrow(1))
            np.copyto(w.rows[row][index], x, where=w.mask)

        return step

    return decode


def _decoders() -> dict[str, Decoder]:
    table = {name: lane_wise(form) for name, form in _table().items()}
    for kind in ("f32", "f64"):
        table[f"v_div_scale_{kind}"] = _divide_scale(kind)
        table[f"v_div_fmas_{kind}"] = _divide_fused(kind)
    for kind in ("f16", "f32", "f64"):
        form = vector(f"{kind} = {kind} {kind} {kind}", _divide_fixup)
        table[f"v_div_fixup_{kind}"] = lane_wise(form)
    for kind in ("f16", "f32"):
        table[f"v_fmaak_{kind}"] = _with_literal(kind, True, True)
        table[f"v_fmamk_{kind}"] = _with_literal(kind, False, True)
        table[f"v_madak_{kind}"] = _with_literal(kind, True, False)
        table[f"v_madmk_{kind}"] = _with_literal(kind, False, False)
    for family in ("v_fma_mix", "v_mad_mix"):
        table[f"{family}_f32"] = _mixed("f32", False)
        table[f"{family}lo_f16"] = _mixed("f16", False)
        table[f"{family}hi_f16"] = _mixed("f16", True)
    return table


DECODERS = _decoders()
