"""setp, set, selp, slct."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import FLOATS, INTEGERS, TYPES, Array, Functions, Mask, Type
from ptx.machine import Machine
from ptx.numerics import flush, readable
from ptx.registry import Form, Step, instruction
from ptx.steps import assign

Compare = Callable[[Array, Array], Array]
_INTEGER: dict[str, Compare] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
_FLOAT: dict[str, Compare] = {  # those that end with u are true where an operand is NaN
    "eq": np.equal,
    "ne": lambda a, b: (a < b) | (a > b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: (a == a) & (b == b),
    "nan": lambda a, b: (a != a) | (b != b),
}
_COMBINE: Functions = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def _comparison(machine: Machine, form: Form, kind: Type) -> Callable[[], Array]:
    """Compares operands 1 and 2 in the type's own sense."""
    table = _INTEGER if kind.name in INTEGERS else _FLOAT
    compare = table[form.need(*table)]
    a, b = (readable(machine.value(operand, kind), kind) for operand in form.operands[1:3])
    if form.has("ftz"):
        return lambda: compare(flush(a()), flush(b()))
    return lambda: compare(a(), b())


@instruction("setp")
def set_predicate(machine: Machine, form: Form) -> Step:
    """p (and q, of the opposite comparison), each combined with a third predicate where given."""
    kind = form.type()
    combine = _COMBINE.get(form.take(*_COMBINE))
    names = form.operands[0].split("|")
    targets = [machine.target(name, TYPES["pred"]) for name in names]
    compute = _comparison(machine, form, kind)
    if combine is None:
        if len(targets) == 1:
            return assign(targets[0], compute)
        third, negated = None, False
    else:
        third, negated = machine.predicate(form.operands[3])

    def step(mask: Mask) -> None:
        found = compute()
        other = (~third if negated else third.copy()) if third is not None else None
        for target, value in zip(targets, (found, ~found)):
            np.copyto(target, combine(value, other) if combine else value, where=mask)

    return step


@instruction("set")
def set_value(machine: Machine, form: Form) -> Step:
    """As setp, but gives all ones or zeros, or 1.0 or 0.0."""
    kind, result = form.type(), form.type()
    if kind.name.endswith("x2"):
        raise form.unknown()
    combine = _COMBINE.get(form.take(*_COMBINE))
    third, negated = machine.predicate(form.operands[3]) if combine else (None, False)
    compute = _comparison(machine, form, kind)
    true = np.asarray(1 if result.name in FLOATS else -1).astype(result.dtype)
    false = np.asarray(0, result.dtype)

    def value() -> Array:
        found = compute()
        if combine is not None:
            found = combine(found, ~third if negated else third)
        return np.where(found, true, false)

    return assign(machine.target(form.operands[0], result), value)


@instruction("selp")
def select(machine: Machine, form: Form) -> Step:
    kind = form.type()
    target = machine.target(form.operands[0], kind)
    a, b = (machine.value(operand, kind) for operand in form.operands[1:3])
    choice, negated = machine.predicate(form.operands[3])
    if negated:
        a, b = b, a
    return assign(target, lambda: np.where(choice, a, b))


@instruction("slct")
def select_by_sign(machine: Machine, form: Form) -> Step:
    """a where c >= 0, else b; a NaN chooses b."""
    test, kind = form.type(), form.type()
    ftz = form.has("ftz")
    target = machine.target(form.operands[0], kind)
    a, b = (machine.value(operand, kind) for operand in form.operands[1:3])
    c = machine.value(form.operands[3], test)

    def sign() -> Array:
        return flush(c) if ftz else c

    return assign(target, lambda: np.where(sign() >= 0, a, b))
