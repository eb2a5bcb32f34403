"""Rounding: small float formats, directed modes, and sums that must be rounded once.

The recipe for a single rounding is one: compute in float64 so that an inexact result has its last
bit set ("round to odd"), then round that to the narrow format. 53 bits are more than twice 24, so
the second rounding sees every tie as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ptx.kinds import Array, Functions, Type

WHOLE: Functions = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
_TINY = {4: np.float32(2.0**-126), 8: np.float64(2.0**-1022)}
_EXPONENT64 = np.uint64(0x7FF0000000000000)
_ONE = np.uint64(1)
_BELOW_F32 = np.uint64((1 << 29) - 1)  # what float64 has beyond float32
_TIE_F32 = np.uint64(1 << 28)
_SUBNORMAL_F32 = np.uint64((0x3810000000000000 << 1) - 1)  # 2^-126 without its sign
_CANONICAL = {"f32": 0x7FFFFFFF, "f16": 0x7FFF, "bf16": 0x7FFF}


def flush(x: Array) -> Array:
    """Subnormal numbers become zeros of the same sign."""
    return np.where(np.abs(x) < _TINY[x.dtype.itemsize], np.copysign(np.zeros(1, x.dtype), x), x)


def saturate(x: Array) -> Array:
    """To [0, 1]; NaN becomes 0."""
    return np.where(x > 0, np.minimum(x, np.ones(1, x.dtype)), np.zeros(1, x.dtype))


def bf16_to_f32(bits: Array) -> Array:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def readable(raw: Array, kind: Type) -> Callable[[], Array]:
    """How to read an operand as numbers that numpy computes with exactly."""
    if kind.name == "bf16":
        return lambda: bf16_to_f32(raw)
    if kind.name == "f16":
        return lambda: raw.astype(np.float32)
    return lambda: raw


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b and what the rounding lost, exactly."""
    total = a + b
    back: Array = total - a
    return total, (a - (total - back)) + (b - back)


def to_odd(total: Array, lost: Array) -> Array:
    """The float64 `total + lost` rounded to odd: towards zero, then the last bit set if inexact."""
    bits = total.view(np.uint64)
    one = np.uint64(1)
    inexact = (lost != 0) & (bits & _EXPONENT64 != _EXPONENT64)
    too_big = inexact & ((lost < 0) != (total < 0))
    bits = bits - (too_big & (bits & one == 0)).astype(np.uint64)
    return np.where(inexact, bits | one, bits).view(np.float64)


def fused_odd(a: Array, b: Array, c: Array) -> Array:
    """a * b + c of float32 or narrower numbers, in float64 rounded to odd."""
    wide = np.float64
    return to_odd(*two_sum(a.astype(wide) * b.astype(wide), c.astype(wide)))


def fused_f32(a: Array, b: Array, c: Array) -> Array:
    """a * b + c of float32 numbers, rounded once to nearest even.

    The float64 sum is off by at most half of its last bit. Where it is not a tie of float32, and
    not among float32's subnormals, rounding it again gives what one rounding gives.
    """
    product = a.astype(np.float64)
    product *= b
    total = product + c
    bits = total.view(np.uint64)
    doubtful = bits & _BELOW_F32 == _TIE_F32
    doubtful |= (bits << _ONE) - _ONE < _SUBNORMAL_F32  # zero wraps around
    found = total.astype(np.float32)
    if doubtful.any():
        some = np.flatnonzero(doubtful)
        whole, lost = two_sum(product[some], c[some].astype(np.float64))
        if lost.any():
            found[some] = to_odd(whole, lost).astype(np.float32)
    return found


def fused_f64(a: Array, b: Array, c: Array) -> Array:
    """a * b + c of float64 numbers, rounded once: slow, by exact fractions."""
    plain = a * b + c
    out = np.array(plain, np.float64)
    parts = np.broadcast_arrays(a, b, c)
    for i in np.flatnonzero(np.isfinite(a) & np.isfinite(b) & np.isfinite(c)):
        x, y, z = (float(part[i]) for part in parts)
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            try:
                out[i] = float(exact)
            except OverflowError:
                out[i] = np.inf if exact > 0 else -np.inf
    return out


