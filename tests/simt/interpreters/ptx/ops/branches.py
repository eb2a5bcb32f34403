"""Branches, returns, and what does nothing here."""

from __future__ import annotations

import numpy as np

from memory import SimtError
from ptx.kinds import TYPES, Mask
from ptx.machine import Machine
from ptx.registry import PARTED, FlowStep, Form, Step, flow, instruction, no_operation
from ptx.scheduler import Scheduler


@flow("ret", "exit")
def leave(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    form.has("uni")
    return scheduler.exit


@flow("bra")
def branch(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    form.has("uni")
    found = form.instruction
    target = label(scheduler, form, form.operands[0])
    if not found.guard:
        return lambda mask: target
    guard = scheduler.machine.value(found.guard, TYPES["pred"])
    negated = found.negated

    def step(mask: Mask) -> int | None:
        if mask is True:
            count = np.count_nonzero(guard)
            if count == (0 if negated else guard.size):
                return target
            if count == (guard.size if negated else 0):
                return None
            taken = ~guard if negated else guard.copy()
            rest = ~taken
        else:
            taken = mask & ~guard if negated else mask & guard
            rest = mask & ~taken
            if not rest.any():
                return target
            if not taken.any():
                return None
        scheduler.park(target, taken)
        scheduler.park(pc + 1, rest)
        return PARTED

    return step


@flow("brx")
def indexed_branch(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    form.need("idx")
    form.has("uni")
    machine = scheduler.machine
    index = machine.value(form.operands[0], TYPES["u32"])
    labels = machine.program.tables.get(form.operands[1])
    if labels is None:
        raise form.unknown()
    targets = [label(scheduler, form, name) for name in labels]

    def step(mask: Mask) -> int:
        here = machine.full(mask)
        for number in np.unique(index[here]):
            if number >= len(targets):
                raise SimtError(f"branch index is {number}, expected less than {len(targets)}")
            scheduler.park(targets[number], here & (index == number))
        return PARTED

    return step


def label(scheduler: Scheduler, form: Form, name: str) -> int:
    if name not in scheduler.program.labels:
        raise form.unknown()
    return scheduler.program.labels[name]


@instruction("trap", "brkpt")
def trap(machine: Machine, form: Form) -> Step:
    def step(mask: Mask) -> None:
        raise SimtError("the kernel trapped")

    return step


@instruction("call")
def call(machine: Machine, form: Form) -> Step:
    """A call that could not be inlined: only a failed device assertion can be carried out."""
    if "__assertfail" not in form.operands:
        raise form.unknown()
    form.has("uni")

    def step(mask: Mask) -> None:
        raise SimtError("a device assertion failed")

    return step


@instruction("prefetch", "prefetchu", "nanosleep", "griddepcontrol", "setmaxnreg", "discard")
def hint(machine: Machine, form: Form) -> Step:
    form.left.clear()
    return no_operation


@instruction("membar", "fence")
def fence(machine: Machine, form: Form) -> Step:
    """Threads take turns at whole instructions, so memory is always in order."""
    form.left.clear()
    return no_operation
