"""Vector comparisons: v_cmp writes a lane mask, v_cmpx the execution mask as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .listing import Instruction
from .operands import Array, mask_target, source
from .scalar_alu import Decoder
from .wave import Step, Wave, mask_of

_ORDERED: dict[str, Callable[..., Any]] = {
    "lt": np.less,
    "eq": np.equal,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lg": lambda a, b: (a < b) | (a > b),
    "ne": np.not_equal,
    "o": lambda a, b: (a == a) & (b == b),
    "u": lambda a, b: (a != a) | (b != b),
    "f": lambda a, b: np.zeros(1, np.bool_),
    "t": lambda a, b: np.ones(1, np.bool_),
    "tru": lambda a, b: np.ones(1, np.bool_),
}
_NEGATED = {"nge": "ge", "nlg": "lg", "ngt": "gt", "nle": "le", "neq": "eq", "nlt": "lt"}


def _relations(kind: str) -> dict[str, Callable[..., Any]]:
    if kind[0] != "f":
        return {name: _ORDERED[name] for name in ("f", "lt", "eq", "le", "gt", "ne", "ge", "t")}
    names = ("f", "lt", "eq", "le", "gt", "lg", "ge", "o", "u", "tru")
    found = {name: _ORDERED[name] for name in names}
    for name, other in _NEGATED.items():
        found[name] = lambda a, b, holds=_ORDERED[other]: ~holds(a, b)
    return found


def _write(instruction: Instruction, sets_exec: bool) -> Callable[[Wave, Array], None]:
    put = mask_target(instruction.operands[0])

    def write(w: Wave, holds: Array) -> None:
        mask = mask_of(holds) & w.exec
        put(w, mask)
        if sets_exec:
            w.set_exec(mask)

    return write


def _compare(relation: Callable[..., Any], kind: str, sets_exec: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        write = _write(instruction, sets_exec)
        a, b = source(instruction, 1, 0, kind), source(instruction, 2, 1, kind)
        return lambda w: write(w, relation(a(w), b(w)))

    return decode


def classify(x: Array, wanted: Array) -> Array:
    """v_cmp_class: whether x is of one of the ten classes whose bits are set in `wanted`."""
    info = np.finfo(x.dtype)
    size, negative = np.abs(x), np.signbit(x)
    quiet_bit = {2: 9, 4: 22, 8: 51}[x.dtype.itemsize]
    unsigned: Any = {2: np.uint16, 4: np.uint32, 8: np.uint64}[x.dtype.itemsize]
    quiet = (x.view(unsigned) >> unsigned(quiet_bit) & unsigned(1)) == 1
    nan, zero, infinite = np.isnan(x), x == 0, np.isinf(x)
    subnormal = ~zero & (size < info.tiny)
    normal = ~(nan | zero | infinite | subnormal)
    classes = (
        nan & ~quiet,
        nan & quiet,
        infinite & negative,
        normal & negative,
        subnormal & negative,
        zero & negative,
        zero & ~negative,
        subnormal & ~negative,
        normal & ~negative,
        infinite & ~negative,
    )
    holds = np.zeros(np.broadcast_shapes(x.shape, wanted.shape), np.bool_)
    for bit, member in enumerate(classes):
        holds |= member & ((wanted >> bit & 1) == 1)
    return holds


def _class(kind: str, sets_exec: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        write = _write(instruction, sets_exec)
        a, b = source(instruction, 1, 0, kind), source(instruction, 2, 1, "u32")
        return lambda w: write(w, classify(a(w), b(w).astype(np.int64)))

    return decode


def _decoders() -> dict[str, Decoder]:
    table = {}
    for prefix, sets_exec in (("v_cmp", False), ("v_cmpx", True)):
        for kind in ("f16", "f32", "f64", "i16", "u16", "i32", "u32", "i64", "u64"):
            for name, relation in _relations(kind).items():
                table[f"{prefix}_{name}_{kind}"] = _compare(relation, kind, sets_exec)
        for kind in ("f16", "f32", "f64"):
            table[f"{prefix}_class_{kind}"] = _class(kind, sets_exec)
    return table


DECODERS = _decoders()
