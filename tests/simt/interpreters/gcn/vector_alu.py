"""Vector instructions that work lane by lane, in integers; and how all such are decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import lane_moves, sub_words
from .listing import Instruction
from .operands import DTYPES, Array, parse, source, target, unknown
from .scalar_alu import Decoder
from .wave import MASK32, Step, Wave

U16, U32, I32, U64, I64 = np.uint16, np.uint32, np.int32, np.uint64, np.int64


class Vector(NamedTuple):
    """`compute` takes one array a source and gives the result. Kinds as in operands.py."""

    result: str
    sources: tuple[str, ...]
    compute: Callable[..., Array]


def vector(kinds: str, compute: Callable[..., Any]) -> Vector:
    """kinds: "u32 = u32 f32"."""
    result, sources = kinds.split(" = ")
    return Vector(result, tuple(sources.split()), compute)


def lane_wise(form: Vector) -> Decoder:
    """The step of an instruction with one result. Three-address forms of two-address instructions
    (v_fmac) have their destination as last source."""

    def decode(instruction: Instruction) -> Step:
        sources = [
            source(instruction, 1 + i, i, kind)
            for i, kind in enumerate(form.sources[: len(instruction.operands) - 1])
        ]
        if len(sources) + 1 == len(form.sources):
            sources.append(source(instruction, 0, 2, form.sources[-1]))
        if len(sources) != len(form.sources):
            raise unknown(instruction)
        if "clamp" in instruction.modifiers and form.result[0] != "f":
            return _saturating(instruction, form, sources)
        if isinstance(form.compute, np.ufunc) and _is_plain(instruction, form):
            return _in_place(instruction, form, sources)
        put, compute = target(instruction, 0, form.result), form.compute
        if len(sources) == 1:
            (a,) = sources
            return lambda w: put(w, compute(a(w)))
        if len(sources) == 2:
            a, b = sources
            return lambda w: put(w, compute(a(w), b(w)))
        a, b, c = sources
        return lambda w: put(w, compute(a(w), b(w), c(w)))

    return decode


def _is_plain(instruction: Instruction, form: Vector) -> bool:
    shaped = {"clamp", "mul", "div"} & instruction.modifiers.keys()
    moved = lane_moves.moves(instruction) or sub_words.places(instruction)
    whole = int(form.result[1:]) == 32 and set(form.sources) == {form.result}
    return whole and not (shaped or moved or instruction.flush)


def _in_place(
    instruction: Instruction, form: Vector, sources: list[Callable[[Wave], Array]]
) -> Step:
    """numpy computes straight into the register."""
    index, kind = parse(instruction.operands[0]).index, form.result
    if parse(instruction.operands[0]).bank != "v":
        raise unknown(instruction)
    compute: Any = form.compute
    if len(sources) == 1:
        (a,) = sources

        def unary(w: Wave) -> None:
            compute(a(w), out=w.rows[kind][index], where=w.mask)

        return unary
    a, b = sources

    def binary(w: Wave) -> None:
        compute(a(w), b(w), out=w.rows[kind][index], where=w.mask)

    return binary


def _saturating(
    instruction: Instruction, form: Vector, sources: list[Callable[[Wave], Array]]
) -> Step:
    """clamp on an integer sum or difference."""
    operation = instruction.name.split("_")[1]
    compute = {"add": np.add, "sub": np.subtract, "subrev": lambda a, b: b - a}.get(operation)
    if compute is None:
        raise unknown(instruction)
    plain = {key: value for key, value in instruction.modifiers.items() if key != "clamp"}
    put = target(Instruction(**{**vars(instruction), "modifiers": plain}), 0, form.result)
    limits = np.iinfo(DTYPES[form.result])

    def step(w: Wave) -> None:
        exact = compute(*(get(w).astype(I64) for get in sources))
        put(w, np.clip(exact, limits.min, limits.max).astype(DTYPES[form.result]))

    return step


# ---- what the instructions compute


def _low24(x: Array) -> Array:
    return x & U32(0xFFFFFF)


def _low24_signed(x: Array) -> Array:
    return (x << I32(8)) >> I32(8)


def _times(a: Array, b: Array) -> Array:
    """The whole product of 32-bit numbers, as unsigned 64 bits."""
    wide: Any = I64 if a.dtype == I32 else U64
    return a.astype(wide) * b.astype(wide)


def high_product(a: Array, b: Array) -> Array:
    product = _times(a, b)
    return (product >> product.dtype.type(32)).astype(U32)


def field(x: Array, at: Array, width: Array) -> Array:
    """v_bfe: `width` bits of x from bit `at`, unsigned or signed as x is."""
    shift = (at & at.dtype.type(31)).astype(I64)
    bits = (width & width.dtype.type(31)).astype(I64)
    wide = x.astype(I64) >> shift
    low = wide & ((I64(1) << bits) - I64(1))
    if x.dtype == I32:
        up = I64(64) - bits
        low = np.where(bits == 0, I64(0), (low << (up & I64(63))) >> (up & I64(63)))
    return low.astype(x.dtype)


def byte_permute(high: Array, low: Array, selector: Array) -> Array:
    """v_perm_b32: each byte of the selector names a byte of {high, low}, a sign, 0 or 0xff."""
    if (
        selector.size == 1 and not int(selector[0]) & 0xF8F8F8F8
    ):  # the same plain bytes in all lanes
        return _gathered_bytes(high, low, int(selector[0]))
    both = high.astype(U64) << U64(32) | low
    out = np.zeros(np.broadcast_shapes(both.shape, selector.shape), U32)
    for byte in range(4):
        code = (selector >> U32(8 * byte) & U32(0xFF)).astype(U64)
        picked = both >> (U64(8) * (code & U64(7))) & U64(0xFF)
        # 8 to 11: the sign of bytes 1, 3, 5, 7
        sign = both >> (U64(16) * (code & U64(3)) + U64(15)) & U64(1)
        filled = np.where(code == 12, U64(0), np.where(code < 12, sign * U64(0xFF), U64(0xFF)))
        out |= (np.where(code < 8, picked, filled) << U64(8 * byte)).astype(U32)
    return out


def _gathered_bytes(high: Array, low: Array, selector: int) -> Array:
    out = np.empty((max(high.size, low.size), 4), np.uint8)
    bytes_of = [x.view(np.uint8).reshape(-1, 4) for x in (low, high)]
    for byte in range(4):
        code = selector >> 8 * byte & 7
        out[:, byte] = bytes_of[code // 4][:, code % 4]
    return out.view(U32)[:, 0]


def _shifted_pair(high: Array, low: Array, shift: Array) -> Array:
    return ((high.astype(U64) << U64(32) | low) >> shift.astype(U64)).astype(U32)


def _leading_zeros(x: Array) -> Array:
    _, exponent = np.frexp(x.astype(np.float64))
    return np.where(x == 0, U32(MASK32), (32 - exponent).astype(U32))


def _sign_run(x: Array) -> Array:
    return _leading_zeros(np.where(x < 0, ~x, x).view(U32))


def _trailing_zeros(x: Array) -> Array:
    _, exponent = np.frexp((x & (~x + U32(1))).astype(np.float64))
    return np.where(x == 0, U32(MASK32), (exponent - 1).astype(U32))


def _ones(x: Array, start: Array) -> Array:
    bits = np.unpackbits(np.ascontiguousarray(x).view(np.uint8).reshape(-1, 4), axis=1)
    return bits.sum(axis=1).astype(U32) + start


def _reversed(x: Array) -> Array:
    swapped = np.ascontiguousarray(x).view(np.uint8).reshape(-1, 4)[:, ::-1]
    bits = np.unpackbits(swapped, axis=1, bitorder="big")
    return np.packbits(bits, axis=1, bitorder="little").view(U32)[:, 0]


def middle(a: Array, b: Array, c: Array) -> Array:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _byte_difference(a: Array, b: Array, c: Array) -> Array:
    total = c.copy() if c.size >= max(a.size, b.size) else np.broadcast_to(c, a.shape).copy()
    for byte in range(0, 32, 8):
        x, y = (v >> U32(byte) & U32(0xFF) for v in (a, b))
        total = total + np.where(x > y, x - y, y - x)
    return total


def _table() -> dict[str, Vector]:
    def shift(x: Array) -> Array:
        return x & x.dtype.type(8 * x.dtype.itemsize - 1)

    unary = {
        "v_mov_b32": np.positive,
        "v_accvgpr_write_b32": np.positive,
        "v_accvgpr_read_b32": np.positive,
        "v_accvgpr_mov_b32": np.positive,
        "v_not_b32": np.invert,
        "v_bfrev_b32": _reversed,
        "v_ffbh_u32": _leading_zeros,
        "v_ffbl_b32": _trailing_zeros,
    }
    binary = {
        "v_add_u32": np.add,
        "v_sub_u32": np.subtract,
        "v_subrev_u32": lambda a, b: b - a,
        "v_and_b32": np.bitwise_and,
        "v_or_b32": np.bitwise_or,
        "v_xor_b32": np.bitwise_xor,
        "v_xnor_b32": lambda a, b: ~(a ^ b),
        "v_lshlrev_b32": lambda n, x: x << shift(n),
        "v_lshrrev_b32": lambda n, x: x >> shift(n),
        "v_lshl_b32": lambda x, n: x << shift(n),
        "v_mul_lo_u32": np.multiply,
        "v_mul_hi_u32": high_product,
        "v_mul_u32_u24": lambda a, b: _low24(a) * _low24(b),
        "v_mul_hi_u32_u24": lambda a, b: high_product(_low24(a), _low24(b)),
        "v_max_u32": np.maximum,
        "v_min_u32": np.minimum,
        "v_bcnt_u32_b32": _ones,
        "v_bfm_b32": lambda a, b: ((U32(1) << shift(a)) - U32(1)) << shift(b),
    }
    ternary = {
        "v_add3_u32": lambda a, b, c: a + b + c,
        "v_lshl_add_u32": lambda a, n, c: (a << shift(n)) + c,
        "v_add_lshl_u32": lambda a, b, n: (a + b) << shift(n),
        "v_lshl_or_b32": lambda a, n, c: a << shift(n) | c,
        "v_and_or_b32": lambda a, b, c: a & b | c,
        "v_or3_b32": lambda a, b, c: a | b | c,
        "v_xad_u32": lambda a, b, c: (a ^ b) + c,
        "v_bfi_b32": lambda mask, a, b: mask & a | ~mask & b,
        "v_bfe_u32": field,
        "v_mad_u32_u24": lambda a, b, c: _low24(a) * _low24(b) + c,
        "v_alignbit_b32": lambda high, low, n: _shifted_pair(high, low, n & U32(31)),
        "v_alignbyte_b32": lambda high, low, n: _shifted_pair(high, low, U32(8) * (n & U32(3))),
        "v_perm_b32": byte_permute,
        "v_min3_u32": lambda a, b, c: np.minimum(np.minimum(a, b), c),
        "v_max3_u32": lambda a, b, c: np.maximum(np.maximum(a, b), c),
        "v_med3_u32": middle,
        "v_sad_u8": _byte_difference,
        "v_sad_u32": lambda a, b, c: np.where(a > b, a - b, b - a) + c,
    }
    signed = {
        "v_add_i32": ("i32 = i32 i32", np.add),
        "v_sub_i32": ("i32 = i32 i32", np.subtract),
        "v_max_i32": ("i32 = i32 i32", np.maximum),
        "v_min_i32": ("i32 = i32 i32", np.minimum),
        "v_ashrrev_i32": ("i32 = i32 i32", lambda n, x: x >> shift(n)),
        "v_mul_i32_i24": ("i32 = i32 i32", lambda a, b: _low24_signed(a) * _low24_signed(b)),
        "v_mul_hi_i32": ("u32 = i32 i32", high_product),
        "v_mul_hi_i32_i24": (
            "u32 = i32 i32",
            lambda a, b: high_product(_low24_signed(a), _low24_signed(b)),
        ),
        "v_mad_i32_i24": (
            "i32 = i32 i32 i32",
            lambda a, b, c: _low24_signed(a) * _low24_signed(b) + c,
        ),
        "v_bfe_i32": ("i32 = i32 i32 i32", field),
        "v_ffbh_i32": ("u32 = i32", _sign_run),
        "v_min3_i32": ("i32 = i32 i32 i32", lambda a, b, c: np.minimum(np.minimum(a, b), c)),
        "v_max3_i32": ("i32 = i32 i32 i32", lambda a, b, c: np.maximum(np.maximum(a, b), c)),
        "v_med3_i32": ("i32 = i32 i32 i32", middle),
    }
    wide = {
        "v_mov_b64": ("u64 = u64", np.positive),
        "v_lshlrev_b64": ("u64 = u32 u64", lambda n, x: x << (n & U32(63)).astype(U64)),
        "v_lshrrev_b64": ("u64 = u32 u64", lambda n, x: x >> (n & U32(63)).astype(U64)),
        "v_ashrrev_i64": ("i64 = u32 i64", lambda n, x: x >> (n & U32(63)).astype(I64)),
        "v_lshl_add_u64": ("u64 = u64 u32 u64", lambda a, n, c: (a << n.astype(U64)) + c),
    }
    halves = {
        "v_add_u16": ("u16 = u16 u16", np.add),
        "v_sub_u16": ("u16 = u16 u16", np.subtract),
        "v_subrev_u16": ("u16 = u16 u16", lambda a, b: b - a),
        "v_mul_lo_u16": ("u16 = u16 u16", np.multiply),
        "v_lshlrev_b16": ("u16 = u16 u16", lambda n, x: x << shift(n)),
        "v_lshrrev_b16": ("u16 = u16 u16", lambda n, x: x >> shift(n)),
        "v_ashrrev_i16": ("i16 = i16 i16", lambda n, x: x >> shift(n)),
        "v_max_u16": ("u16 = u16 u16", np.maximum),
        "v_min_u16": ("u16 = u16 u16", np.minimum),
        "v_max_i16": ("i16 = i16 i16", np.maximum),
        "v_min_i16": ("i16 = i16 i16", np.minimum),
        "v_add_i16": ("i16 = i16 i16", np.add),
        "v_sub_i16": ("i16 = i16 i16", np.subtract),
        "v_mad_legacy_u16": ("u16 = u16 u16 u16", lambda a, b, c: a * b + c),
        "v_mad_legacy_i16": ("i16 = i16 i16 i16", lambda a, b, c: a * b + c),
        "v_mad_u16": ("u16 = u16 u16 u16", lambda a, b, c: a * b + c),
        "v_mad_i16": ("i16 = i16 i16 i16", lambda a, b, c: a * b + c),
        "v_med3_i16": ("i16 = i16 i16 i16", middle),
        "v_med3_u16": ("u16 = u16 u16 u16", middle),
        "v_pack_b32_f16": ("u32 = u16 u16", lambda a, b: a.astype(U32) | b.astype(U32) << U32(16)),
        "v_mad_u32_u16": ("u32 = u16 u16 u32", lambda a, b, c: a.astype(U32) * b + c),
        "v_mad_i32_i16": ("i32 = i16 i16 i32", lambda a, b, c: a.astype(I32) * b + c),
    }
    table = {name: vector("u32 = u32", compute) for name, compute in unary.items()}
    table |= {name: vector("u32 = u32 u32", compute) for name, compute in binary.items()}
    table |= {name: vector("u32 = u32 u32 u32", compute) for name, compute in ternary.items()}
    for group in (signed, wide, halves):
        table |= {name: vector(kinds, compute) for name, (kinds, compute) in group.items()}
    return table


DECODERS: dict[str, Decoder] = {name: lane_wise(form) for name, form in _table().items()}
