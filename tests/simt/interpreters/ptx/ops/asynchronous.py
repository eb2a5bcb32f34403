"""cp.async: copies from global to shared memory in the background.

A copy's addresses are checked when it is issued; its bytes move as late as the kernel's own waits
allow, so a kernel that forgets one reads what shared memory held before.
"""

from __future__ import annotations

import numpy as np

from ptx.kinds import TYPES, Array, Mask
from ptx.machine import Copy, Machine
from ptx.ops import hopper
from ptx.registry import Form, Step, instruction
from ptx.spaces import Reach


@instruction("cp")
def copy(machine: Machine, form: Form) -> Step:
    form.need("async")
    if form.has("commit_group"):
        return _commit(machine)
    if form.has("wait_group"):
        return _wait(machine, machine.integer(form.operands[0]))
    if form.has("wait_all"):
        return _wait(machine, None)
    if form.has("bulk"):
        return hopper.bulk(machine, form)
    if form.has("mbarrier"):
        return hopper.arrive_after_copies(machine, form)
    return _issue(machine, form)


def _issue(machine: Machine, form: Form) -> Step:
    form.need("ca", "cg")
    form.ignore("L2::")
    shared = Reach(machine, _space(form, "shared", "shared::cta"))
    source = Reach(machine, _space(form, "global"))
    to, of = (machine.address(operand) for operand in form.operands[:2])
    size = machine.integer(form.operands[2])
    if size not in (4, 8, 16):
        raise form.unknown()
    given = None
    if len(form.operands) > 3:
        last = machine.register(form.operands[3])
        if last is not None and (last.dtype == np.bool_ or last.dtype == np.uint64):
            raise form.unknown()  # ignore-src and cache policies
        given = machine.value(form.operands[3], TYPES["u32"])

    def step(mask: Mask) -> None:
        lanes = machine.lane[machine.index(mask)]
        destination, origin = to.of(lanes), of.of(lanes)
        count = np.full(lanes.size, size) if given is None else given[lanes].astype(np.int64)
        shared.check(destination, lanes, size)
        for bytes_read in np.unique(count[count > 0]):
            some = count == bytes_read
            _check_source(source, origin[some], lanes[some], int(bytes_read), size)

        def land(chosen: Array) -> None:
            data = np.zeros((lanes.size, size // 4), np.uint32)
            _fill(source, origin, lanes, np.where(chosen, count, 0), data)
            words = data[chosen]
            values = words if size > 4 else words[:, 0]
            shared.store(destination[chosen], lanes[chosen], values, 4, size // 4)

        machine.copies.copies.append(Copy(lanes, machine.copies.commits[lanes], land))

    return step


def _space(form: Form, *names: str) -> Form:
    """The form with only the wanted space left for Reach to take."""
    name = form.need(*names)
    only = Form(form.instruction)
    only.left = [name]
    return only


def _check_source(source: Reach, origin: Array, lanes: Array, count: int, size: int) -> None:
    for part in source.parts(origin, lanes):
        source._tell(lanes, part, part.space.check, part.addresses, count, size)


def _fill(source: Reach, origin: Array, lanes: Array, count: Array, data: Array) -> None:
    """Reads the first `count` bytes of each source; the others stay zero."""
    size = 4 * data.shape[1]
    whole = count == size
    if whole.any():
        found = source.load(origin[whole], lanes[whole], 4, data.shape[1])
        data[whole] = found.reshape(-1, data.shape[1])
    raw = data.view(np.uint8)
    for place in np.flatnonzero((count > 0) & ~whole):
        for i in range(int(count[place])):
            one = slice(place, place + 1)
            raw[place, i] = source.load(origin[one] + i, lanes[one], 1)[0]


def _commit(machine: Machine) -> Step:
    def step(mask: Mask) -> None:
        machine.copies.commits[machine.index(mask)] += 1

    return step


def _wait(machine: Machine, still_out: int | None) -> Step:
    """Lands all but the youngest `still_out` groups of a thread; None: the uncommitted too."""

    def step(mask: Mask) -> None:
        pending = machine.copies
        if still_out is None:
            limit = pending.commits + 1
        else:
            limit = pending.commits - still_out
        land_copies(machine, machine.full(mask), limit)

    return step


def land_copies(machine: Machine, mask: Array, limit: Array) -> None:
    """Lands the copies of the mask's threads whose group number is below the thread's limit."""
    left = []
    for copy_ in machine.copies.copies:
        chosen = mask[copy_.lanes] & (copy_.group < limit[copy_.lanes])
        if chosen.any():
            copy_.land(chosen)
        if not chosen.all():
            rest = ~chosen
            if chosen.any():
                copy_ = _without(copy_, rest)
            left.append(copy_)
    machine.copies.copies = left


def _without(copy_: Copy, rest: Array) -> Copy:
    """The copy for its remaining threads."""
    places = np.flatnonzero(rest)

    def land(chosen: Array) -> None:
        whole = np.zeros(rest.size, np.bool_)
        whole[places[chosen]] = True
        copy_.land(whole)

    return Copy(copy_.lanes[places], copy_.group[places], land)
