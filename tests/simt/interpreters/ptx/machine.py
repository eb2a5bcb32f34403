"""The state of several blocks that run side by side: registers, memories, and bound operands.

Every register is one numpy array over all threads of all blocks, so an operand is bound once, when
its instruction is first reached, to a view of that array in the instruction's type. A block is
padded to whole warps with threads that never run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from memory import AccessFault, Memory, Scratch, SimtError
from ptx.kinds import RAW, TYPES, WINDOWS, Array, Mask, Type
from ptx.program import Program
from ptx.source import NAME, split_operands

WARP = 32
_ADDRESS = re.compile(rf"\[\s*({NAME}|-?\w+)\s*(?:\+\s*(-?\w+))?\s*\]")
_SYMBOL = re.compile(rf"({NAME})\s*(?:\+\s*(-?\w+))?")
_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?")


@dataclass
class Address:
    """A bracketed operand: a base a thread, and an offset common to all."""

    base: Array
    offset: int
    param_at: int | None = None  # the place within the parameters, where it is known beforehand

    def of(self, lanes: Any) -> Array:
        return self.base[lanes].astype(np.int64) + self.offset


class Arrivals:
    """Named barriers that are counted: who waits at which, and who may pass."""

    def __init__(self, lanes: int):
        self.arrived = np.zeros(lanes, np.bool_)
        self.released = np.zeros(lanes, np.bool_)
        self.count: dict[tuple[int, int], int] = {}  # by block and barrier
        self.waiting: dict[tuple[int, int], list[Array]] = {}


@dataclass
class Copy:
    """One cp.async of many threads, on its way."""

    lanes: Array
    group: Array  # how many groups each thread had committed before
    land: Callable[[Array], None]  # for a choice among `lanes`


class PendingCopies:
    def __init__(self, lanes: int):
        self.commits = np.zeros(lanes, np.int64)
        self.copies: list[Copy] = []


@dataclass
class Phase:
    """An mbarrier: arrivals and bytes that its current phase waits for."""

    expected: int
    pending: int
    bytes: int = 0
    number: int = 0

    def settle(self) -> None:
        """Goes on to the next phase where nothing is pending."""
        if self.pending == 0 and self.bytes == 0:
            self.pending = self.expected
            self.number += 1


class Machine:
    def __init__(
        self,
        program: Program,
        module_data: Scratch,
        module_symbols: dict[str, int],
        threads: int,
        blocks: int,
        shared_bytes: int,
        track_shared: bool = False,
    ):
        self.program = program
        self.threads = threads
        self.blocks = blocks
        self.padded = -(-threads // WARP) * WARP
        self.lanes = self.padded * blocks
        self.lane = np.arange(self.lanes)
        self.thread = self.lane % self.padded
        self.block = self.lane // self.padded
        self.memory: Memory
        self.module = module_data
        self.module_symbols = module_symbols
        self.shared = Scratch(
            "shared", program.static_shared + shared_bytes, blocks, track=track_shared
        )
        self.local = Scratch("local", program.local_bytes, self.lanes)
        self.params = Scratch("parameter", program.param_bytes)
        self.block_index = np.zeros((blocks, 3), np.int64)
        self.dead = np.ones(self.lanes, np.bool_)  # exited, or never there
        self.carry = np.zeros(self.lanes, np.bool_)  # the condition code of add.cc and its kin
        self.standing: set[int] = set()  # where threads wait for others, until someone clears it
        self.background: list[Callable[[], None]] = []  # lands, in this order, when nobody can move
        self.arrivals = Arrivals(self.lanes)
        self.copies = PendingCopies(self.lanes)
        self.phases: dict[tuple[int, int], Phase] = {}  # mbarriers by block and address
        self._registers: dict[str, Array] = {}
        self._special = self._special_registers()

    def start(self, first_block: int, grid: tuple[int, int, int], params: bytes) -> None:
        """Makes ready for the blocks from `first_block` on; those beyond the grid are dead."""
        if len(params) < self.program.param_bytes:
            raise SimtError(
                f"{self.program.kernel}: parameters have {len(params)} bytes, "
                f"expected {self.program.param_bytes}"
            )
        count = self.program.param_bytes
        self.params.data[:count] = np.frombuffer(params[:count], np.uint8)
        index = first_block + np.arange(self.blocks)
        self.block_index = np.stack(
            [index % grid[0], index // grid[0] % grid[1], index // (grid[0] * grid[1])], axis=1
        )
        for axis, letter in enumerate("xyz"):
            self._special[f"%ctaid.{letter}"][:] = self.block_index[self.block, axis]
            self._special[f"%nctaid.{letter}"].fill(grid[axis])
        exists = index < grid[0] * grid[1] * grid[2]
        self.dead[:] = (self.thread >= self.threads) | ~exists[self.block]
        self.shared.poison()
        self.local.poison()
        self.standing.clear()
        self.background.clear()
        self.phases.clear()
        self.arrivals = Arrivals(self.lanes)
        self.copies = PendingCopies(self.lanes)

    def _special_registers(self) -> dict[str, Array]:
        def of(value: Any) -> Array:
            return np.broadcast_to(np.asarray(value, np.uint32), self.lanes).copy()

        laneid = self.thread % WARP
        one = np.uint64(1)
        below = (one << laneid.astype(np.uint64)) - one
        bit = one << laneid.astype(np.uint64)
        full = np.uint64(0xFFFFFFFF)
        found = {
            "%tid.x": of(self.thread),
            "%ntid.x": of(self.threads),
            "%laneid": of(laneid),
            "%warpid": of(self.thread // WARP),
            "%nwarpid": of(self.padded // WARP),
            "%lanemask_eq": of(bit),
            "%lanemask_lt": of(below),
            "%lanemask_le": of(below | bit),
            "%lanemask_gt": of(~(below | bit) & full),
            "%lanemask_ge": of(~below & full),
            "%smid": of(0),
            "%nsmid": of(1),
            "%clock": of(0),
            "%dynamic_smem_size": of(self.shared.size - self.program.static_shared),
            "%total_smem_size": of(self.shared.size),
            "%cluster_ctarank": of(0),
            "%cluster_nctarank": of(1),
            "%is_explicit_cluster": of(0),
            "WARP_SZ": of(WARP),
        }
        for letter in "xyz":
            found.setdefault(f"%tid.{letter}", of(0))
            found.setdefault(f"%ntid.{letter}", of(1))
            found[f"%ctaid.{letter}"] = of(0)
            found[f"%nctaid.{letter}"] = of(1)
            found[f"%cluster_ctaid.{letter}"] = of(0)
            found[f"%cluster_nctaid.{letter}"] = of(1)
        for name in ("%clock64", "%globaltimer"):
            found[name] = np.zeros(self.lanes, np.uint64)
        return found

    # --- operands

    def register(self, name: str) -> Array | None:
        """The register's bits over all threads, or None where there is no such register."""
        found = self._registers.get(name)
        if found is None:
            if name in self._special:
                return self._special[name]
            if name not in self.program.registers:
                return None
            kind = TYPES[self.program.registers[name]]
            dtype = np.bool_ if kind.name == "pred" else RAW[kind.size]
            found = self._registers[name] = np.zeros(self.lanes, dtype)
        return found

    def value(self, text: str, kind: Type) -> Array:
        """An operand to read, as an array over all threads in the type's numpy form.

        A register wider than the type gives its low part.
        """
        found = self.register(text)
        if found is not None:
            return self._as(found, kind)
        return np.broadcast_to(self._constant(text, kind), self.lanes)

    def target(self, text: str, kind: Type) -> Array:
        """An operand to write; a register wider than the type is extended as its sign says."""
        if text == "_":
            return np.zeros(self.lanes, kind.dtype)
        found = self.register(text)
        if found is None:
            raise SimtError(f"PTX: {text} is not a register")
        if kind.name == "pred" or found.dtype.itemsize <= kind.size:
            return self._as(found, kind)
        signed = np.dtype(kind.dtype).kind == "i"
        return found.view(f"i{found.dtype.itemsize}" if signed else found.dtype)

    def predicate(self, text: str) -> tuple[Array, bool]:
        """A predicate operand and whether it is negated."""
        negated = text.startswith("!")
        return self.value(text.lstrip("!"), TYPES["pred"]), negated

    def integer(self, text: str) -> int | None:
        """The value of an operand that is a number in the text."""
        return int(text.rstrip("U"), 0) if _INTEGER.fullmatch(text) else None

    def vector(self, text: str) -> tuple[str, ...]:
        """The names in braces; a plain operand is a vector of one."""
        return split_operands(text[1:-1]) if text.startswith("{") else (text,)

    def address(self, text: str) -> Address:
        match = _ADDRESS.fullmatch(text)
        if not match:
            raise SimtError(f"PTX: address not understood: {text}")
        offset = int(match[2], 0) if match[2] else 0
        found = self.register(match[1])
        if found is not None:
            return Address(found.view(np.int64) if found.dtype == np.uint64 else found, offset)
        number = self.integer(match[1])
        place = self.program.symbols.get(match[1])
        at = number if number is not None else self._symbol(match[1])
        param_at = place.at + offset if place and place.space == "param" else None
        return Address(np.broadcast_to(np.int64(at), self.lanes), offset, param_at)

    @staticmethod
    def _as(found: Array, kind: Type) -> Array:
        if found.dtype == np.bool_ or kind.name == "pred":
            if found.dtype != np.bool_ or kind.name != "pred":
                raise SimtError("PTX: a predicate stands where a value is expected, or the reverse")
            return found
        narrower = found.dtype.itemsize // kind.size
        if narrower == 0:
            raise SimtError(
                f"PTX: a register of {8 * found.dtype.itemsize} bits is used as {kind.name}"
            )
        view = found.view(kind.dtype)
        return view[::narrower] if narrower > 1 else view

    def _constant(self, text: str, kind: Type) -> Any:
        number = self.integer(text)
        if kind.name == "pred":
            if number is None:
                raise SimtError(f"PTX: {text} is not a predicate")
            return np.bool_(number)
        raw = RAW[kind.size]
        if number is not None:
            if kind.name in ("f32", "f64"):
                return np.asarray(number, kind.dtype)
            bits = number & (1 << 8 * kind.size) - 1
        elif re.fullmatch(r"0[fF][0-9a-fA-F]{8}", text):
            bits = int(text[2:], 16)
            if kind.size == 8:  # a single-precision literal in a double-precision operation
                return np.asarray(np.uint32(bits)).view(np.float32).astype(np.float64)
        elif re.fullmatch(r"0[dD][0-9a-fA-F]{16}", text):
            bits = int(text[2:], 16)
            if kind.name == "f32":
                return np.asarray(np.uint64(bits)).view(np.float64).astype(np.float32)
        elif re.fullmatch(r"-?\d*\.\d*(?:[eE][-+]?\d+)?", text):
            return np.asarray(float(text), kind.dtype)
        else:
            symbol = _SYMBOL.fullmatch(text)
            if not symbol:
                raise SimtError(f"PTX: operand not understood: {text}")
            offset = int(symbol[2], 0) if symbol[2] else 0
            bits = (self._symbol(symbol[1]) + offset) & (1 << 8 * kind.size) - 1
        return np.asarray(raw(bits)).view(kind.dtype)

    def _symbol(self, name: str) -> int:
        """The address that a symbol stands for: within its space for shared and local memory."""
        place = self.program.symbols.get(name)
        if place is not None:
            return place.at + (WINDOWS["param"] if place.space == "param" else 0)
        if name in self.module_symbols:
            return WINDOWS["module"] + self.module_symbols[name]
        raise SimtError(f"PTX: {name} is neither a register nor a symbol")

    # --- masks and threads

    def index(self, mask: Mask) -> Any:
        """The threads of a mask as an index: a slice where they are all."""
        return slice(None) if mask is True else np.flatnonzero(mask)

    def full(self, mask: Mask) -> Array:
        """The mask as an array, for those who must count."""
        return np.ones(self.lanes, np.bool_) if mask is True else mask

    def blame(self, fault: AccessFault, lanes: Any) -> AccessFault:
        """The fault of an access by `lanes`, told of the thread instead of a place among them."""
        return AccessFault(fault.reason, int(self.lane[lanes][fault.position]))

    def name_thread(self, lane: int) -> str:
        x, y, z = (int(i) for i in self.block_index[self.block[lane]])
        return f"block ({x}, {y}, {z}), thread {int(self.thread[lane])}"
