"""The memories that a kernel sees: global memory in an arena shared with the driver, and scratch.

Both interpreters use these classes. Addresses arrive as int64 arrays, one entry a thread; what is
loaded leaves as unsigned integers of the width asked for. An access that the hardware would not
allow raises `AccessFault`, which tells the position in the array, so that the interpreter can name
the thread.

    memory.load(addresses, 4)              -> uint32 [n]
    memory.load(addresses, 4, count=4)     -> uint32 [n, 4], one 16-byte access a thread
    memory.store(addresses, values, 4)
    memory.load(addresses, 4, 4, align=4)  the same without the demand for 16-byte alignment
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Addresses = NDArray[np.int64]
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class SimtError(Exception):
    """Whatever stops a launch, in words."""


class AccessFault(SimtError):
    """An access that no hardware would allow, by the thread at `position` of the address array."""

    def __init__(self, reason: str, position: int):
        super().__init__(reason)
        self.reason = reason
        self.position = position


class Space:
    """A range of bytes. Subclasses say which addresses exist and where their bytes lie."""

    name = "memory"

    def __init__(self, data: NDArray[np.uint8]):
        whole = data[: data.size & ~7]  # every typed view covers the same bytes
        self.data = whole
        self._words = {width: whole.view(dtype) for width, dtype in UNSIGNED.items()}
        self.written: NDArray[np.bool_] | None = None  # a flag a byte, kept only on request

    def locate(self, addresses: Addresses, size: int, bank: Any) -> Addresses:
        """The place of each address in `data`; raises AccessFault where `size` bytes do not fit."""
        raise NotImplementedError

    def load(
        self, addresses: Addresses, width: int, count: int = 1, align: int = 0, bank: Any = None
    ) -> NDArray[Any]:
        """`count` elements of `width` bytes from each address, [n] or [n, count]."""
        size = width * count
        at = self._aligned(addresses, size, align or size, bank)
        if self.written is not None:
            self._demand_written(addresses, at, size)
        if align and align % width:
            raw = self.data[at[:, None] + np.arange(size)]
            out = np.ascontiguousarray(raw).view(UNSIGNED[width])
            return out if count > 1 else out[:, 0]
        words = self._words[width]
        first = at >> (width.bit_length() - 1)
        if count == 1:
            return words[first]
        return words[first[:, None] + np.arange(count)]

    def store(
        self,
        addresses: Addresses,
        values: NDArray[Any],
        width: int,
        count: int = 1,
        align: int = 0,
        bank: Any = None,
    ) -> None:
        """Writes [n] or [n, count] unsigned elements; of two writers of a byte the later wins."""
        size = width * count
        at = self._aligned(addresses, size, align or size, bank)
        if self.written is not None:
            self.written[at[:, None] + np.arange(size)] = True
        if align and align % width:
            raw = np.ascontiguousarray(values.reshape(-1, count)).view(np.uint8)
            self.data[at[:, None] + np.arange(size)] = raw
            return
        first = at >> (width.bit_length() - 1)
        if count == 1:
            self._words[width][first] = values
        else:
            self._words[width][first[:, None] + np.arange(count)] = values

    def update(
        self,
        addresses: Addresses,
        width: int,
        change: Callable[[NDArray[Any], NDArray[np.int64]], NDArray[Any]],
        bank: Any = None,
    ) -> NDArray[Any]:
        """Atomic read-modify-write, threads in order; returns what each thread found.

        `change(old, positions)` is called with entries whose addresses differ from each other.
        """
        at = self._aligned(addresses, width, width, bank)
        if self.written is not None:
            self._demand_written(addresses, at, width)
        words = self._words[width]
        index = at >> (width.bit_length() - 1)
        found = np.empty(index.size, words.dtype)
        if index.size == 0:
            return found
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        turns = np.arange(index.size) - np.repeat(first, np.diff(np.r_[first, index.size]))
        for number in range(int(turns.max()) + 1):  # a round for each thread at the busiest address
            turn = order[turns == number]
            found[turn] = words[index[turn]]
            words[index[turn]] = change(found[turn], turn)
        return found

    def check(self, addresses: Addresses, size: int, align: int = 0, bank: Any = None) -> None:
        """Faults where an access of `size` bytes would."""
        self._aligned(addresses, size, align or size, bank)

    def _aligned(self, addresses: Addresses, size: int, align: int, bank: Any) -> Addresses:
        if align > 1 and addresses.size:
            if int(np.bitwise_or.reduce(addresses)) & (align - 1):
                position = int(np.flatnonzero(addresses & (align - 1))[0])
                self._fault(
                    "misaligned", addresses, position, size, f"expected a multiple of {align}"
                )
        return self.locate(addresses, size, bank)

    def _demand_written(self, addresses: Addresses, at: Addresses, size: int) -> None:
        assert self.written is not None
        good = self.written[at[:, None] + np.arange(size)]
        if not good.all():
            position = int(np.flatnonzero(~good.all(axis=1))[0])
            which = ", ".join(map(str, np.flatnonzero(~good[position])))
            reason = f"{self.name} memory read before it is written"
            self._fault(reason, addresses, position, size, f"of which byte {which} never was")

    def _fault(
        self, reason: str, addresses: Addresses, position: int, size: int, more: str = ""
    ) -> None:
        address = int(addresses[position]) & (1 << 64) - 1
        text = f"{reason}: {size} bytes at {address:#x} of {self.name} memory"
        raise AccessFault(text + (f", {more}" if more else ""), position)


class Memory(Space):
    """Global memory: an arena in which some ranges are allocated and the rest is out of bounds."""

    name = "global"

    def __init__(self, data: NDArray[np.uint8], base: int, allocations: Iterable[tuple[int, int]]):
        super().__init__(data)
        if base % 16:
            raise SimtError(f"memory: arena base is {base:#x}, expected a multiple of 16")
        self.base = base
        ranges = sorted((int(start), int(start) + int(size)) for start, size in allocations)
        for start, end in ranges:
            if start < base or end > base + data.size:
                raise SimtError(f"memory: allocation {start:#x}..{end:#x} lies outside the arena")
        self._starts = [start for start, _ in ranges]
        self._ends = [end for _, end in ranges]
        self._start_array = np.array(self._starts, np.int64)
        self._end_array = np.array(self._ends, np.int64)

    def locate(self, addresses: Addresses, size: int, bank: Any = None) -> Addresses:
        if addresses.size:
            low, high = int(addresses.min()), int(addresses.max())
            owner = bisect_right(self._starts, low) - 1
            if owner < 0 or high + size > self._ends[owner]:  # not all in one allocation
                self._demand_allocated(addresses, size)
        return addresses - self.base

    def _demand_allocated(self, addresses: Addresses, size: int) -> None:
        owner = np.searchsorted(self._start_array, addresses, "right") - 1
        good = owner >= 0
        good[good] = addresses[good] + size <= self._end_array[owner[good]]
        if not good.all():
            position = int(np.flatnonzero(~good)[0])
            nearest = self._nearest(int(addresses[position]))
            self._fault("outside every allocation", addresses, position, size, nearest)

    def _nearest(self, address: int) -> str:
        if not self._starts:
            return "nothing is allocated"
        owner = max(bisect_right(self._starts, address) - 1, 0)
        start, end = self._starts[owner], self._ends[owner]
        where = (
            f"{start - address} bytes before"
            if address < start
            else f"{address - start} bytes into"
        )
        return f"{where} an allocation of {end - start} bytes at {start:#x}"


class Scratch(Space):
    """Shared or local memory: `banks` equal pieces of `size` bytes each, filled with 0xff.

    Address 0 is the first byte of the accessing thread's piece; `bank` says which piece that is.
    With `track` a load of a byte that was never stored is a fault.
    """

    def __init__(self, name: str, size: int, banks: int = 1, track: bool = False):
        self.size = size
        self.pitch = -(-size // 16) * 16
        super().__init__(np.full(self.pitch * banks, 0xFF, np.uint8))
        self.name = name
        if track:
            self.written = np.zeros(self.data.size, np.bool_)

    def poison(self) -> None:
        """As a new block finds it."""
        self.data.fill(0xFF)
        if self.written is not None:
            self.written.fill(False)

    def locate(self, addresses: Addresses, size: int, bank: Any = None) -> Addresses:
        if addresses.size:
            low, high = int(addresses.min()), int(addresses.max())
            if low < 0 or high + size > self.size:
                bad = (addresses < 0) | (addresses + size > self.size)
                position = int(np.flatnonzero(bad)[0])
                extent = f"which has {self.size} bytes"
                self._fault("out of range", addresses, position, size, extent)
        return addresses if bank is None else addresses + bank * self.pitch


class ArenaMaps:
    """The arena files that were mapped so far: a launch names its arena by path."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def memory(
        self, path: str, base: int, size: int, allocations: Iterable[tuple[int, int]]
    ) -> Memory:
        key = (path, size)
        if key not in self._open:
            try:
                with open(path, "r+b") as file:
                    self._open[key] = np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
            except (OSError, ValueError) as error:
                raise SimtError(
                    f"memory: {path}: expected an arena of {size} bytes: {error}"
                ) from None
        return Memory(self._open[key], base, allocations)
