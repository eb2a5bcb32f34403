"""atom and red: read-modify-write in global, shared and generic memory, threads in order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import FLOATS, RAW, TYPES, Array, Mask, Type
from ptx.machine import Machine
from ptx.ops.half import narrow, widen
from ptx.registry import Form, Step, instruction
from ptx.spaces import Reach

Change = Callable[[Array, Array], Array]  # old and operand, in the type's numpy form
_CHANGES: dict[str, Change] = {
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, operand: operand,
    "add": lambda old, operand: old + operand,
    "min": np.minimum,
    "max": np.maximum,
    "inc": lambda old, limit: np.where(old >= limit, 0, old + np.uint32(1)),
    "dec": lambda old, limit: np.where((old == 0) | (old > limit), limit, old - np.uint32(1)),
}


def _change(form: Form, kind: Type) -> Change:
    name = form.need(*_CHANGES)
    if kind.name.startswith(("f16", "bf16")):
        if name != "add":
            raise form.unknown()

        def total(a: Array, b: Array) -> Array:
            return widen(a, kind).astype(np.float64) + widen(b, kind)

        return lambda old, operand: narrow(total(old, operand), kind)
    if kind.name in FLOATS and name not in ("add", "exch"):
        raise form.unknown()
    return _CHANGES[name]


@instruction("atom", "red")
def atomic(machine: Machine, form: Form) -> Step:
    returns = form.name == "atom"
    kind = form.type()
    if kind.name.startswith(("f16", "bf16")):
        view = np.dtype(RAW[kind.size])  # packed halves are handled as bits
    else:
        view = np.dtype(kind.dtype)
    form.ignore("L1::", "L2::", "level::")
    form.take("relaxed", "acquire", "release", "acq_rel")
    form.take("cta", "cluster", "gpu", "sys")
    form.has("noftz")
    compare_and_swap = form.has("cas")
    change = None if compare_and_swap else _change(form, kind)
    if form.take("v2", "v4", "v8"):
        raise form.unknown()
    reach = Reach(machine, form)
    raw_kind = TYPES[f"b{8 * kind.size}"]
    target = machine.target(form.operands[0], raw_kind) if returns else None
    address = machine.address(form.operands[1 if returns else 0])
    given = [
        machine.value(operand, raw_kind).view(view)
        for operand in form.operands[2 if returns else 1 :]
    ]

    def step(mask: Mask) -> None:
        lanes = machine.index(mask)
        operands = [operand[lanes] for operand in given]

        def next_value(old: Array, positions: Array) -> Array:
            old = old.view(view)
            if change is None:
                compare, swap = operands[0][positions], operands[1][positions]
                new = np.where(old == compare, swap, old)
            else:
                new = change(old, operands[0][positions])
            return np.ascontiguousarray(new.astype(view)).view(RAW[kind.size])

        found = reach.update(address.of(lanes), lanes, kind.size, next_value)
        if target is not None:
            target[lanes] = found

    return step
