"""Conversions between integers and floating-point numbers of all widths, fp8 among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .floats import F32, F64, FP8_VALUES, to_fp8, toward_zero_f16
from .listing import Instruction
from .operands import DTYPES, Array, parse, source, target
from .scalar_alu import Decoder
from .vector_alu import Vector, lane_wise, vector
from .wave import Step, Wave

U16, U32 = np.uint16, np.uint32


def _to_integer(kind: str, rounding: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Rounded, held to the range of the kind; what is not a number becomes 0."""
    limits = np.iinfo(DTYPES[kind])

    def convert(x: Array) -> Array:
        wide = np.nan_to_num(rounding(x.astype(F64)), nan=0.0)
        return np.clip(wide, float(limits.min), float(limits.max)).astype(DTYPES[kind])

    return convert


def _to(dtype: Any) -> Callable[[Array], Array]:
    return lambda x: x.astype(dtype)


def _packed(low: Array, high: Array) -> Array:
    return low.astype(U16).astype(U32) | high.astype(U16).astype(U32) << U32(16)


def _normalised(limit: float, dtype: Any) -> Callable[[Array, Array], Array]:
    def convert(a: Array, b: Array) -> Array:
        lowest = -limit if np.issubdtype(dtype, np.signedinteger) else 0.0
        parts = [
            np.clip(np.rint(np.nan_to_num(x.astype(F64)) * limit), lowest, limit).astype(dtype)
            for x in (a, b)
        ]
        return _packed(*(part.view(U16) for part in parts))

    return convert


def _byte_into(x: Array, byte: Array, into: Array) -> Array:
    """v_cvt_pk_u8_f32."""
    value = _to_integer("u32", np.rint)(np.clip(x, F32(0), F32(255)))
    shift = (byte & U32(3)) * U32(8)
    return into & ~(U32(0xFF) << shift) | value << shift


def _table() -> dict[str, Vector]:
    truncating = {
        f"v_cvt_{to}_{of}": vector(f"{to} = {of}", _to_integer(to, np.trunc))
        for to, of in (
            ("u32", "f32"), ("i32", "f32"), ("u32", "f64"), ("i32", "f64"), ("u16", "f16"),
            ("i16", "f16"),
        )
    }  # fmt: skip
    exact = {
        f"v_cvt_{to}_{of}": vector(f"{to} = {of}", _to(DTYPES[to]))
        for to, of in (
            ("f32", "u32"), ("f32", "i32"), ("f64", "u32"), ("f64", "i32"), ("f16", "u16"),
            ("f16", "i16"), ("f16", "f32"), ("f32", "f16"), ("f32", "f64"), ("f64", "f32"),
        )
    }  # fmt: skip
    table = truncating | exact
    for byte in range(4):
        table[f"v_cvt_f32_ubyte{byte}"] = vector(
            "f32 = u32", lambda x, n=U32(8 * byte): (x >> n & U32(0xFF)).astype(F32)
        )
    return table | {
        "v_cvt_rpi_i32_f32": vector("i32 = f32", _to_integer("i32", lambda x: np.floor(x + 0.5))),
        "v_cvt_flr_i32_f32": vector("i32 = f32", _to_integer("i32", np.floor)),
        "v_cvt_pkrtz_f16_f32": vector(
            "u32 = f32 f32",
            lambda a, b: _packed(toward_zero_f16(a).view(U16), toward_zero_f16(b).view(U16)),
        ),
        "v_cvt_pk_u16_u32": vector(
            "u32 = u32 u32",
            lambda a, b: _packed(np.minimum(a, U32(65535)), np.minimum(b, U32(65535))),
        ),
        "v_cvt_pk_i16_i32": vector(
            "u32 = i32 i32",
            lambda a, b: _packed(*(np.clip(x, -32768, 32767).astype(np.int16) for x in (a, b))),
        ),
        "v_cvt_pknorm_i16_f32": vector("u32 = f32 f32", _normalised(32767.0, np.int16)),
        "v_cvt_pknorm_u16_f32": vector("u32 = f32 f32", _normalised(65535.0, np.uint16)),
        "v_cvt_pk_u8_f32": vector("u32 = f32 u32 u32", _byte_into),
    }


def _from_fp8(form: str) -> Decoder:
    """v_cvt_f32_fp8: the lowest byte, or the one that SDWA chooses."""
    values = FP8_VALUES[form]
    return lane_wise(vector("f32 = u32", lambda x: values[x & U32(0xFF)]))


def _pair_from_fp8(form: str) -> Decoder:
    values = FP8_VALUES[form]

    def decode(instruction: Instruction) -> Step:
        get, index = source(instruction, 1, 0, "u32"), parse(instruction.operands[0]).index

        def step(w: Wave) -> None:
            x = get(w)
            np.copyto(w.rows["f32"][index], values[x & U32(0xFF)], where=w.mask)
            np.copyto(w.rows["f32"][index + 1], values[x >> U32(8) & U32(0xFF)], where=w.mask)

        return step

    return decode


def _pair_to_fp8(form: str) -> Decoder:
    """v_cvt_pk_fp8_f32: two bytes into one half of the destination, the other is kept."""

    def decode(instruction: Instruction) -> Step:
        plain = Instruction(**{**vars(instruction), "modifiers": {}})
        a, b = source(plain, 1, 0, "f32"), source(plain, 2, 1, "f32")
        high = instruction.modifiers.get("op_sel", "").endswith("1]")
        put = target(plain, 0, "u32")
        index = parse(instruction.operands[0]).index

        def step(w: Wave) -> None:
            two = to_fp8(a(w), form).astype(U32) | to_fp8(b(w), form).astype(U32) << U32(8)
            kept = w.words[index]
            if high:
                put(w, kept & U32(0xFFFF) | two << U32(16))
            else:
                put(w, kept & U32(0xFFFF0000) | two)

        return step

    return decode


def _decoders() -> dict[str, Decoder]:
    table = {name: lane_wise(form) for name, form in _table().items()}
    for form in ("fp8", "bf8"):
        table[f"v_cvt_f32_{form}"] = _from_fp8(form)
        table[f"v_cvt_pk_f32_{form}"] = _pair_from_fp8(form)
        table[f"v_cvt_pk_{form}_f32"] = _pair_to_fp8(form)
    return table


DECODERS = _decoders()
