"""ld and st of every state space, alone and as vectors."""

from __future__ import annotations

import numpy as np

from ptx.kinds import RAW, TYPES, Array, Mask, Type
from ptx.machine import Machine
from ptx.registry import Form, Step, instruction
from ptx.spaces import Reach

_VECTORS = {"v2": 2, "v4": 4, "v8": 8}


def _modifiers(form: Form) -> tuple[Type, int]:
    """Takes type and vector; caching, ordering and scope mean nothing where threads take turns."""
    kind = form.type()
    count = _VECTORS.get(form.take(*_VECTORS), 1)
    form.ignore("L1::", "L2::", "level::")
    for hint in ("nc", "weak", "volatile", "mmio", "relaxed", "acquire", "release", "unified"):
        form.has(hint)
    form.take("cta", "cluster", "gpu", "sys")
    form.take("ca", "cg", "cs", "lu", "cv", "wb", "wt")
    return kind, count


@instruction("ld", "ldu")
def load(machine: Machine, form: Form) -> Step:
    kind, count = _modifiers(form)
    names = machine.vector(form.operands[0])
    targets = [machine.target(name, kind) for name in names]
    address = machine.address(form.operands[1])
    reach = Reach(machine, form)
    if address.param_at is not None:
        return _load_param(machine, kind, targets, address.param_at)
    single = targets[0]

    def step(mask: Mask) -> None:
        lanes = machine.index(mask)
        found = reach.load(address.of(lanes), lanes, kind.size, count).view(kind.dtype)
        if count == 1:
            single[lanes] = found
            return
        for i, target in enumerate(targets):
            target[lanes] = found[:, i]

    return step


def _load_param(machine: Machine, kind: Type, targets: list[Array], at: int) -> Step:
    """A parameter at a place that is known: the same value for every thread."""
    data = machine.params.data
    pieces = [data[at + i * kind.size : at + (i + 1) * kind.size] for i in range(len(targets))]
    views = [piece.view(kind.dtype) for piece in pieces]

    def step(mask: Mask) -> None:
        for target, view in zip(targets, views):
            np.copyto(target, view, where=mask)

    return step


@instruction("st")
def store(machine: Machine, form: Form) -> Step:
    kind, count = _modifiers(form)
    reach = Reach(machine, form)
    address = machine.address(form.operands[0])
    names = machine.vector(form.operands[1])
    sources = [machine.value(name, kind).view(RAW[kind.size]) for name in names]

    def step(mask: Mask) -> None:
        lanes = machine.index(mask)
        if count == 1:
            values = sources[0][lanes]
        else:
            values = np.stack([source[lanes] for source in sources], axis=1)
        reach.store(address.of(lanes), lanes, values, kind.size, count)

    return step


@instruction("createpolicy")
def cache_policy(machine: Machine, form: Form) -> Step:
    """A policy tells caches what to keep; any number will do."""
    form.left.clear()
    target = machine.target(form.operands[0], TYPES["b64"])
    return lambda mask: np.copyto(target, 0, where=mask)
