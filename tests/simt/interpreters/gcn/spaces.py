"""The one address space that flat addresses see: the arena, the image, the arguments, and windows
into the block's shared memory and the threads' private memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memory import AccessFault, Memory, Space

if TYPE_CHECKING:
    from .wave import Wave

KERNARG_BASE = 1 << 57
SHARED_APERTURE = 1 << 48  # upper words of these are what src_shared_base and its like give
PRIVATE_APERTURE = 1 << 49
_WINDOW_BYTES = 1 << 32  # no window is larger

Addresses = NDArray[np.int64]
Values = NDArray[Any]
Change = Callable[[Values, NDArray[np.int64]], Values]
# (space, the entries that lie in it, their addresses there, their banks)
Visit = Callable[[Space, NDArray[np.bool_], Addresses, Any], None]


class Spaces:
    def __init__(self, memory: Memory, image: Memory, arguments: Memory):
        self.memory = memory
        self.image = image
        self.arguments = arguments

    def words(self, address: int, count: int) -> list[int]:
        """What a scalar load reads."""
        space = self.memory
        if address >= KERNARG_BASE:
            space = self.arguments
        elif address >= self.image.base:
            space = self.image
        found = space.load(np.array([address], np.int64), 4, count, align=4)
        words: list[int] = found.reshape(-1).tolist()
        return words

    def load(self, w: Wave, at: Addresses, width: int, count: int) -> Values:
        if _in_arena(at):
            return self.memory.load(at, width, count, min(width, 4))
        out = np.empty((at.size, count) if count > 1 else at.size, f"u{width}")

        def visit(space: Space, chosen: NDArray[np.bool_], local: Addresses, bank: Any) -> None:
            out[chosen] = space.load(local, width, count, min(width, 4), bank)

        self._each(w, at, visit)
        return out

    def store(self, w: Wave, at: Addresses, values: Values, width: int, count: int) -> None:
        if _in_arena(at):
            self.memory.store(at, values, width, count, min(width, 4))
            return

        def visit(space: Space, chosen: NDArray[np.bool_], local: Addresses, bank: Any) -> None:
            space.store(local, values[chosen], width, count, min(width, 4), bank)

        self._each(w, at, visit)

    def update(self, w: Wave, at: Addresses, width: int, change: Change) -> Values:
        if _in_arena(at):
            return self.memory.update(at, width, change)
        out = np.empty(at.size, f"u{width}")

        def visit(space: Space, chosen: NDArray[np.bool_], local: Addresses, bank: Any) -> None:
            places = np.flatnonzero(chosen)
            out[chosen] = space.update(
                local, width, lambda old, turn: change(old, places[turn]), bank
            )

        self._each(w, at, visit)
        return out

    def _each(self, w: Wave, at: Addresses, visit: Visit) -> None:
        """Visits each space that some of the addresses lie in."""
        left = np.ones(at.size, np.bool_)
        threads = np.flatnonzero(w.active)
        for space, base, banks in (
            (w.shared, SHARED_APERTURE, None),
            (w.private, PRIVATE_APERTURE, threads),
            (self.image, self.image.base, None),
            (self.arguments, self.arguments.base, None),
            (self.memory, None, None),
        ):
            if base is None:
                chosen, start = left, 0
            else:
                chosen = left & (at >= base) & (at < base + _WINDOW_BYTES)
                start = 0 if isinstance(space, Memory) else base
            if chosen.any():
                left = left & ~chosen
                try:
                    visit(
                        space, chosen, at[chosen] - start, None if banks is None else banks[chosen]
                    )
                except AccessFault as fault:
                    position = int(np.flatnonzero(chosen)[fault.position])
                    raise AccessFault(fault.reason, position) from None


def _in_arena(at: Addresses) -> bool:
    return int(np.bitwise_or.reduce(at)) >> 48 == 0
