"""The types of PTX and how numpy holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Functions = dict[str, np.ufunc]
Mask = Literal[True] | NDArray[np.bool_]  # which threads take part; True stands for all of them


@dataclass(frozen=True)
class Type:
    name: str
    size: int  # bytes
    dtype: DTypeLike  # what a register of this type is viewed as; packed and bf16 stay raw bits


def _types() -> dict[str, Type]:
    found = {"pred": Type("pred", 1, np.bool_)}
    for size in (1, 2, 4, 8):
        for letter, kind in (("u", "u"), ("s", "i"), ("b", "u")):
            found[f"{letter}{8 * size}"] = Type(
                f"{letter}{8 * size}", size, np.dtype(f"{kind}{size}")
            )
    found["f16"] = Type("f16", 2, np.float16)
    found["f32"] = Type("f32", 4, np.float32)
    found["f64"] = Type("f64", 8, np.float64)
    for name in ("bf16", "e4m3x2", "e5m2x2"):
        found[name] = Type(name, 2, np.uint16)
    for name in ("f16x2", "bf16x2", "tf32"):
        found[name] = Type(name, 4, np.uint32)
    return found


TYPES = _types()
SIGNED = {"s8", "s16", "s32", "s64"}
UNSIGNED = {"u8", "u16", "u32", "u64", "b8", "b16", "b32", "b64"}
INTEGERS = SIGNED | UNSIGNED
FLOATS = {"f32", "f64"}
HALVES = {"f16", "bf16", "f16x2", "bf16x2"}
RAW = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

# Windows of the generic address space; global memory keeps its own addresses below all of them.
WINDOW_SHIFT = 60
PARAM, SHARED, LOCAL, MODULE = (number << WINDOW_SHIFT for number in (1, 2, 3, 4))
IN_WINDOW = (1 << WINDOW_SHIFT) - 1
WINDOWS = {"param": PARAM, "shared": SHARED, "local": LOCAL, "module": MODULE}
