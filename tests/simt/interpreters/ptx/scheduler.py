"""Moves the threads of a machine through the program.

Threads at one program counter form a group, and the group with the lowest counter runs, so threads
that parted meet again. Before an instruction that needs its whole warp, warpgroup or block, those
who are complete go on and the rest stand still until others join them. Data that an instruction
fetches in the background lands as late as it may: at the wait that promises it, or when nobody can
move.
"""

from __future__ import annotations

import numpy as np

from memory import AccessFault, SimtError
from ptx import registry
from ptx.kinds import TYPES, Array, Mask
from ptx.machine import WARP, Machine
from ptx.registry import PARTED, FlowStep, Form, Step
from ptx.source import Instruction

_GROUP_SIZE = {"warp": WARP, "warpgroup": 4 * WARP}
_FAIRNESS = 64  # every so many switches the highest group runs, lest a spinning one starve it


class Scheduler:
    def __init__(self, machine: Machine, max_steps: int):
        self.machine = machine
        self.program = machine.program
        self.code = machine.program.code
        self.steps: list[FlowStep | None] = [None] * (len(self.code) + 1)
        self.steps[-1] = self.exit  # the end of the body is an exit
        self.groups: dict[int, Mask] = {}
        self.standing = machine.standing
        self.max_steps = max_steps
        self.count = 0
        self.now: tuple[int, Mask] = (0, True)  # what runs, for the words of an error
        self._switches = 0

    def run(self) -> int:
        """Runs all threads to their end and returns how many steps that took."""
        self.groups.clear()
        self.count = 0
        self.park(0, ~self.machine.dead)
        with np.errstate(all="ignore"):
            while self.groups:
                pc = self._next()
                mask = self.groups.pop(pc)
                try:
                    self._advance(pc, mask)
                except SimtError as error:
                    raise self._located(error) from None
        return self.count

    def exit(self, mask: Mask) -> int:
        self.machine.dead[self.machine.index(mask)] = True
        self.wake()  # others may have waited for these
        return PARTED

    def _next(self) -> int:
        runnable = self.groups.keys() - self.standing if self.standing else self.groups
        while not runnable:
            if not self.machine.background:
                raise SimtError(self._deadlock())
            self.machine.background.pop(0)()
            self.standing.clear()
            runnable = self.groups
        self._switches += 1
        return min(runnable) if self._switches % _FAIRNESS else max(runnable)

    def _advance(self, pc: int, mask: Mask) -> None:
        """Runs one group until it parts, ends, stands still or has a lower one beside it."""
        steps, groups = self.steps, self.groups
        while True:
            step = steps[pc]
            self.now = pc, mask
            if step is None:
                step = steps[pc] = self.decode(pc)
            self.count += 1
            to = step(mask)
            if to is None:
                pc += 1
                if pc in groups:
                    self.park(pc, mask)
                    return
            elif to == PARTED:
                return
            else:
                pc = to
                if groups:
                    self.park(pc, mask)
                    return
            if self.count > self.max_steps:
                raise SimtError(f"still running after {self.max_steps} steps: an endless loop?")

    # --- where groups stand

    def park(self, pc: int, mask: Mask) -> None:
        """Puts threads at `pc`, ready to run, beside those that are there."""
        if mask is not True:
            there = self.groups.get(pc)
            mask = mask if there is None else mask | there
            if mask.all():
                mask = True
            elif not mask.any():
                return
        self.groups[pc] = mask
        self.standing.discard(pc)

    def stand(self, pc: int, mask: Mask) -> None:
        """Leaves threads where they are until someone joins them or something happens."""
        self.park(pc, mask)
        self.standing.add(pc)

    def wake(self) -> None:
        self.standing.clear()

    def pass_ready(self, pc: int, mask: Mask, ready: Array, step: Step) -> int | None:
        """Lets the ready threads of a group pass, the others stand."""
        count = np.count_nonzero(ready)
        if count == 0:
            self.stand(pc, mask)
            return PARTED
        if (mask is not True and count == np.count_nonzero(mask)) or count == ready.size:
            step(mask)
            return None
        step(ready)
        rest = self.machine.full(mask) & ~ready
        self.stand(pc, rest)
        self.park(pc + 1, ready.copy())
        return PARTED

    # --- decoding

    def decode(self, pc: int) -> FlowStep:
        found = self.code[pc]
        form = Form(found)
        flow = registry.find_flow(form)
        if flow is not None:
            flow_step = flow(self, pc, form)
            form.done()
            return flow_step
        entry, step = registry.build(self.machine, form)
        step = self.guarded(found, step)
        if not entry.group:
            return step  # type: ignore[return-value]  # returns None: to the next instruction
        if entry.members:
            return self.members(pc, found.operands[-1], step)
        return self.together(_GROUP_SIZE[entry.group], pc, step)

    def guarded(self, found: Instruction, step: Step) -> Step:
        if not found.guard:
            return step
        guard = self.machine.value(found.guard, TYPES["pred"])
        negated = found.negated

        def guarded(mask: Mask) -> None:
            taken = ~guard if negated else guard
            if mask is not True:
                taken = taken & mask
            count = np.count_nonzero(taken)
            if count == taken.size:
                step(True)
            elif count:
                step(taken.copy() if taken is guard else taken)

        return guarded

    # --- collectives of a warp or a warpgroup

    def together(self, size: int, pc: int, step: Step) -> FlowStep:
        """Waits until every living thread of each group of `size` stands here."""
        dead = self.machine.dead

        def together(mask: Mask) -> int | None:
            if mask is True:
                step(True)
                return None
            whole = (mask | dead).reshape(-1, size).all(axis=1)
            ready = mask & np.repeat(whole, size)
            return self.pass_ready(pc, mask, ready, step)

        if self.machine.lanes % size:
            raise SimtError(f"{size} threads are needed together: {self.code[pc].text}")
        return together

    def members(self, pc: int, operand: str, step: Step) -> FlowStep:
        """Waits for those threads of each warp that the member mask names."""
        number = self.machine.integer(operand)
        if number is not None and number & 0xFFFFFFFF == 0xFFFFFFFF:
            return self.together(WARP, pc, step)
        members = self.machine.value(operand, TYPES["b32"])
        lane = (self.machine.thread % WARP).astype(np.uint32)

        def wait(mask: Mask) -> int | None:
            here = self.machine.full(mask)
            # Each thread waits for the threads its own mask names, as the hardware does.
            present = (here | self.machine.dead).reshape(-1, WARP)
            bits = np.bitwise_or.reduce(
                present.astype(np.uint32) << np.arange(WARP, dtype=np.uint32), axis=1
            )
            there = np.repeat(bits, WARP)
            outside = here & (members >> lane & np.uint32(1) == 0)
            if outside.any():
                thread = self.machine.name_thread(int(np.flatnonzero(outside)[0]))
                raise SimtError(f"{thread} is not in the member mask of {self.code[pc].text}")
            return self.pass_ready(pc, mask, here & (members & ~there == 0), step)

        return wait

    # --- words for what went wrong

    def _located(self, error: SimtError) -> SimtError:
        """Names kernel, thread and instruction, where the error does not do so yet."""
        pc, mask = self.now
        where = [self.program.kernel]
        if isinstance(error, AccessFault):
            where.append(self.machine.name_thread(error.position))
        elif "thread" not in str(error):
            lanes = np.flatnonzero(self.machine.full(mask))
            where.append(self.machine.name_thread(int(lanes[0])))
        text = ""
        if pc < len(self.code):
            where.append(f"PTX line {self.code[pc].line}")
            text = self.code[pc].text
        said = str(error)
        return SimtError(", ".join(where) + f": {said}" + (f": {text}" if text not in said else ""))

    def _deadlock(self) -> str:
        waits = []
        for pc in sorted(self.groups):
            lanes = np.flatnonzero(self.machine.full(self.groups[pc]))
            found = self.code[pc]
            who = self.machine.name_thread(int(lanes[0]))
            more = f" and {lanes.size - 1} more" if lanes.size > 1 else ""
            waits.append(f"{who}{more} at PTX line {found.line}: {found.text}")
        return f"{self.program.kernel}: deadlock: " + "; ".join(waits)
