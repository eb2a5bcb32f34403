"""Matrix instructions of a warp: mma.sync, ldmatrix, stmatrix, movmatrix.

The layouts follow the PTX manual: with g = lane / 4 and t = lane % 4, a register of e elements
holds columns (or rows, of B) e * t ... of an 8-row block. Blocks follow each other down the rows of
A first, then along k.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from memory import SimtError
from ptx.kinds import TYPES, Array, Mask
from ptx.machine import WARP, Machine
from ptx.numerics import FP8, bf16_to_f32
from ptx.registry import Form, Step, instruction
from ptx.spaces import Reach

_LANE = np.arange(WARP)
_G, _T = _LANE // 4, _LANE % 4


@dataclass(frozen=True)
class Element:
    """How an operand's registers hold its elements."""

    per_register: int
    read: Callable[[Array], Array]  # u32 [warps, 32, registers] to numbers [warps, 32, elements]


def _view(dtype: type) -> Callable[[Array], Array]:
    return lambda words: words.view(dtype)


_ELEMENTS = {
    "f16": Element(2, lambda words: words.view(np.float16).astype(np.float32)),
    "bf16": Element(2, lambda words: bf16_to_f32(words.view(np.uint16))),
    "tf32": Element(1, lambda words: (words & np.uint32(0xFFFFE000)).view(np.float32)),
    "s8": Element(4, lambda words: words.view(np.int8).astype(np.int64)),
    "u8": Element(4, lambda words: words.view(np.uint8).astype(np.int64)),
    "e4m3": Element(4, lambda words: FP8["e4m3"][words.view(np.uint8)]),
    "e5m2": Element(4, lambda words: FP8["e5m2"][words.view(np.uint8)]),
}
_BITS = {name: 32 // element.per_register for name, element in _ELEMENTS.items()}
_SHAPES = {16: (8, 16), 32: (4, 8), 8: (16, 32)}  # the k that each element width comes with


def a_places(per_register: int, k: int) -> tuple[Array, Array]:
    """Row and column of each lane's elements of A [16, k]."""
    i = np.arange(16 * k // WARP)
    register = i // per_register
    row = _G[:, None] + 8 * (register % 2)
    column = per_register * _T[:, None] + i % per_register + 4 * per_register * (register // 2)
    return row, column


def b_places(per_register: int, k: int) -> tuple[Array, Array]:
    """Row (along k) and column of each lane's elements of B [k, 8]."""
    i = np.arange(8 * k // WARP)
    register = i // per_register
    row = per_register * _T[:, None] + i % per_register + 4 * per_register * register
    return row, np.broadcast_to(_G[:, None], row.shape)


def c_places() -> tuple[Array, Array]:
    """Row and column of each lane's four elements of C and D [16, 8]."""
    i = np.arange(4)
    return _G[:, None] + 8 * (i // 2), 2 * _T[:, None] + i % 2


def _words(machine: Machine, names: tuple[str, ...]) -> Callable[[], Array]:
    """Reads registers as u32 [warps, 32, registers]."""
    registers = [machine.value(name, TYPES["b32"]) for name in names]
    return lambda: np.stack(registers, axis=1).reshape(-1, WARP, len(registers))


@instruction("mma", group="warp")
def multiply(machine: Machine, form: Form) -> Step:
    c_type, b_type, a_type, d_type = (form.left.pop() for _ in range(4))
    form.need("sync")
    form.need("aligned")
    shape = next((part for part in form.left if re.fullmatch(r"m\d+n\d+k\d+", part)), "")
    m, n, k = map(int, re.findall(r"\d+", shape)) if form.has(shape) else (0, 0, 0)
    form.need("row")
    form.need("col")
    form.has("kind::f8f6f4")
    clamp = form.has("satfinite")
    known = a_type in _ELEMENTS and b_type in _ELEMENTS and _BITS[a_type] == _BITS[b_type]
    whole = a_type in ("s8", "u8")
    results = ("s32",) if whole else ("f32", "f16") if a_type == "f16" else ("f32",)
    if not known or (m, n) != (16, 8) or c_type != d_type or c_type not in results:
        raise form.unknown()
    if k not in _SHAPES[_BITS[a_type]] and not (a_type == "tf32" and k == 4):
        raise form.unknown()
    a_element, b_element = _ELEMENTS[a_type], _ELEMENTS[b_type]
    d_names, a_names, b_names, c_names = (machine.vector(operand) for operand in form.operands[:4])
    a_words, b_words = _words(machine, a_names), _words(machine, b_names)
    c_words = _words(machine, c_names)
    targets = [machine.target(name, TYPES["b32"]) for name in d_names]
    a_row, a_column = a_places(a_element.per_register, k)
    b_row, b_column = b_places(b_element.per_register, k)
    c_row, c_column = c_places()
    c_dtype = {"f32": np.float32, "f16": np.float16, "s32": np.int32}[c_type]
    wide = np.dtype(np.int64 if whole else np.float32)

    def step(mask: Mask) -> None:
        warps = machine.lanes // WARP
        a: Array = np.zeros((warps, 16, k), wide)
        b: Array = np.zeros((warps, k, 8), wide)
        d: Array = np.zeros((warps, 16, 8), wide)
        a[:, a_row, a_column] = a_element.read(a_words())
        b[:, b_row, b_column] = b_element.read(b_words())
        d[:, c_row, c_column] = c_words().view(c_dtype)
        d += a @ b
        if clamp and whole:
            d = np.clip(d, -(1 << 31), (1 << 31) - 1)
        found = np.ascontiguousarray(d.astype(c_dtype)[:, c_row, c_column]).view(np.uint32)
        for i, target in enumerate(targets):
            np.copyto(target, found[:, :, i].reshape(-1), where=mask)

    return step


def _matrices(form: Form) -> int:
    form.need("sync")
    form.need("aligned")
    form.need("m8n8")
    form.need("b16")
    return {"x1": 1, "x2": 2, "x4": 4}[form.need("x1", "x2", "x4")]


def _rows(count: int, mask: Mask, machine: Machine) -> Array:
    """The threads whose addresses are those of the matrices' rows, [warps, 8 * count]."""
    warps = np.arange(machine.lanes // WARP)
    if mask is not True:
        warps = warps[mask.reshape(-1, WARP).any(axis=1)]
    rows = warps[:, None] * WARP + np.arange(8 * count)
    if mask is not True and not mask[rows].all():
        raise SimtError("a thread that gives a row's address has exited")
    return rows


@instruction("ldmatrix", group="warp")
def load_matrix(machine: Machine, form: Form) -> Step:
    """Row r of a matrix lies in lanes 4r .. 4r+3, two elements each; transposed, column r does."""
    count = _matrices(form)
    transposed = form.has("trans")
    reach = Reach(machine, form)
    targets = [machine.target(name, TYPES["b32"]) for name in machine.vector(form.operands[0])]
    address = machine.address(form.operands[1])
    if len(targets) != count:
        raise form.unknown()

    def step(mask: Mask) -> None:
        rows = _rows(count, mask, machine)
        flat = rows.reshape(-1)
        words = reach.load(address.of(flat), flat, 4, 4)
        halves = words.view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            halves = halves.swapaxes(2, 3)
        found = np.ascontiguousarray(halves).view(np.uint32).reshape(-1, count, WARP)
        lanes = (rows[:, :1] // WARP * WARP + _LANE).reshape(-1)
        for i, target in enumerate(targets):
            target[lanes] = found[:, i].reshape(-1)

    return step


@instruction("stmatrix", group="warp")
def store_matrix(machine: Machine, form: Form) -> Step:
    count = _matrices(form)
    transposed = form.has("trans")
    reach = Reach(machine, form)
    address = machine.address(form.operands[0])
    sources = [machine.value(name, TYPES["b32"]) for name in machine.vector(form.operands[1])]

    def step(mask: Mask) -> None:
        rows = _rows(count, mask, machine)
        lanes = rows[:, :1] // WARP * WARP + _LANE
        words = np.stack([source[lanes] for source in sources], axis=1)
        halves = np.ascontiguousarray(words).view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            halves = halves.swapaxes(2, 3)
        flat = rows.reshape(-1)
        values = np.ascontiguousarray(halves).view(np.uint32).reshape(-1, 4)
        reach.store(address.of(flat), flat, values, 4, 4)

    return step


@instruction("movmatrix", group="warp")
def move_matrix(machine: Machine, form: Form) -> Step:
    for part in ("sync", "aligned", "m8n8", "trans", "b16"):
        form.need(part)
    target, source = (machine.target(operand, TYPES["b32"]) for operand in form.operands)

    def step(mask: Mask) -> None:
        halves = source.copy().view(np.uint16).reshape(-1, 8, 8).swapaxes(1, 2)
        np.copyto(target, np.ascontiguousarray(halves).view(np.uint32).reshape(-1), where=mask)

    return step
