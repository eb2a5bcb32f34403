"""Hopper: mbarriers, bulk tensor copies (TMA) and warpgroup matrix instructions (wgmma).

A tensor map is opaque on a GPU and made by the driver. Here it is eight 64-bit words, as
`tensor_map` packs them. A bulk copy lands only when no thread can move otherwise.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np

from memory import SimtError
from ptx.kinds import IN_WINDOW, PARAM, TYPES, Array, Mask
from ptx.machine import Machine, Phase
from ptx.numerics import bf16_to_f32
from ptx.registry import FlowStep, Form, Step, flow, instruction, no_operation
from ptx.scheduler import Scheduler
from ptx.source import split_operands

WARPGROUP = 128
_MAP = struct.Struct("<8Q")


def tensor_map(
    base: int, inner: int, outer: int, pitch: int, box_inner: int, box_outer: int, width: int,
    swizzle_bits: int,
) -> bytes:  # fmt: skip
    """A two-dimensional map: sizes in elements of `width` bytes, the pitch of a row in bytes."""
    packed = _MAP.pack(base, inner, outer, pitch, box_inner, box_outer, width, swizzle_bits)
    return packed.ljust(128, b"\0")


def swizzle(at: Array, bits: int) -> Array:
    """16-byte pieces exchanged within rows of 128 bytes; 3 bits are the 128-byte pattern."""
    return at ^ ((at >> 7 & ((1 << bits) - 1)) << 4)


# --- mbarriers


def _phase(machine: Machine, lane: int, address: int) -> Phase:
    key = (int(machine.block[lane]), address & IN_WINDOW)
    if key not in machine.phases:
        raise SimtError(f"{machine.name_thread(lane)}: no mbarrier was initialised at {key[1]:#x}")
    return machine.phases[key]


@flow("mbarrier")
def mbarrier(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    machine = scheduler.machine
    action = form.need(
        "init",
        "inval",
        "arrive",
        "arrive_drop",
        "expect_tx",
        "complete_tx",
        "try_wait",
        "test_wait",
    )
    if action in ("try_wait", "test_wait"):
        return _wait(scheduler, pc, form)
    expect = form.has("expect_tx") or action == "expect_tx"
    no_complete = form.has("noComplete")
    form.take("release", "relaxed")
    form.take("cta", "cluster")
    form.take("shared", "shared::cta", "shared::cluster")
    form.need("b64")
    if no_complete or action in ("arrive_drop", "complete_tx"):
        raise form.unknown()
    operands = list(form.operands)
    state = None
    if action == "arrive" and not operands[0].startswith("["):
        state = machine.target(operands.pop(0), TYPES["b64"])
    address = machine.address(operands[0])
    counted = len(operands) > 1
    count = machine.value(operands[1] if counted else "1", TYPES["u32"])

    def act(lane: int, at: int) -> None:
        if action == "init":
            key = (int(machine.block[lane]), at & IN_WINDOW)
            machine.phases[key] = Phase(int(count[lane]), int(count[lane]))
            return
        phase = _phase(machine, lane, at)
        if action == "inval":
            del machine.phases[int(machine.block[lane]), at & IN_WINDOW]
            return
        if state is not None:
            state[lane] = phase.number
        if expect:
            phase.bytes += int(count[lane])
        if action == "arrive":
            phase.pending -= 1 if expect else int(count[lane])
            if phase.pending < 0:
                raise SimtError(
                    f"{machine.name_thread(lane)}: more arrivals than the mbarrier counts"
                )
        phase.settle()

    def step(mask: Mask) -> None:
        lanes = machine.lane[machine.index(mask)]
        for lane, at in zip(lanes, address.of(lanes)):
            act(int(lane), int(at))
        machine.standing.clear()

    return step


def _wait(scheduler: Scheduler, pc: int, form: Form) -> FlowStep:
    """Threads that would have to ask again stand here until the phase is complete."""
    machine = scheduler.machine
    by_parity = form.has("parity")
    form.take("acquire", "relaxed")
    form.take("cta", "cluster")
    form.take("shared", "shared::cta")
    form.need("b64")
    done = machine.target(form.operands[0], TYPES["pred"])
    address = machine.address(form.operands[1])
    wanted = machine.value(form.operands[2], TYPES["u32" if by_parity else "u64"])

    def step(mask: Mask) -> int | None:
        lanes = machine.lane[machine.index(mask)]
        ready = np.zeros(machine.lanes, np.bool_)
        for lane, at in zip(lanes, address.of(lanes)):
            number = _phase(machine, int(lane), int(at)).number
            old = int(wanted[lane])
            ready[lane] = number % 2 != old % 2 if by_parity else number != old

        def say(passed: Mask) -> None:
            np.copyto(done, True, where=passed)

        return scheduler.pass_ready(pc, mask, ready, say)

    return step


def arrive_after_copies(machine: Machine, form: Form) -> Step:
    """cp.async.mbarrier.arrive: an arrival once the thread's copies so far have landed."""
    from ptx.ops.asynchronous import land_copies

    form.need("arrive")
    no_increment = form.has("noinc")
    form.take("shared", "shared::cta")
    form.need("b64")
    address = machine.address(form.operands[0])

    def step(mask: Mask) -> None:
        lanes = machine.lane[machine.index(mask)].copy()
        places = address.of(lanes)
        phases = [_phase(machine, int(lane), int(at)) for lane, at in zip(lanes, places)]
        if not no_increment:
            for phase in phases:
                phase.pending += 1

        def land() -> None:
            chosen = np.zeros(machine.lanes, np.bool_)
            chosen[lanes] = True
            land_copies(machine, chosen, machine.copies.commits + 1)
            for phase in phases:
                phase.pending -= 1
                phase.settle()

        machine.background.append(land)

    return step


