"""Float arithmetic that numpy lacks: fused multiply-add, the two fp8 formats, odd roundings."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F16, F32, F64 = np.float16, np.float32, np.float64

# The bits of a double below the last bit of a narrower number, and how they look half way.
_TAIL = {
    F32: (np.uint64((1 << 29) - 1), np.uint64(1 << 28)),
    F16: (np.uint64((1 << 42) - 1), np.uint64(1 << 41)),
}


def fused(a: Array, b: Array, c: Array, narrow: Any = F32) -> Array:
    """a * b + c rounded once to `narrow` (f16 or f32).

    The double product is exact. The double sum may not be, which matters only where it lies half
    way between two narrow numbers: those lanes are moved to the side on which the true sum is.
    (Subnormal f32 results have their half ways elsewhere and may be rounded twice.)
    """
    product = np.multiply(a, b, dtype=F64)
    total = product + c
    tail, half = _TAIL[narrow]
    doubtful = (total.view(np.uint64) & tail) == half
    if doubtful.any():
        lost = _lost(product, c, total)
        side = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
        total = np.where(doubtful & (lost != 0) & np.isfinite(total), side, total)
    return total.astype(narrow)


def _lost(a: Array, b: Array, total: Array) -> Array:
    """What the rounding of a + b to `total` left out, exactly (Knuth)."""
    of_b = total - a
    return (a - (total - of_b)) + (b - of_b)


def fused64(a: Array, b: Array, c: Array) -> Array:
    """a * b + c in f64, rounded once."""
    plain = np.asarray(a * b + c)
    out = plain.copy()
    a, b, c = (np.broadcast_to(x, out.shape) for x in (a, b, c))
    for lane in np.flatnonzero(np.isfinite(a) & np.isfinite(b) & np.isfinite(c)):
        exact = Fraction(float(a[lane])) * Fraction(float(b[lane])) + Fraction(float(c[lane]))
        if exact:  # of zero the plain sum has the sign right
            out[lane] = to_double(exact)
    return out


def to_double(x: Fraction) -> float:
    try:
        return x.numerator / x.denominator  # Python rounds this once
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


def toward_zero_f16(x: Array) -> Array:
    """f32 to f16, rounded toward zero; what is too large becomes the largest number."""
    near = x.astype(F16)
    over = (np.abs(near.astype(F32)) > np.abs(x)) & np.isfinite(x)
    return (near.view(np.uint16) - over.astype(np.uint16)).view(F16)


def exponent(x: Array) -> NDArray[np.int64]:
    """The exponent field."""
    if x.dtype == F64:
        return (x.view(np.uint64) >> np.uint64(52) & np.uint64(0x7FF)).astype(np.int64)
    return (x.view(np.uint32) >> np.uint32(23) & np.uint32(0xFF)).astype(np.int64)


def flushed(compute: Any) -> Any:
    """A function of one f32 number that takes and gives subnormal numbers as zero."""
    tiny = F32(2.0**-126)

    def wrapped(x: Array) -> Array:
        x = np.where(np.abs(x) < tiny, np.copysign(F32(0), x), x)
        y = compute(x.astype(F64)).astype(F32)
        return np.where(np.abs(y) < tiny, np.copysign(F32(0), y), y)

    return wrapped


# ---- fp8 as gfx942 has it ("fnuz"): no infinities, no negative zero; 0x80 is not a number


def _fp8_values(mantissa: int, bias: int) -> NDArray[np.float32]:
    values = np.empty(256, F32)
    for bits in range(256):
        sign = -1.0 if bits & 0x80 else 1.0
        field, fraction = bits >> mantissa & (0x7F >> mantissa), bits & (1 << mantissa) - 1
        scale = 2.0 ** (max(field, 1) - bias - mantissa)
        values[bits] = sign * (fraction + ((1 << mantissa) if field else 0)) * scale
    values[0x80] = np.nan
    return values


FP8_VALUES = {"fp8": _fp8_values(3, 8), "bf8": _fp8_values(2, 16)}
_FP8_POSITIVE = {name: values[:128].astype(F64) for name, values in FP8_VALUES.items()}


def to_fp8(x: Array, form: str) -> NDArray[np.uint8]:
    """To the nearest, ties to even; what rounds beyond the largest number is not a number."""
    table = _FP8_POSITIVE[form]
    size = np.abs(x.astype(F64))
    above = np.clip(np.searchsorted(table, size), 1, 127)
    below = above - 1
    middle = (table[below] + table[above]) / 2
    code = np.where((size > middle) | ((size == middle) & (above % 2 == 0)), above, below)
    step = table[127] - table[126]
    code = np.where((size >= table[127] + step / 2) | np.isnan(x), 0x80, code)
    negative = np.signbit(x) & (code != 0) & (code != 0x80)
    return (code | np.where(negative, 0x80, 0)).astype(np.uint8)


def bf16_to_f32(bits: Array) -> Array:
    return (bits.astype(np.uint32) << np.uint32(16)).view(F32)
