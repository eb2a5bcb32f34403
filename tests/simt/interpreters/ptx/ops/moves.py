"""mov with its packing and unpacking forms, cvta, isspacep."""

from __future__ import annotations

import numpy as np

from ptx.kinds import IN_WINDOW, RAW, TYPES, WINDOW_SHIFT, WINDOWS, Mask, Type
from ptx.machine import Machine
from ptx.registry import Form, Step, instruction
from ptx.steps import apply, assign


@instruction("mov")
def mov(machine: Machine, form: Form) -> Step:
    kind = form.type()
    to, of = form.operands
    if to.startswith("{"):
        return _unpack(machine, kind, to, of)
    if of.startswith("{"):
        return _pack(machine, kind, to, of)
    source, target = machine.value(of, kind), machine.target(to, kind)
    return lambda mask: np.copyto(target, source, where=mask)


def _unpack(machine: Machine, kind: Type, to: str, of: str) -> Step:
    names = machine.vector(to)
    part = TYPES[f"b{8 * kind.size // len(names)}"]
    source = machine.value(of, TYPES[f"b{8 * kind.size}"])
    pieces = [
        (machine.target(name, part), np.asarray(8 * part.size * i, source.dtype))
        for i, name in enumerate(names)
        if name != "_"
    ]

    def step(mask: Mask) -> None:
        whole = source.copy()  # a piece may lie in the same register
        for target, shift in pieces:
            np.copyto(target, (whole >> shift).astype(target.dtype), where=mask)

    return step


def _pack(machine: Machine, kind: Type, to: str, of: str) -> Step:
    names = machine.vector(of)
    part = TYPES[f"b{8 * kind.size // len(names)}"]
    sources = [machine.value(name, part) for name in names]
    target = machine.target(to, TYPES[f"b{8 * kind.size}"])
    whole = np.dtype(RAW[kind.size])

    def step(mask: Mask) -> None:
        packed = sources[0].astype(whole)
        for i, source in enumerate(sources[1:], 1):
            packed |= source.astype(whole) << np.asarray(8 * part.size * i, whole)
        np.copyto(target, packed, where=mask)

    return step


@instruction("cvta")
def cvta(machine: Machine, form: Form) -> Step:
    """To and from generic addresses, which global, constant and parameter addresses are."""
    kind = form.type()
    to_space = form.has("to")
    space = form.need("global", "shared", "local", "const", "param", "shared::cta")
    space = space.split("::")[0]
    target, source = machine.target(form.operands[0], kind), machine.value(form.operands[1], kind)
    dtype = target.dtype
    if space not in ("shared", "local"):
        return lambda mask: np.copyto(target, source, where=mask)
    if to_space:
        inside = dtype.type(IN_WINDOW)
        return apply(np.bitwise_and, target, source, inside)
    window = dtype.type(WINDOWS[space])
    return apply(np.bitwise_or, target, source, window)


@instruction("isspacep")
def isspacep(machine: Machine, form: Form) -> Step:
    space = form.need("global", "shared", "local", "const", "param", "shared::cta")
    number = WINDOWS.get(space.split("::")[0], 0) >> WINDOW_SHIFT
    target = machine.target(form.operands[0], TYPES["pred"])
    source = machine.value(form.operands[1], TYPES["u64"])
    shift, wanted = np.uint64(WINDOW_SHIFT), np.uint64(number)
    return assign(target, lambda: source >> shift == wanted)


@instruction("mapa", "getctarank")
def cluster(machine: Machine, form: Form) -> Step:
    """Clusters of one block: an address maps to itself and every block has rank 0."""
    form.take("shared::cluster")
    kind = form.type()
    target = machine.target(form.operands[0], kind)
    if form.name == "getctarank":
        return lambda mask: np.copyto(target, 0, where=mask)
    source = machine.value(form.operands[1], kind)
    return lambda mask: np.copyto(target, source, where=mask)