# --- bulk copies


def bulk(machine: Machine, form: Form) -> Step:
    if form.take("commit_group", "wait_group"):
        raise form.unknown()  # groups belong to stores, which nobody uses yet
    for part in ("tensor", "2d", "shared::cluster", "global", "tile"):
        if part == "shared::cluster" and form.has("shared::cta"):
            continue
        form.need(part) if part != "tile" else form.has(part)
    form.need("mbarrier::complete_tx::bytes")
    form.ignore("L2::")
    destination = machine.address(form.operands[0])
    map_name, coordinates = split_operands(form.operands[1][1:-1])
    map_at = machine.value(map_name, TYPES["u64"]).view(np.int64)
    column, row = (machine.value(c, TYPES["s32"]) for c in machine.vector(coordinates))
    barrier_at = machine.address(form.operands[2])

    def issue(lane: int) -> None:
        one = np.array([lane])
        start = int(map_at[lane]) - PARAM
        if not 0 <= start <= machine.params.size - _MAP.size:
            raise SimtError(
                f"{machine.name_thread(lane)}: the tensor map is not a kernel parameter"
            )
        base, inner, outer, pitch, box_inner, box_outer, width, bits = _MAP.unpack(
            machine.params.data[start : start + _MAP.size].tobytes()
        )
        to = int(destination.of(one)[0]) & IN_WINDOW
        if bits and to % 1024:
            raise SimtError(f"{machine.name_thread(lane)}: a swizzled tile must lie at 1024 bytes")
        phase = _phase(machine, lane, int(barrier_at.of(one)[0]))
        rows, columns = np.meshgrid(np.arange(box_outer), np.arange(box_inner), indexing="ij")
        at_row, at_column = rows + int(row[lane]), columns + int(column[lane])
        inside = (at_row >= 0) & (at_row < outer) & (at_column >= 0) & (at_column < inner)
        source = (base + at_row * pitch + at_column * width)[inside].astype(np.int64)
        places = swizzle(to + (rows * box_inner + columns) * width, bits)
        machine.memory.check(source, width)
        bank = np.full(places.size, machine.block[lane])
        machine.shared.check(places.reshape(-1), width, bank=bank)

        def land() -> None:
            data = np.zeros(places.shape, f"u{width}")
            data[inside] = machine.memory.load(source, width)
            machine.shared.store(places.reshape(-1), data.reshape(-1), width, bank=bank)
            phase.bytes -= box_inner * box_outer * width
            phase.settle()

        machine.background.append(land)

    def step(mask: Mask) -> None:
        for lane in machine.lane[machine.index(mask)]:
            issue(int(lane))

    return step


