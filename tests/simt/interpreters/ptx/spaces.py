"""Which memory an address means: state spaces, and the windows of the generic address space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from memory import AccessFault, Space
from ptx.kinds import IN_WINDOW, WINDOW_SHIFT, WINDOWS, Array
from ptx.machine import Machine
from ptx.registry import Form

_NUMBERS = {start >> WINDOW_SHIFT: name for name, start in WINDOWS.items()}
_NAMES = (
    "param", "param::entry", "param::func", "global", "shared", "shared::cta", "shared::cluster",
    "local", "const",
)  # fmt: skip


@dataclass
class Part:
    """Those threads of an access that reach one memory."""

    space: Space
    addresses: Array
    bank: Any
    chosen: Any  # their places among the threads of the access


class Reach:
    """Finds the memory for the addresses of one instruction."""

    def __init__(self, machine: Machine, form: Form):
        self.machine = machine
        named = form.take(*_NAMES).split("::")[0]
        # Variables of the module lie in a window of their own, also for ld.global and ld.const.
        windowed = named in ("", "param", "const") or (
            named == "global" and bool(machine.module_symbols)
        )
        self.name = "" if windowed else named
        self.outside = "local" if named == "param" else "global"  # a parameter of an inlined call

    def parts(self, addresses: Array, lanes: Any) -> Iterator[Part]:
        if self.name:
            yield self._part(self.name, addresses, lanes, slice(None))
            return
        windows = addresses >> WINDOW_SHIFT
        first = int(windows[0]) if windows.size else 0
        if (windows == first).all():
            name = _NUMBERS.get(first, self.outside)
            inside = addresses if name == "global" else addresses & IN_WINDOW
            yield self._part(name, inside, lanes, slice(None))
            return
        threads = self.machine.lane[lanes]
        for window in np.unique(windows):
            chosen = np.flatnonzero(windows == window)
            name = _NUMBERS.get(int(window), self.outside)
            inside = addresses[chosen]
            inside = inside if name == "global" else inside & IN_WINDOW
            yield self._part(name, inside, threads[chosen], chosen)

    def _part(self, name: str, addresses: Array, lanes: Any, chosen: Any) -> Part:
        machine = self.machine
        if name == "global":
            return Part(machine.memory, addresses, None, chosen)
        if name == "shared":
            return Part(machine.shared, addresses, machine.block[lanes], chosen)
        if name == "local":
            return Part(machine.local, addresses, machine.lane[lanes], chosen)
        return Part(machine.params if name == "param" else machine.module, addresses, None, chosen)

    def load(self, addresses: Array, lanes: Any, width: int, count: int = 1) -> Array:
        """Unsigned [n] or [n, count]; faults name the thread."""
        out = None
        for part in self.parts(addresses, lanes):
            found = self._tell(lanes, part, part.space.load, part.addresses, width, count)
            if isinstance(part.chosen, slice):
                return found
            if out is None:
                shape = (addresses.size,) if count == 1 else (addresses.size, count)
                out = np.zeros(shape, found.dtype)
            out[part.chosen] = found
        assert out is not None
        return out

    def store(
        self, addresses: Array, lanes: Any, values: Array, width: int, count: int = 1
    ) -> None:
        for part in self.parts(addresses, lanes):
            piece = values[part.chosen]
            self._tell(lanes, part, part.space.store, part.addresses, piece, width, count)

    def update(self, addresses: Array, lanes: Any, width: int, change: Any) -> Array:
        found = np.zeros(addresses.size, f"u{width}")
        for part in self.parts(addresses, lanes):
            places = np.arange(addresses.size)[part.chosen]

            def here(old: Array, positions: Array, places: Array = places) -> Array:
                return change(old, places[positions])

            found[part.chosen] = self._tell(
                lanes, part, part.space.update, part.addresses, width, here
            )
        return found

    def check(self, addresses: Array, lanes: Any, size: int) -> None:
        """Faults as an access of `size` bytes would."""
        for part in self.parts(addresses, lanes):
            self._tell(lanes, part, part.space.check, part.addresses, size)

    def _tell(self, lanes: Any, part: Part, action: Any, *args: Any) -> Any:
        try:
            return action(*args, bank=part.bank)
        except AccessFault as fault:
            threads = self.machine.lane[lanes][part.chosen]
            raise AccessFault(fault.reason, int(threads[fault.position])) from None