def to_f32(x: Array, rounding: str = "rn") -> Array:
    """float64, exact or rounded to odd, to float32."""
    nearest = x.astype(np.float32)
    if rounding == "rn":
        return nearest
    if rounding == "rz":
        over = np.abs(nearest.astype(np.float64)) > np.abs(x)
        return np.where(over, np.nextafter(nearest, np.float32(0)), nearest)
    if rounding == "rm":
        over = nearest > x
        return np.where(over, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    under = nearest < x
    return np.where(under, np.nextafter(nearest, np.float32(np.inf)), nearest)


def f32_to_odd(x: Array) -> Array:
    """float64 to float32, towards zero and with the last bit set where that was inexact."""
    cut = to_f32(x, "rz")
    inexact = (cut != x) & np.isfinite(cut)
    return np.where(inexact, cut.view(np.uint32) | np.uint32(1), cut.view(np.uint32)).view(
        np.float32
    )


def to_bf16(x: Array, rounding: str = "rn") -> Array:
    """float32 or float64 to the bits of bfloat16."""
    narrow = f32_to_odd(x) if x.dtype == np.float64 else x
    bits = narrow.view(np.uint32)
    half, sixteen = np.uint32(0x7FFF), np.uint32(16)
    if rounding == "rn":
        found = bits + half + (bits >> sixteen & np.uint32(1)) >> sixteen
    elif rounding == "rz":
        found = bits >> sixteen
    elif rounding == "rna":
        found = bits + np.uint32(0x8000) >> sixteen
    else:
        negative = bits >> np.uint32(31) != 0
        away = negative if rounding == "rm" else ~negative
        found = np.where(away, bits + np.uint32(0xFFFF), bits) >> sixteen
    return np.where(np.isnan(narrow), np.uint16(_CANONICAL["bf16"]), found).astype(np.uint16)


def to_f16(x: Array, rounding: str = "rn") -> Array:
    """float32 or float64, exact or rounded to odd, to float16."""
    nearest = x.astype(np.float16)
    if rounding == "rz":
        over = np.abs(nearest.astype(x.dtype)) > np.abs(x)
        nearest = np.where(over, np.nextafter(nearest, np.float16(0)), nearest)
    elif rounding == "rm":
        over = nearest.astype(x.dtype) > x
        nearest = np.where(over, np.nextafter(nearest, np.float16(-np.inf)), nearest)
    elif rounding == "rp":
        under = nearest.astype(x.dtype) < x
        nearest = np.where(under, np.nextafter(nearest, np.float16(np.inf)), nearest)
    return np.where(np.isnan(x), np.uint16(_CANONICAL["f16"]).view(np.float16), nearest)


def round_to(kind: str) -> Callable[..., Array]:
    """How float64 becomes the bits of f16 or bf16."""
    if kind == "bf16":
        return to_bf16
    return lambda x, rounding="rn": to_f16(x, rounding).view(np.uint16)


# --- eight-bit floats


def _fp8_values(exponent_bits: int, mantissa_bits: int) -> Array:
    """What each of the 256 codes means."""
    code = np.arange(256)
    exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = code & (1 << mantissa_bits) - 1
    bias = (1 << exponent_bits - 1) - 1
    fraction = mantissa / (1 << mantissa_bits)
    value = np.where(
        exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias)
    )
    if exponent_bits == 5:  # e5m2 has infinities as IEEE formats do; e4m3 has one NaN a sign
        value = np.where(exponent == 31, np.where(mantissa == 0, np.inf, np.nan), value)
    else:
        value = np.where(code & 0x7F == 0x7F, np.nan, value)
    return np.where(code & 0x80, -value, value).astype(np.float32)


FP8 = {"e4m3": _fp8_values(4, 3), "e5m2": _fp8_values(5, 2)}


def to_fp8(x: Array, kind: str) -> Array:
    """To nearest even, saturating to the largest finite number."""
    values = FP8[kind][:128].astype(np.float64)
    finite = values[np.isfinite(values)]
    magnitude = np.minimum(np.abs(x.astype(np.float64)), finite[-1])
    below = np.clip(np.searchsorted(finite, magnitude, "right") - 1, 0, finite.size - 1)
    above = np.minimum(below + 1, finite.size - 1)
    down, up = magnitude - finite[below], finite[above] - magnitude
    code = np.where((up < down) | ((up == down) & (below % 2 == 1)), above, below)
    code = np.where(np.isnan(x), 0x7F, code)
    sign = np.where(np.signbit(x) & ~np.isnan(x), 0x80, 0)
    return (code | sign).astype(np.uint8)


def integer_from(x: Array, dtype: Any, rounding: str) -> Array:
    """A float to an integer type, clamped to its range; `rounding` is rni, rzi, rmi or rpi."""
    limit = np.iinfo(dtype)
    whole = WHOLE[rounding](x.astype(np.float64))
    safe = np.clip(np.nan_to_num(whole, nan=0.0), float(limit.min), float(limit.max))
    top = safe >= float(limit.max)
    found = np.where(top, 0, safe).astype(dtype)
    found = np.where(top, dtype(limit.max), found)
    if x.dtype == np.float64 or limit.bits == 64:
        return np.where(np.isnan(x), dtype(limit.min if limit.min else 1 << limit.bits - 1), found)
    return found
