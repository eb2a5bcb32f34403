"""MFMA: a wave multiplies small matrices that its lanes hold, D = A B + C.

Layouts, from AMD's matrix instruction documents. An instruction works on one matrix or on several
blocks at once. With the lanes cut into groups of M (of N for B, C and D), lane n of group g holds
  A[n, k], B[k, n]   k = g * e .. g * e + e - 1, of e elements a lane; of several blocks number g
  C[row, n]          register 4q + r is row 4 * groups * q + 4g + r of a block; 4 x 4: of block g
The execution mask is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .floats import F32, FP8_VALUES, bf16_to_f32
from .listing import Instruction
from .operands import constant_bits, parse, scalar, unknown
from .scalar_alu import Decoder
from .wave import LANES, Step, Wave

Array = NDArray[Any]


class Element(NamedTuple):
    """A type of matrix element: bytes, and what its bits stand for."""

    width: int
    value: Callable[[Array], Array]


_ELEMENTS = {
    "f32": Element(4, lambda bits: bits.view(F32)),
    "xf32": Element(4, lambda bits: bits.view(F32)),
    "f16": Element(2, lambda bits: bits.view(np.float16)),
    "bf16": Element(2, bf16_to_f32),
    "i8": Element(1, lambda bits: bits.view(np.int8)),
    "fp8": Element(1, lambda bits: FP8_VALUES["fp8"][bits]),
    "bf8": Element(1, lambda bits: FP8_VALUES["bf8"][bits]),
}
_UNSIGNED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32}


class Shape(NamedTuple):
    m: int
    n: int
    k: int
    blocks: int
    a: Element
    b: Element
    result: Any
    flushes: bool  # subnormal f16 and bf16 count as zero

    @property
    def source_words(self) -> int:
        elements = self.m * self.k * self.blocks // LANES
        return max(1, elements * self.a.width // 4)

    @property
    def result_words(self) -> int:
        return self.m * self.n * self.blocks // LANES


# gfx90a writes 16x16x16f16 and 32x32x8bf16_1k, gfx942 16x16x16_f16 and 4x4x4_16b_f16
_NAME = re.compile(
    r"v_mfma_(f32|i32)_(\d+)x(\d+)x(\d+)_?(?:(\d+)b_)?"
    r"(xf32|f32|f16|bf16|i8|(?:fp8|bf8)_(?:fp8|bf8))(_1k)?$"
)


def parse_shape(name: str) -> Shape | None:
    match = _NAME.match(name)
    if not match:
        return None
    result, m, n, k, _, types, _ = match.groups()
    first, _, second = types.partition("_")
    a, b = _ELEMENTS[first], _ELEMENTS[second or first]
    rows, depth = int(m), int(k)
    # A register or a pair of registers is full: what the depth does not use are further blocks.
    in_lane = _elements_in_lane(name, types, rows, depth)
    blocks = max(1, LANES // rows * in_lane // depth)
    return Shape(
        rows, int(n), depth, blocks, a, b, np.int64 if result == "i32" else np.float64,
        flushes="_1k" in name or re.search(r"\df16", name) is not None,
    )  # fmt: skip


def _elements_in_lane(name: str, types: str, rows: int, depth: int) -> int:
    """Of a source: f32 1 (xf32 2), f16 and bf16 4, gfx908's bf16 2, bytes 4 or 8."""
    if types in ("f32", "xf32"):
        return 1 if types == "f32" else 2
    if types == "bf16" and "_1k" not in name and re.search(r"\dbf16", name):
        return 2
    if types in ("f16", "bf16"):
        return 4
    return 8 if rows * depth == 512 else 4


def _lane_elements(words: Array, element: Element) -> Array:
    """[registers, 64] words as [64, elements] values."""
    count = 4 // element.width
    bits = words.view(_UNSIGNED[element.width]).reshape(len(words), LANES, count)
    return element.value(np.ascontiguousarray(bits.transpose(1, 0, 2)).reshape(LANES, -1))


def _left(words: Array, shape: Shape) -> Array:
    """A: [blocks, m, k]. B is the same with its two axes swapped, n for m."""
    values = _lane_elements(words, shape.a).astype(np.float64)
    return _stacked(values, shape)


def _stacked(values: Array, shape: Shape) -> Array:
    groups = values.reshape(-1, shape.m, values.shape[1])  # [group, row, elements of a lane]
    if shape.blocks > 1:
        return groups
    return groups.transpose(1, 0, 2).reshape(1, shape.m, shape.k)


