"""Barriers of a block: bar.sync, bar.arrive, bar.red, and bar.warp.sync.

A barrier without a count waits for every living thread of the block at one and the same
instruction: threads of a block that wait at different ones are a deadlock, as CUDA's rules have it.
A barrier with a count is known by its number, and threads may come to it from anywhere.
"""

from __future__ import annotations

import numpy as np

from memory import SimtError
from ptx.kinds import TYPES, Array, Mask
from ptx.machine import WARP, Machine
from ptx.registry import FlowStep, Form, Step, flow, no_operation
from ptx.scheduler import Scheduler


@flow("bar.warp")
def warp_barrier(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    form.need("warp")
    form.need("sync")
    return scheduler.members(pc, form.operands[0], no_operation)


@flow("bar", "barrier")
def barrier(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    form.has("cta")
    action = form.need("sync", "arrive", "red", "cluster")
    form.has("aligned")
    if action == "cluster":  # clusters of one block
        form.need("arrive", "wait")
        form.take("release", "relaxed", "acquire")
        form.has("aligned")
        return no_operation  # type: ignore[return-value]
    if action == "red":
        return scheduler.together(scheduler.machine.padded, pc, _reduce(scheduler.machine, form))
    if len(form.operands) == 1 and action == "sync":
        return scheduler.together(scheduler.machine.padded, pc, no_operation)
    return _counted(scheduler, pc, form, action == "sync")


def _reduce(machine: Machine, form: Form) -> Step:
    function = form.need("popc", "and", "or")
    kind = form.type()
    if len(form.operands) > 3:
        raise form.unknown()  # with a count of threads
    target = machine.target(form.operands[0], kind)
    source, negated = machine.predicate(form.operands[2])

    def step(mask: Mask) -> None:
        here = machine.full(mask)
        value = ~source if negated else source
        votes = (value & here).reshape(machine.blocks, -1).sum(axis=1)
        people = here.reshape(machine.blocks, -1).sum(axis=1)
        found: Array = {"popc": votes, "and": votes == people, "or": votes > 0}[function]
        np.copyto(target, np.repeat(found, machine.padded).astype(target.dtype), where=mask)

    return step


def _counted(scheduler: Scheduler, pc: int, form: Form, waits: bool) -> FlowStep:
    machine = scheduler.machine
    number, count = (machine.value(operand, TYPES["u32"]) for operand in form.operands[:2])

    def arrive(mask: Mask) -> None:
        here = machine.full(mask)
        people = machine.arrivals
        for warp in np.flatnonzero(here.reshape(-1, WARP).any(axis=1)):
            lanes = np.arange(warp * WARP, (warp + 1) * WARP)
            lane = int(lanes[here[lanes]][0])
            key = (int(machine.block[lane]), int(number[lane]))
            expected = int(count[lane])
            if expected % WARP:
                raise SimtError(f"barrier count is {expected}, expected a multiple of {WARP}")
            people.count[key] = people.count.get(key, 0) + WARP
            if waits:
                people.waiting.setdefault(key, []).append(lanes)
                people.arrived[lanes] = True
            if people.count[key] > expected:
                raise SimtError(f"barrier {key[1]} has {people.count[key]} threads of {expected}")
            if people.count[key] == expected:
                people.count[key] = 0
                for group in people.waiting.pop(key, ()):
                    people.released[group] = True
                scheduler.wake()

    if not waits:
        return scheduler.together(WARP, pc, arrive)

    def sync(mask: Mask) -> int | None:
        people = machine.arrivals
        here = machine.full(mask)
        whole = (here | machine.dead).reshape(-1, WARP).all(axis=1)
        fresh = here & np.repeat(whole, WARP) & ~people.arrived
        if fresh.any():
            arrive(fresh)
        ready = here & people.released
        people.released[ready] = False
        people.arrived[ready] = False
        return scheduler.pass_ready(pc, mask, ready, no_operation)

    return sync
