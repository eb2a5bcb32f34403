"""Arithmetic of f16 and bf16, alone and in pairs: computed wide, rounded once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import HALVES, TYPES, Array, Type
from ptx.machine import Machine
from ptx.numerics import FP8, bf16_to_f32, fused_odd, round_to, saturate, to_odd, two_sum
from ptx.registry import Form, Step, instruction
from ptx.steps import assign

_FUNCTIONS: dict[str, Callable[[Array], Array]] = {"ex2": np.exp2, "tanh": np.tanh}


def widen(raw: Array, kind: Type) -> Array:
    """Bits of f16, bf16 or a pair as float32, [n] or [n, 2]."""
    bits = np.ascontiguousarray(raw).view(np.uint16)
    if kind.size == 4:
        bits = bits.reshape(-1, 2)
    return (
        bf16_to_f32(bits)
        if kind.name.startswith("bf16")
        else bits.view(np.float16).astype(np.float32)
    )


def narrow(values: Array, kind: Type) -> Array:
    """Float64 or float32, [n] or [n, 2], to the register's bits."""
    bits = round_to(kind.name.removesuffix("x2"))(values)
    return np.ascontiguousarray(bits).view(np.uint32)[:, 0] if kind.size == 4 else bits


def _raw(machine: Machine, operand: str, kind: Type) -> Array:
    return machine.value(operand, TYPES[f"b{8 * kind.size}"])


def _target(machine: Machine, form: Form, kind: Type) -> Array:
    return machine.target(form.operands[0], TYPES[f"b{8 * kind.size}"])


def _finish(form: Form, compute: Callable[[], Array], kind: Type) -> Callable[[], Array]:
    relu, clamp = form.has("relu"), form.has("sat")
    form.has("ftz")  # half formats keep subnormals under .ftz of bf16 on every device we name

    def finished() -> Array:
        found = compute()
        if relu:
            found = np.where(found < 0, 0.0, found)
        if clamp:
            found = saturate(found)
        return narrow(found, kind)

    return finished


@instruction("add", "sub", "mul", "fma", types=HALVES)
def arithmetic(machine: Machine, form: Form) -> Step:
    kind = form.type()
    form.has("rn")
    raw = [_raw(machine, operand, kind) for operand in form.operands[1:]]

    def compute() -> Array:
        a, b, *c = (widen(x, kind).astype(np.float64) for x in raw)
        if form.name == "mul":
            return a * b
        if form.name == "fma":
            return fused_odd(a, b, c[0])
        return to_odd(*two_sum(a, b if form.name == "add" else -b))

    return assign(_target(machine, form, kind), _finish(form, compute, kind))


@instruction("min", "max", types=HALVES)
def min_max(machine: Machine, form: Form) -> Step:
    kind = form.type()
    propagate = form.has("NaN")
    raw = [_raw(machine, operand, kind) for operand in form.operands[1:3]]
    smaller = form.name == "min"

    def compute() -> Array:
        a, b = (widen(x, kind) for x in raw)
        if propagate:
            return (np.minimum if smaller else np.maximum)(a, b)
        found = (np.fmin if smaller else np.fmax)(a, b)
        zero = (a == 0) & (b == 0)
        negative = (np.logical_or if smaller else np.logical_and)(np.signbit(a), np.signbit(b))
        return np.where(zero, np.where(negative, np.float32(-0.0), np.float32(0)), found)

    return assign(_target(machine, form, kind), _finish(form, compute, kind))


@instruction("abs", "neg", types=HALVES)
def sign(machine: Machine, form: Form) -> Step:
    kind = form.type()
    form.has("ftz")
    raw = _raw(machine, form.operands[1], kind)
    bit = np.asarray(0x80008000 if kind.size == 4 else 0x8000, raw.dtype)
    compute = (lambda: raw & ~bit) if form.name == "abs" else (lambda: raw ^ bit)
    return assign(_target(machine, form, kind), compute)


@instruction("ex2", "tanh", types=HALVES)
def function_of_one(machine: Machine, form: Form) -> Step:
    kind = form.type()
    form.need("approx")
    raw = _raw(machine, form.operands[1], kind)
    function = _FUNCTIONS[form.name]

    def compute() -> Array:
        return function(widen(raw, kind).astype(np.float64))

    return assign(_target(machine, form, kind), _finish(form, compute, kind))


def fp8_pair(raw: Array, kind: str) -> Array:
    """Two bytes of e4m3 or e5m2 as float32 [n, 2]."""
    return FP8[kind][np.ascontiguousarray(raw).view(np.uint8).reshape(-1, 2)]