def _to_blocks(words: Array, shape: Shape) -> Array:
    """C: [registers, 64] as [blocks, m, n]."""
    n = shape.n
    if n == 4:
        return words.reshape(4, 16, 4).transpose(1, 0, 2)
    groups = LANES // n
    parts = words.reshape(shape.blocks, -1, 4, groups, n)  # [block, q, r, group, column]
    return parts.transpose(0, 1, 3, 2, 4).reshape(shape.blocks, shape.m, n)


def _to_words(blocks: Array, shape: Shape) -> Array:
    """D: the way back."""
    n = shape.n
    if n == 4:
        return blocks.transpose(1, 0, 2).reshape(4, LANES)
    groups = LANES // n
    parts = blocks.reshape(shape.blocks, -1, groups, 4, n)
    return parts.transpose(0, 1, 3, 2, 4).reshape(-1, LANES)


def _flushed(values: Array, element: Element) -> Array:
    if element.width != 2:
        return values
    tiny = 2.0**-14 if element is _ELEMENTS["f16"] else 2.0**-126
    return np.where(np.abs(values) < tiny, 0.0, values)


def _addend(text: str, shape: Shape) -> Callable[[Wave], Array]:
    operand = parse(text)
    narrow: Any = np.int32 if shape.result is np.int64 else F32
    if operand.bank == "v":
        first, last = operand.index, operand.index + shape.result_words
        return lambda w: _to_blocks(w.words[first:last].view(narrow), shape)
    if operand.bank == "constant":
        kind = "i32" if narrow is np.int32 else "f32"
        value = np.array(constant_bits(operand.text, kind), np.uint32).view(narrow)
        return lambda w: value
    get = scalar(operand.text)
    return lambda w: np.array(get(w), np.uint32).view(narrow)


def _multiply(instruction: Instruction) -> Step:
    shape = parse_shape(instruction.name)
    texts = instruction.operands
    if shape is None or {"cbsz", "abid", "blgp"} & instruction.modifiers.keys():
        raise unknown(instruction)
    d, a, b = (parse(text) for text in texts[:3])
    addend = parse(texts[3])
    if any(x.bank != "v" for x in (d, a, b)) or addend.negate or addend.absolute:
        raise unknown(instruction)
    c = _addend(texts[3], shape)
    words, count = shape.source_words, shape.result_words
    right_form = shape._replace(a=shape.b)

    def step(w: Wave) -> None:
        left = _left(w.words[a.index : a.index + words], shape)
        right = _left(w.words[b.index : b.index + words], right_form)
        if shape.flushes:
            left, right = _flushed(left, shape.a), _flushed(right, shape.b)
        product = left @ right.transpose(0, 2, 1)
        if shape.result is np.int64:
            total = product.astype(np.int64) + c(w)
            out = _to_words(total, shape).astype(np.uint32)
        else:
            total = np.broadcast_to(product + c(w), product.shape)
            out = np.ascontiguousarray(_to_words(total, shape)).astype(F32).view(np.uint32)
        w.words[d.index : d.index + count] = out

    return step


def _names() -> list[str]:
    """Every form of gfx90a and gfx942 that this file knows."""
    old = [f"f32_{s}f32" for s in ("32x32x1", "16x16x1", "4x4x1", "32x32x2", "16x16x4")]
    old += [f"f32_{s}f16" for s in ("32x32x4", "16x16x4", "4x4x4", "32x32x8", "16x16x16")]
    old += [f"f32_{s}bf16" for s in ("32x32x2", "16x16x2", "4x4x2", "32x32x4", "16x16x8")]
    old += [f"f32_{s}bf16_1k" for s in ("32x32x4", "16x16x4", "4x4x4", "32x32x8", "16x16x16")]
    old += [f"i32_{s}i8" for s in ("32x32x4", "16x16x4", "4x4x4", "32x32x8", "16x16x16")]
    new = [f"f32_{s}_f32" for s in ("32x32x1_2b", "16x16x1_4b", "4x4x1_16b", "32x32x2", "16x16x4")]
    new += [f"f32_{s}_xf32" for s in ("32x32x4", "16x16x8")]
    for kind in ("f16", "bf16"):
        shapes = ("32x32x4_2b", "16x16x4_4b", "4x4x4_16b", "32x32x8", "16x16x16")
        new += [f"f32_{s}_{kind}" for s in shapes]
    new += [
        f"i32_{s}_i8" for s in ("32x32x4_2b", "16x16x4_4b", "4x4x4_16b", "32x32x16", "16x16x32")
    ]
    new += [
        f"f32_{s}_{a}_{b}"
        for s in ("32x32x16", "16x16x32")
        for a in ("fp8", "bf8")
        for b in ("fp8", "bf8")
    ]
    return [f"v_mfma_{name}" for name in old + new]


DECODERS: dict[str, Decoder] = dict.fromkeys(_names(), _multiply)