# --- warpgroup matrix instructions


@instruction("wgmma", group="warpgroup")
def wgmma(machine: Machine, form: Form) -> Step:
    if form.take("fence", "commit_group", "wait_group"):
        form.need("sync")
        form.need("aligned")
        return no_operation
    form.need("mma_async")
    form.need("sync")
    form.need("aligned")
    shape = form.left.pop(0)
    m, n, k = map(int, re.findall(r"\d+", shape))
    d_type, a_type, b_type = form.left
    form.left.clear()
    known = d_type == "f32" and a_type == b_type and a_type in ("bf16", "f16")
    if not known or (m, k) != (64, 16) or form.operands[4:6] != ("1", "1"):
        raise form.unknown()
    if form.operands[2].startswith("{") or form.operands[1].startswith("{"):
        raise form.unknown()  # A from registers
    if form.operands[6:] != ("0", "0"):
        raise form.unknown()  # transposed operands
    registers = [machine.target(name, TYPES["f32"]) for name in machine.vector(form.operands[0])]
    a_at, b_at = (machine.value(operand, TYPES["u64"]) for operand in form.operands[1:3])
    keep, negated = _scale(machine, form.operands[3])
    read = _tile_reader(machine, k, a_type)
    thread, i = np.arange(WARPGROUP)[:, None], np.arange(len(registers))
    row = thread // 32 * 16 + thread % 32 // 4 + i % 4 // 2 * 8
    column = thread % 4 * 2 + i // 4 * 8 + i % 2

    def step(mask: Mask) -> None:
        groups = machine.full(mask).reshape(-1, WARPGROUP)[:, 0]
        for group in np.flatnonzero(groups):
            lanes = slice(group * WARPGROUP, (group + 1) * WARPGROUP)
            first = int(group) * WARPGROUP
            total = np.zeros((64, n), np.float32)
            if bool(keep[first]) != negated:
                total[row, column] = np.stack([register[lanes] for register in registers], axis=1)
            total += read(int(a_at[first]), 64, first) @ read(int(b_at[first]), n, first).T
            found = total[row, column]
            for number, register in enumerate(registers):
                register[lanes] = found[:, number]

    return step


def _scale(machine: Machine, operand: str) -> tuple[Array, bool]:
    """scale-d: whether the accumulator is kept."""
    number = machine.integer(operand)
    if number is not None:
        return np.full(machine.lanes, bool(number)), False
    return machine.predicate(operand)


def _tile_reader(machine: Machine, k: int, kind: str) -> Callable[[int, int, int], Array]:
    """Reads rows of k elements from shared memory as a matrix descriptor says."""

    def read(descriptor: int, rows: int, lane: int) -> Array:
        start, stride = (descriptor & 0x3FFF) << 4, (descriptor >> 32 & 0x3FFF) << 4
        bits = {0: 0, 1: 3, 2: 2, 3: 1}[descriptor >> 62]
        if not bits:
            raise SimtError("wgmma: a descriptor without a swizzle is not known")
        r, c = np.meshgrid(np.arange(rows), np.arange(k), indexing="ij")
        at = swizzle(start + r // 8 * stride + r % 8 * (16 << bits) + 2 * c, bits).reshape(-1)
        raw = machine.shared.load(at, 2, bank=np.full(at.size, machine.block[lane]))
        wide = bf16_to_f32(raw) if kind == "bf16" else raw.view(np.float16).astype(np.float32)
        return wide.reshape(rows, k)

    return read
