"""Arithmetic of f32 and f64.

Instructions that the hardware approximates (ex2.approx and its kin) are computed in float64 and
rounded: an answer no worse than the hardware's, which no test may depend on to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import FLOATS, TYPES, Array, Functions, Type
from ptx.machine import Machine
from ptx.numerics import (
    flush,
    fused_f32,
    fused_f64,
    fused_odd,
    saturate,
    to_f32,
    to_odd,
    two_sum,
)
from ptx.registry import Form, Step, instruction
from ptx.steps import apply, assign

_BASIC: Functions = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


def _finish(form: Form, compute: Callable[[], Array]) -> Callable[[], Array]:
    """Adds what .ftz and .sat ask of a result."""
    ftz, clamp = form.has("ftz"), form.has("sat")
    if not ftz and not clamp:
        return compute

    def finished() -> Array:
        found = flush(compute()) if ftz else compute()
        return saturate(found) if clamp else found

    return finished


def _inputs(machine: Machine, form: Form, kind: Type, count: int) -> list[Callable[[], Array]]:
    """Reads operands 1 to `count`; .ftz, which stays in the form, flushes them."""
    found: list[Callable[[], Array]] = []
    for operand in form.operands[1 : 1 + count]:
        value = machine.value(operand, kind)
        if "ftz" in form.left:
            found.append(lambda value=value: flush(value))
        else:
            found.append(lambda value=value: value)
    return found


@instruction("add", "sub", "mul", "div", types=FLOATS)
def basic(machine: Machine, form: Form) -> Step:
    kind = form.type()
    rounding = form.take("rn", "rz", "rm", "rp") or "rn"
    if form.name == "div":
        form.take("full", "approx")
    target = machine.target(form.operands[0], kind)
    function = _BASIC[form.name]
    if rounding != "rn":
        if kind.name != "f32" or form.name == "div":
            raise form.unknown()
        a, b = _inputs(machine, form, kind, 2)
        exact = _directed(form.name)
        return assign(target, _finish(form, lambda: to_f32(exact(a(), b()), rounding)))
    if not {"ftz", "sat"} & set(form.left):
        x, y = (machine.value(operand, kind) for operand in form.operands[1:3])
        return apply(function, target, x, y)
    a, b = _inputs(machine, form, kind, 2)
    return assign(target, _finish(form, lambda: function(a(), b())))


def _directed(name: str) -> Callable[[Array, Array], Array]:
    """The float64 result, rounded to odd, of two float32 numbers."""

    def wide(x: Array) -> Array:
        return x.astype(np.float64)

    if name == "mul":
        return lambda a, b: wide(a) * wide(b)  # exact
    if name == "sub":
        return lambda a, b: to_odd(*two_sum(wide(a), -wide(b)))
    return lambda a, b: to_odd(*two_sum(wide(a), wide(b)))


@instruction("fma", "mad", types=FLOATS)
def fused(machine: Machine, form: Form) -> Step:
    kind = form.type()
    rounding = form.need("rn", "rz", "rm", "rp")
    a, b, c = _inputs(machine, form, kind, 3)
    target = machine.target(form.operands[0], kind)
    if kind.name == "f64":
        if rounding != "rn":
            raise form.unknown()
        return assign(target, _finish(form, lambda: fused_f64(a(), b(), c())))
    if rounding == "rn":
        return assign(target, _finish(form, lambda: fused_f32(a(), b(), c())))

    def compute() -> Array:
        return to_f32(fused_odd(a(), b(), c()), rounding)

    return assign(target, _finish(form, compute))


@instruction("min", "max", types=FLOATS)
def min_max(machine: Machine, form: Form) -> Step:
    """The other operand where one is NaN, unless .NaN; -0 is less than +0."""
    kind = form.type()
    propagate = form.has("NaN")
    a, b = _inputs(machine, form, kind, 2)
    smaller = form.name == "min"
    function = np.fmin if smaller else np.fmax
    join = np.bitwise_or if smaller else np.bitwise_and
    bits = np.dtype(f"u{kind.size}")
    nan = np.asarray((1 << 8 * kind.size - 1) - 1, bits).view(kind.dtype)

    def compute() -> Array:
        x, y = a(), b()
        found = function(x, y)
        x_bits, y_bits = np.ascontiguousarray(x).view(bits), np.ascontiguousarray(y).view(bits)
        found = np.where(x == y, join(x_bits, y_bits), found.view(bits)).view(kind.dtype)
        lost = np.isnan(found) if not propagate else np.isnan(x) | np.isnan(y)
        return np.where(lost, nan, found)

    return assign(machine.target(form.operands[0], kind), _finish(form, compute))


@instruction("abs", "neg", types=FLOATS)
def sign(machine: Machine, form: Form) -> Step:
    kind = form.type()
    (a,) = _inputs(machine, form, kind, 1)
    function = np.abs if form.name == "abs" else np.negative
    target = machine.target(form.operands[0], kind)
    return assign(target, _finish(form, lambda: function(a())))


_WIDE: dict[str, Callable[[Array], Array]] = {
    "rcp": lambda x: 1.0 / x,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}


@instruction("rcp", "rsqrt", "sqrt", "ex2", "lg2", "sin", "cos", "tanh", types=FLOATS)
def function_of_one(machine: Machine, form: Form) -> Step:
    kind = form.type()
    if not form.has("approx"):
        if form.name not in ("rcp", "sqrt") or not form.has("rn"):
            raise form.unknown()
    (a,) = _inputs(machine, form, kind, 1)
    if form.name == "sqrt":

        def compute() -> Array:
            return np.sqrt(a())
    elif form.name == "rcp" and kind.name == "f32":

        def compute() -> Array:
            return np.divide(np.float32(1), a())
    else:
        function = _WIDE[form.name]

        def compute() -> Array:
            return function(a().astype(np.float64)).astype(kind.dtype)

    target = machine.target(form.operands[0], kind)
    return assign(target, _finish(form, compute))


@instruction("copysign", types=FLOATS)
def copy_sign(machine: Machine, form: Form) -> Step:
    """The sign is operand 1's, the magnitude operand 2's."""
    kind = form.type()
    sign_of, magnitude = (machine.value(operand, kind) for operand in form.operands[1:3])
    target = machine.target(form.operands[0], kind)
    return apply(np.copysign, target, magnitude, sign_of)


@instruction("testp", types=FLOATS)
def test_property(machine: Machine, form: Form) -> Step:
    kind = form.type()
    test = form.need("finite", "infinite", "number", "notanumber", "normal", "subnormal")
    a = machine.value(form.operands[1], kind)
    tiny = np.finfo(a.dtype).tiny
    tests: dict[str, Callable[[], Array]] = {
        "finite": lambda: np.isfinite(a),
        "infinite": lambda: np.isinf(a),
        "number": lambda: ~np.isnan(a),
        "notanumber": lambda: np.isnan(a),
        "normal": lambda: np.isfinite(a) & (np.abs(a) >= tiny),
        "subnormal": lambda: (a != 0) & (np.abs(a) < tiny),
    }
    return assign(machine.target(form.operands[0], TYPES["pred"]), tests[test])
