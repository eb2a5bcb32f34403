"""Integer arithmetic: everything wraps, signed division rounds towards zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import INTEGERS, TYPES, Array, Mask, Type
from ptx.machine import Machine
from ptx.registry import Form, Step, instruction
from ptx.steps import apply, assign

_LOW32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def high_unsigned64(a: Array, b: Array) -> Array:
    """The upper half of a 128-bit product, from four 64-bit ones."""
    a_low, a_high, b_low, b_high = a & _LOW32, a >> _32, b & _LOW32, b >> _32
    middle = a_high * b_low + (a_low * b_low >> _32)
    other = a_low * b_high + (middle & _LOW32)
    return a_high * b_high + (middle >> _32) + (other >> _32)


def high(a: Array, b: Array) -> Array:
    """The upper half of the product, in the type of the operands."""
    size, kind = a.dtype.itemsize, a.dtype.kind
    if size < 8:
        wide = np.dtype(f"{kind}{2 * size}")
        return (a.astype(wide) * b.astype(wide) >> np.asarray(8 * size, wide)).astype(a.dtype)
    found = high_unsigned64(a.view(np.uint64), b.view(np.uint64))
    if kind == "i":
        found = found.view(np.int64) - np.where(a < 0, b, 0) - np.where(b < 0, a, 0)
    return found


def divide(a: Array, b: Array) -> Array:
    """Towards zero; by zero all bits are set, as the hardware's sequence leaves them."""
    quotient = np.floor_divide(a, b)
    if a.dtype.kind == "i":
        inexact = quotient * b != a
        quotient = quotient + (inexact & ((a ^ b) < 0))
    return np.where(b == 0, ~np.zeros(1, a.dtype), quotient)


def _three(machine: Machine, form: Form, kind: Type) -> tuple[Array, Array, Array]:
    target = machine.target(form.operands[0], kind)
    return target, machine.value(form.operands[1], kind), machine.value(form.operands[2], kind)


@instruction("add", "sub", types=INTEGERS)
def add(machine: Machine, form: Form) -> Step:
    kind = form.type()
    target, a, b = _three(machine, form, kind)
    function = np.add if form.name == "add" else np.subtract
    if form.has("cc"):
        return _with_carry(machine, target, a, b, form.name, carry_in=False, carry_out=True)
    if form.has("sat"):
        limit = np.iinfo(kind.dtype)

        def wide() -> Array:
            return function(a.astype(np.int64), b.astype(np.int64))

        return assign(target, lambda: np.clip(wide(), limit.min, limit.max))
    return apply(function, target, a, b)


@instruction("addc", "subc", types=INTEGERS)
def add_carry(machine: Machine, form: Form) -> Step:
    target, a, b = _three(machine, form, form.type())
    out = form.has("cc")
    return _with_carry(machine, target, a, b, form.name[:3], carry_in=True, carry_out=out)


def _with_carry(
    machine: Machine, target: Array, a: Array, b: Array, name: str, carry_in: bool, carry_out: bool
) -> Step:
    unsigned = f"u{a.dtype.itemsize}"
    a, b, carry = a.view(unsigned), b.view(unsigned), machine.carry

    def step(mask: Mask) -> None:
        incoming = carry.astype(unsigned) if carry_in else np.zeros(1, unsigned)
        if name == "add":
            found = a + b + incoming
            carried = (found < a) | ((found == a) & (incoming != 0) & (b != 0))
        else:
            found = a - b - incoming
            carried = (a < b) | ((a == b) & (incoming != 0))
        np.copyto(target, found.view(target.dtype), where=mask)
        if carry_out:
            np.copyto(carry, carried, where=mask)

    return step


@instruction("mul", "mul24", types=INTEGERS)
def mul(machine: Machine, form: Form) -> Step:
    kind = form.type()
    product, result = _product(machine, form, kind)
    return assign(machine.target(form.operands[0], result), product)


@instruction("mad", "mad24", types=INTEGERS)
def mad(machine: Machine, form: Form) -> Step:
    kind = form.type()
    carry_out = form.has("cc")
    saturate = form.has("sat")
    product, result = _product(machine, form, kind)
    target, c = machine.target(form.operands[0], result), machine.value(form.operands[3], result)
    if carry_out:
        return _mad_carry(machine, target, product, c, carry_in=False, carry_out=True)
    if saturate:
        limit = np.iinfo(kind.dtype)

        def wide() -> Array:
            return product().astype(np.int64) + c

        return assign(target, lambda: np.clip(wide(), limit.min, limit.max))
    return assign(target, lambda: product() + c)


