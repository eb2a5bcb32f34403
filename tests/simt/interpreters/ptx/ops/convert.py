"""cvt: between integers and floats of all widths, with rounding, saturation, and packed pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import INTEGERS, TYPES, Array, Type
from ptx.machine import Machine
from ptx.numerics import (
    WHOLE,
    bf16_to_f32,
    flush,
    integer_from,
    saturate,
    to_bf16,
    to_f16,
    to_f32,
    to_fp8,
    to_odd,
    two_sum,
)
from ptx.ops.half import fp8_pair, narrow, widen
from ptx.registry import Form, Step, instruction
from ptx.steps import assign

_TO_INTEGER = tuple(WHOLE)
_TO_FLOAT = ("rn", "rna", "rz", "rm", "rp")


@instruction("cvt")
def convert(machine: Machine, form: Form) -> Step:
    if "pack" in form.left:
        return _pack_integers(machine, form)
    if (len(form.left) >= 2 and form.left[-2].endswith("x2")) or form.left[-1].endswith("x2"):
        return _pairs(machine, form)
    of, to = form.type(), form.type()
    target = machine.target(form.operands[0], to)
    source = machine.value(form.operands[1], of)
    if of.name in INTEGERS:
        if to.name in INTEGERS:
            return assign(target, _integers(form, source, to))
        return assign(target, _integer_to_float(form, source, of, to))
    if to.name in INTEGERS:
        return assign(target, _float_to_integer(form, source, of, to))
    return assign(target, _floats(form, source, of, to))


def _integers(form: Form, source: Array, to: Type) -> Callable[[], Array]:
    dtype = np.dtype(to.dtype)
    if not form.has("sat"):
        return lambda: source.astype(dtype)
    limit = np.iinfo(dtype)

    def clamp() -> Array:
        least = max(limit.min, np.iinfo(source.dtype).min)
        most = min(limit.max, np.iinfo(source.dtype).max)
        return np.clip(source, source.dtype.type(least), source.dtype.type(most)).astype(dtype)

    return clamp


def _integer_to_float(form: Form, source: Array, of: Type, to: Type) -> Callable[[], Array]:
    rounding = form.need(*_TO_FLOAT)
    clamp = form.has("sat")
    if to.name == "f64" and of.size == 8 and rounding != "rn":
        raise form.unknown()

    def compute() -> Array:
        if to.name == "f64":
            found = source.astype(np.float64)
        elif to.name == "f32":
            nearest = rounding == "rn"
            found = source.astype(np.float32) if nearest else to_f32(_exact64(source), rounding)
        else:
            last = to_bf16 if to.name == "bf16" else to_f16
            found = last(_exact64(source), rounding)
        return saturate(found) if clamp else found

    return compute


def _exact64(source: Array) -> Array:
    """An integer as float64 rounded to odd, so that a second rounding does no harm."""
    value = source.astype(np.float64)
    if source.dtype.itemsize < 8:
        return value
    low = (source & np.asarray(0xFFFF, source.dtype)).astype(np.float64)
    high = (source >> np.asarray(16, source.dtype)).astype(np.float64) * 65536.0
    return to_odd(*two_sum(high, low))


def _float_to_integer(form: Form, source: Array, of: Type, to: Type) -> Callable[[], Array]:
    rounding = form.need(*_TO_INTEGER)
    form.has("sat")  # out of range clamps anyway
    ftz = form.has("ftz")
    dtype = np.dtype(to.dtype).type

    def compute() -> Array:
        value = bf16_to_f32(source) if of.name == "bf16" else source
        value = flush(value) if ftz and value.dtype == np.float32 else value
        return integer_from(value, dtype, rounding)

    return compute


def _floats(form: Form, source: Array, of: Type, to: Type) -> Callable[[], Array]:
    whole = form.take(*_TO_INTEGER)
    rounding = form.take(*_TO_FLOAT) or "rn"
    clamp, relu, ftz = form.has("sat"), form.has("relu"), form.has("ftz")
    shape = WHOLE.get(whole)

    def compute() -> Array:
        value = bf16_to_f32(source) if of.name == "bf16" else source
        if ftz and value.dtype == np.float32:
            value = flush(value)
        if shape is not None:
            value = shape(value)
        if relu:
            value = np.where(value > 0, value, np.zeros(1, value.dtype))
        if clamp:
            value = saturate(value)
        if to.name == "bf16":
            return to_bf16(
                value if value.dtype == np.float64 else value.astype(np.float32), rounding
            )
        if to.name == "f16":
            wide = value if value.dtype != np.float16 else value.astype(np.float32)
            return to_f16(wide, rounding)
        if to.name == "tf32":
            return _tf32(value, rounding)
        if to.name == "f32":
            if value.dtype == np.float64:
                value = to_f32(value, rounding)
            value = value.astype(np.float32)
            return flush(value) if ftz else value
        return value.astype(np.float64)

    return compute


def _tf32(value: Array, rounding: str) -> Array:
    bits = value.view(np.uint32)
    if rounding == "rz":
        add = np.uint32(0)
    elif rounding == "rna":
        add = np.uint32(0x1000)
    else:
        add = np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1))
    return np.where(np.isnan(value), np.uint32(0x7FFFFFFF), bits + add & np.uint32(0xFFFFE000))


def _pairs(machine: Machine, form: Form) -> Step:
    """cvt of pairs: the first source operand goes to the upper half."""
    name = form.left.pop()
    if name in ("e4m3x2", "e5m2x2"):
        return _from_fp8(machine, form, name.removesuffix("x2"))
    if name == "f16x2" or name == "bf16x2":
        of = TYPES[name]
        to_name = form.left.pop()
        if to_name not in ("e4m3x2", "e5m2x2"):
            raise form.unknown()
        raw = machine.value(form.operands[1], TYPES["b32"])

        def read() -> Array:
            return widen(raw, of)
    elif name == "f32":
        to_name = form.left.pop()
        upper, lower = (machine.value(operand, TYPES["f32"]) for operand in form.operands[1:3])

        def read() -> Array:
            return np.stack([lower, upper], axis=1)
    else:
        raise form.unknown()
    relu = form.has("relu")
    finite = form.has("satfinite")
    rounding = form.need("rn", "rz")

    def shape() -> Array:
        return np.where(read() > 0, read(), np.float32(0)) if relu else read()

    if to_name in ("e4m3x2", "e5m2x2"):
        if not finite or rounding != "rn":
            raise form.unknown()
        target = machine.target(form.operands[0], TYPES["b16"])
        kind = to_name.removesuffix("x2")
        return assign(target, lambda: to_fp8(shape(), kind).view(np.uint16)[:, 0])
    if finite or to_name not in ("f16x2", "bf16x2"):
        raise form.unknown()
    target = machine.target(form.operands[0], TYPES["b32"])
    last = to_bf16 if to_name == "bf16x2" else to_f16
    return assign(target, lambda: last(shape(), rounding).view(np.uint32)[:, 0])


def _from_fp8(machine: Machine, form: Form, kind: str) -> Step:
    to = TYPES[form.left.pop()]
    if to.name not in ("f16x2", "bf16x2"):
        raise form.unknown()
    form.need("rn")
    relu = form.has("relu")
    raw = machine.value(form.operands[1], TYPES["b16"])

    def compute() -> Array:
        value = fp8_pair(raw, kind)
        return narrow(np.where(value < 0, np.float32(0), value) if relu else value, to)

    return assign(machine.target(form.operands[0], TYPES["b32"]), compute)


def _pack_integers(machine: Machine, form: Form) -> Step:
    """Two integers, clamped, become the low part of the result; a third operand moves up behind."""
    behind = form.left[-1] == "b32" and bool(form.type())
    of, to = form.type(), form.type()
    form.need("pack")
    form.need("sat")
    a, b = (machine.value(operand, of) for operand in form.operands[1:3])
    c = machine.value(form.operands[3], TYPES["b32"]) if behind else None
    limit = np.iinfo(to.dtype)
    bits = 8 * to.size
    cut = np.uint64((1 << bits) - 1)

    def compute() -> Array:
        first, second = (
            np.clip(x.astype(np.int64), limit.min, limit.max).astype(np.uint64) & cut
            for x in (a, b)
        )
        found = first << np.uint64(bits) | second
        if c is not None:
            found |= c.astype(np.uint64) << np.uint64(2 * bits)
        return found

    return assign(machine.target(form.operands[0], TYPES["b32"]), compute)
