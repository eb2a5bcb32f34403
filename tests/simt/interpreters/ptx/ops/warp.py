"""What the threads of a warp do together: shuffles, votes, reductions."""

from __future__ import annotations

import numpy as np

from ptx.kinds import TYPES, Array, Functions, Mask
from ptx.machine import WARP, Machine
from ptx.ops.bits import bit_length
from ptx.registry import Form, Step, instruction

_POWERS = np.arange(WARP, dtype=np.uint32)
_REDUCTIONS: Functions = {
    "add": np.add, "min": np.minimum, "max": np.maximum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_ABSENT = np.uint32(0xFFFFFFFF)  # what is read from a thread that does not take part: a NaN


def ballot(machine: Machine, value: Array, mask: Mask) -> Array:
    """For every thread, its warp's predicate bits of the threads that take part."""
    bits = (value & machine.full(mask)).reshape(-1, WARP).astype(np.uint32) << _POWERS
    return np.repeat(np.bitwise_or.reduce(bits, axis=1), WARP)


def _sources(machine: Machine, mode: str, b: Array, c: Array) -> tuple[Array, Array]:
    """For every thread the one it reads from, and whether that is within its segment."""
    lane = machine.thread % WARP
    by, clamp = b.astype(np.int64) & 31, c.astype(np.int64) & 31
    segment = c.astype(np.int64) >> 8 & 31
    last = (lane & segment) | (clamp & ~segment)
    first = lane & segment
    if mode == "up":
        source = lane - by
        inside = source >= last
    else:
        source = {"down": lane + by, "bfly": lane ^ by, "idx": first | (by & ~segment)}[mode]
        inside = source <= last
    source = np.where(inside, source, lane)
    return machine.lane - lane + source, inside


@instruction("shfl", group="warp", members=True)
def shuffle(machine: Machine, form: Form) -> Step:
    form.need("sync")
    mode = form.need("up", "down", "bfly", "idx")
    kind = form.type()
    names = form.operands[0].split("|")
    target = machine.target(names[0], kind)
    inside_target = machine.target(names[1], TYPES["pred"]) if len(names) > 1 else None
    a = machine.value(form.operands[1], kind)
    b, c = (machine.value(operand, TYPES["u32"]) for operand in form.operands[2:4])
    fixed = all(machine.integer(operand) is not None for operand in form.operands[2:4])
    known = _sources(machine, mode, b, c) if fixed else None

    def step(mask: Mask) -> None:
        source, inside = known if known is not None else _sources(machine, mode, b, c)
        found = a[source]
        if mask is not True:
            found = np.where(mask[source], found, _ABSENT)
        np.copyto(target, found, where=mask)
        if inside_target is not None:
            np.copyto(inside_target, inside, where=mask)

    return step


@instruction("vote", group="warp", members=True)
def vote(machine: Machine, form: Form) -> Step:
    form.need("sync")
    mode = form.need("all", "any", "uni", "ballot")
    kind = form.type()
    target = machine.target(form.operands[0], kind)
    source, negated = machine.predicate(form.operands[1])

    def step(mask: Mask) -> None:
        value = ~source if negated else source
        yes = ballot(machine, value, mask)
        if mode == "ballot":
            found = yes
        elif mode == "any":
            found = yes != 0
        else:
            no = ballot(machine, ~value, mask)
            found = no == 0 if mode == "all" else (no == 0) | (yes == 0)
        np.copyto(target, found, where=mask)

    return step


@instruction("activemask")
def active_mask(machine: Machine, form: Form) -> Step:
    form.type()
    target = machine.target(form.operands[0], TYPES["b32"])
    everyone = np.ones(machine.lanes, np.bool_)
    return lambda mask: np.copyto(target, ballot(machine, everyone, mask), where=mask)


@instruction("elect", group="warp", members=True)
def elect(machine: Machine, form: Form) -> Step:
    """The lowest thread of those that take part."""
    form.need("sync")
    names = form.operands[0].split("|")
    who, whether = machine.target(names[0], TYPES["b32"]), machine.target(names[1], TYPES["pred"])
    everyone = np.ones(machine.lanes, np.bool_)

    def step(mask: Mask) -> None:
        bits = ballot(machine, everyone, mask)
        lowest = bit_length(bits & (~bits + np.uint32(1))) - 1
        np.copyto(who, lowest, where=mask, casting="unsafe")
        np.copyto(whether, lowest == machine.thread % WARP, where=mask)

    return step


@instruction("redux", group="warp", members=True)
def reduce(machine: Machine, form: Form) -> Step:
    form.need("sync")
    name = form.need(*_REDUCTIONS)
    kind = form.type()
    if kind.name not in ("u32", "s32", "b32"):
        raise form.unknown()
    target, a = machine.target(form.operands[0], kind), machine.value(form.operands[1], kind)
    members = machine.value(form.operands[2], TYPES["u32"])
    function = _REDUCTIONS[name]

    def step(mask: Mask) -> None:
        here = machine.full(mask)
        values = a.copy()  # the target may be the same register
        for lane in np.flatnonzero(here):
            if lane % WARP and members[lane] == members[lane - 1] and here[lane - 1]:
                target[lane] = target[lane - 1]
                continue
            warp = lane // WARP * WARP
            named = (members[lane] >> _POWERS & np.uint32(1)).astype(np.bool_)
            among = values[warp : warp + WARP][named & here[warp : warp + WARP]]
            target[lane] = function.reduce(among, dtype=a.dtype)

    return step


@instruction("match", group="warp", members=True)
def match(machine: Machine, form: Form) -> Step:
    """For each thread, those of its warp that hold the same value."""
    form.need("sync")
    mode = form.need("any", "all")
    kind = form.type()
    names = form.operands[0].split("|")
    target = machine.target(names[0], TYPES["b32"])
    agree = machine.target(names[1], TYPES["pred"]) if len(names) > 1 else None
    a = machine.value(form.operands[1], kind)

    def step(mask: Mask) -> None:
        here = machine.full(mask).reshape(-1, WARP)
        values = a.reshape(-1, WARP)
        same = (values[:, :, None] == values[:, None, :]) & here[:, None, :]
        bits = np.bitwise_or.reduce(same.astype(np.uint32) << _POWERS, axis=2).reshape(-1)
        if mode == "all":
            everyone = ballot(machine, np.ones(machine.lanes, np.bool_), mask)
            equal = bits == everyone
            bits = np.where(equal, bits, np.uint32(0))
            if agree is not None:
                np.copyto(agree, equal, where=mask)
        np.copyto(target, bits, where=mask)

    return step
