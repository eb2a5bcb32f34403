"""What atomic instructions compute, for global and shared memory alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .floats import F16, bf16_to_f32

Array = NDArray[Any]


class Atomic(NamedTuple):
    """compute(old, value) of arrays of `dtype`; a compare-and-swap has a second value."""

    dtype: Any
    compute: Callable[..., Array]
    values: int = 1


def _increment(old: Array, limit: Array) -> Array:
    return np.where(old >= limit, old.dtype.type(0), old + old.dtype.type(1))


def _decrement(old: Array, limit: Array) -> Array:
    return np.where((old == 0) | (old > limit), limit, old - old.dtype.type(1))


def _two_halves(old: Array, value: Array) -> Array:
    total = old.view(F16) + value.view(F16)
    return np.ascontiguousarray(total).view(np.uint32)


def _to_bf16(x: Array) -> Array:
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return np.where(np.isnan(x), np.uint16(0x7FC0), (rounded >> np.uint32(16)).astype(np.uint16))


def _two_bf16(old: Array, value: Array) -> Array:
    total = bf16_to_f32(old.view(np.uint16)) + bf16_to_f32(value.view(np.uint16))
    return np.ascontiguousarray(_to_bf16(total)).view(np.uint32)


def integer(bits: int) -> dict[str, Atomic]:
    """By the names that global memory's instructions use."""
    unsigned: Any = np.dtype(f"u{bits // 8}").type
    signed: Any = np.dtype(f"i{bits // 8}").type
    return {
        "swap": Atomic(unsigned, lambda old, x: x),
        "add": Atomic(unsigned, np.add),
        "sub": Atomic(unsigned, np.subtract),
        "rsub": Atomic(unsigned, lambda old, x: x - old),
        "smin": Atomic(signed, np.minimum),
        "smax": Atomic(signed, np.maximum),
        "umin": Atomic(unsigned, np.minimum),
        "umax": Atomic(unsigned, np.maximum),
        "and": Atomic(unsigned, np.bitwise_and),
        "or": Atomic(unsigned, np.bitwise_or),
        "xor": Atomic(unsigned, np.bitwise_xor),
        "inc": Atomic(unsigned, _increment),
        "dec": Atomic(unsigned, _decrement),
        "cmpswap": Atomic(
            unsigned, lambda old, new, expected: np.where(old == expected, new, old), 2
        ),
    }


FLOATS = {
    "add_f32": Atomic(np.float32, np.add),
    "add_f64": Atomic(np.float64, np.add),
    "min_f32": Atomic(np.float32, np.fmin),
    "max_f32": Atomic(np.float32, np.fmax),
    "min_f64": Atomic(np.float64, np.fmin),
    "max_f64": Atomic(np.float64, np.fmax),
    "pk_add_f16": Atomic(np.uint32, _two_halves),
    "pk_add_bf16": Atomic(np.uint32, _two_bf16),
}


def changer(atomic: Atomic, values: list[Array]) -> Callable[[Array, NDArray[np.int64]], Array]:
    """The function that Space.update calls: `values` are unsigned words, one entry a lane."""
    typed = [value.view(atomic.dtype) for value in values]

    def change(old: Array, turn: NDArray[np.int64]) -> Array:
        new = atomic.compute(old.view(atomic.dtype), *(value[turn] for value in typed))
        return np.ascontiguousarray(new).view(old.dtype)

    return change