@instruction("madc", types=INTEGERS)
def mad_carry(machine: Machine, form: Form) -> Step:
    kind = form.type()
    carry_out = form.has("cc")
    product, result = _product(machine, form, kind)
    target, c = machine.target(form.operands[0], result), machine.value(form.operands[3], result)
    return _mad_carry(machine, target, product, c, carry_in=True, carry_out=carry_out)


def _mad_carry(
    machine: Machine,
    target: Array,
    product: Callable[[], Array],
    c: Array,
    carry_in: bool,
    carry_out: bool,
) -> Step:
    def step(mask: Mask) -> None:
        _with_carry(machine, target, product(), c, "add", carry_in, carry_out)(mask)

    return step


def _product(machine: Machine, form: Form, kind: Type) -> tuple[Callable[[], Array], Type]:
    """How to compute operand 1 times operand 2, and the type that comes out."""
    mode = form.need("lo", "hi", "wide")
    a, b = machine.value(form.operands[1], kind), machine.value(form.operands[2], kind)
    if form.name.endswith("24"):
        if mode != "lo":
            raise form.unknown()
        shift = np.asarray(8, a.dtype)
        return lambda: (a << shift >> shift) * (b << shift >> shift), kind
    if mode == "lo":
        return lambda: a * b, kind
    if mode == "hi":
        return lambda: high(a, b), kind
    result = TYPES[f"{kind.name[0]}{16 * kind.size}"]
    wide = np.dtype(result.dtype)
    return lambda: np.multiply(a, b, dtype=wide), result


@instruction("div", types=INTEGERS)
def div(machine: Machine, form: Form) -> Step:
    target, a, b = _three(machine, form, form.type())
    return assign(target, lambda: divide(a, b))


@instruction("rem", types=INTEGERS)
def rem(machine: Machine, form: Form) -> Step:
    target, a, b = _three(machine, form, form.type())
    return assign(target, lambda: np.where(b == 0, a, np.fmod(a, b)))


@instruction("min", "max", types=INTEGERS)
def min_max(machine: Machine, form: Form) -> Step:
    target, a, b = _three(machine, form, form.type())
    relu = form.has("relu")
    function = np.minimum if form.name == "min" else np.maximum
    if relu:
        return assign(target, lambda: np.maximum(function(a, b), 0))
    return apply(function, target, a, b)


@instruction("abs", "neg", types=INTEGERS)
def sign(machine: Machine, form: Form) -> Step:
    kind = form.type()
    target, a = machine.target(form.operands[0], kind), machine.value(form.operands[1], kind)
    return apply(np.absolute if form.name == "abs" else np.negative, target, a)


@instruction("sad", types=INTEGERS)
def sum_of_difference(machine: Machine, form: Form) -> Step:
    kind = form.type()
    target, a, b = _three(machine, form, kind)
    c = machine.value(form.operands[3], kind)
    return assign(target, lambda: c + np.where(a < b, b - a, a - b))


@instruction("dp4a", "dp2a")
def dot(machine: Machine, form: Form) -> Step:
    """Four bytes against four, or two halves against two of four bytes, added to c."""
    b_kind, a_kind = form.type(), form.type()
    half = form.need("lo", "hi") if form.name == "dp2a" else ""
    signed = "s" in (a_kind.name[0], b_kind.name[0])
    target = machine.target(form.operands[0], TYPES["s32" if signed else "u32"])
    a, b = (machine.value(operand, TYPES["b32"]) for operand in form.operands[1:3])
    c = machine.value(form.operands[3], TYPES["s32" if signed else "u32"])
    a_bits = 16 if half else 8
    start = 16 if half == "hi" else 0

    def piece(word: Array, at: int, bits: int, kind: Type) -> Array:
        signed_type, unsigned_type = (np.int16, np.uint16) if bits == 16 else (np.int8, np.uint8)
        cut = (word >> np.uint32(at)).astype(unsigned_type)
        return cut.view(signed_type if kind.name[0] == "s" else unsigned_type).astype(np.int64)

    def compute() -> Array:
        total = c.astype(np.int64)
        for i in range(32 // a_bits):
            total = total + piece(a, a_bits * i, a_bits, a_kind) * piece(
                b, start + 8 * i, 8, b_kind
            )
        return total

    return assign(target, compute)
