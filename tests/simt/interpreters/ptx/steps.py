"""The two shapes that most steps have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx.kinds import Array, Mask
from ptx.registry import Step


def apply(function: np.ufunc, target: Array, *operands: Array) -> Step:
    """A step that is one numpy function, computed in place for the threads of the mask."""

    def step(mask: Mask) -> None:
        function(*operands, out=target, where=mask)

    return step


def assign(target: Array, compute: Callable[[], Array]) -> Step:
    """A step that computes for all threads and keeps what the mask's threads get.

    A result whose type differs from the target's is converted as C would: integers wrap.
    """

    def step(mask: Mask) -> None:
        np.copyto(target, compute(), where=mask, casting="unsafe")

    return step
