"""Loads, stores and atomics: scalar, global, flat, buffer and scratch instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory import SimtError

from . import atomics
from .listing import Instruction
from .operands import parse, scalar, unknown
from .scalar_alu import Decoder
from .wave import LANES, MASK64, Step, Wave

Addresses = NDArray[np.int64]
AddressOf = Callable[[Wave], Addresses]  # one entry a lane, active or not
Array = NDArray[Any]

_WORDS = {"dword": 1, "dwordx2": 2, "dwordx3": 3, "dwordx4": 4, "dwordx8": 8, "dwordx16": 16}


class Narrow(NamedTuple):
    """An access of 1 or 2 bytes."""

    width: int
    signed: bool = False
    half: str = ""  # "low" or "high" where only half of the register takes part


NARROW_LOADS = {
    "ubyte": Narrow(1), "sbyte": Narrow(1, True), "ushort": Narrow(2), "sshort": Narrow(2, True),
    "ubyte_d16": Narrow(1, False, "low"), "ubyte_d16_hi": Narrow(1, False, "high"),
    "sbyte_d16": Narrow(1, True, "low"), "sbyte_d16_hi": Narrow(1, True, "high"),
    "short_d16": Narrow(2, False, "low"), "short_d16_hi": Narrow(2, False, "high"),
}  # fmt: skip
NARROW_STORES = {
    "byte": Narrow(1), "short": Narrow(2),
    "byte_d16_hi": Narrow(1, False, "high"), "short_d16_hi": Narrow(2, False, "high"),
}  # fmt: skip


def chosen(w: Wave, values: Array) -> Array:
    """The entries of active lanes, in order."""
    return values if w.mask is True else values[w.active]


def put_words(w: Wave, index: int, data: Array) -> None:
    """Words of active lanes ([n] or [n, count]) into registers from `index` on."""
    rows = w.words[index : index + (data.shape[1] if data.ndim == 2 else 1)]
    columns = data.T if data.ndim == 2 else data
    if w.mask is True:
        rows[...] = columns
    else:
        rows[:, w.active] = columns


def put_narrow(w: Wave, index: int, narrow: Narrow, data: Array) -> None:
    signed: Any = np.int8 if narrow.width == 1 else np.int16
    typed = data.view(signed) if narrow.signed else data
    if not narrow.half:
        put_words(w, index, typed.astype(np.int32).view(np.uint32))
        return
    row = w.rows["u16h" if narrow.half == "high" else "u16"][index]
    row[w.active] = typed.astype(np.int16).view(np.uint16)


def get_words(w: Wave, index: int, count: int) -> Array:
    """Words of active lanes: [n] or [n, count]."""
    rows = w.words[index] if count == 1 else w.words[index : index + count].T
    return rows if w.mask is True else rows[w.active]


def get_narrow(w: Wave, index: int, narrow: Narrow) -> Array:
    words = get_words(w, index, 1) >> np.uint32(16 if narrow.half == "high" else 0)
    return words.astype(np.uint8 if narrow.width == 1 else np.uint16)


def get_values(w: Wave, index: int, words: int, count: int) -> list[Array]:
    """`count` values of one or two words of active lanes, for atomics."""
    found = []
    for i in range(count):
        part = get_words(w, index + i * words, words)
        found.append(np.ascontiguousarray(part).view(np.uint64)[:, 0] if words == 2 else part)
    return found


# ---- the address of each lane


def _offset(instruction: Instruction) -> int:
    return int(instruction.modifiers.get("offset", "0"), 0)


def _address(vector: str, base: str, offset: int) -> AddressOf:
    """A pair of vector registers, or one of them counted from a scalar base."""
    index = parse(vector).index
    if base == "off":

        def wide(w: Wave) -> Addresses:
            high = np.left_shift(w.words[index + 1], 32, dtype=np.int64)
            low = np.add(w.words[index], np.int64(offset), dtype=np.int64)
            return np.add(high, low, out=high)

        return wide
    origin = scalar(base, 64)

    def near(w: Wave) -> Addresses:
        return np.add(w.words[index], np.int64(_signed64(origin(w) + offset)), dtype=np.int64)

    return near


def _signed64(x: int) -> int:
    x &= MASK64
    return x - (1 << 64) if x >> 63 else x


# ---- where bytes go: each kind of memory gives load, store and update


class Port(NamedTuple):
    load: Callable[[Wave, Addresses, int, int], Array]  # width, count
    store: Callable[[Wave, Addresses, Array, int, int], None]
    update: Callable[[Wave, Addresses, int, Any], Array]


_GLOBAL = Port(
    lambda w, at, width, count: w.spaces.load(w, at, width, count),
    lambda w, at, data, width, count: w.spaces.store(w, at, data, width, count),
    lambda w, at, width, change: w.spaces.update(w, at, width, change),
)


def _threads(w: Wave) -> NDArray[np.int64]:
    return np.flatnonzero(w.active)


_PRIVATE = Port(
    lambda w, at, width, count: w.private.load(at, width, count, min(width, 4), _threads(w)),
    lambda w, at, data, width, count: w.private.store(
        at, data, width, count, min(width, 4), _threads(w)
    ),
    lambda w, at, width, change: w.private.update(at, width, change, _threads(w)),
)


def load(port: Port, address: AddressOf, index: int, form: str) -> Step:
    if form in NARROW_LOADS:
        narrow = NARROW_LOADS[form]

        def narrow_step(w: Wave) -> None:
            if w.exec:
                data = port.load(w, chosen(w, address(w)), narrow.width, 1)
                put_narrow(w, index, narrow, data)

        return narrow_step
    count = _WORDS[form]

    def step(w: Wave) -> None:
        if w.exec:
            put_words(w, index, port.load(w, chosen(w, address(w)), 4, count))

    return step


def store(port: Port, address: AddressOf, index: int, form: str) -> Step:
    if form in NARROW_STORES:
        narrow = NARROW_STORES[form]

        def narrow_step(w: Wave) -> None:
            if w.exec:
                data = get_narrow(w, index, narrow)
                port.store(w, chosen(w, address(w)), data, narrow.width, 1)

        return narrow_step
    count = _WORDS[form]

    def step(w: Wave) -> None:
        if w.exec:
            port.store(w, chosen(w, address(w)), get_words(w, index, count), 4, count)

    return step


# ---- scalar loads


def _scalar_load(count: int, is_buffer: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        first = parse(instruction.operands[0])
        if first.bank != "s":
            raise unknown(instruction)
        base, offset = scalar(instruction.operands[1], 64), scalar(instruction.operands[2])
        more = _offset(instruction)
        if parse(instruction.operands[2]).bank == "constant":  # it may be negative
            more, offset = more + int(instruction.operands[2], 0), scalar("0")
        index = first.index
        mask = (1 << 48) - 1 if is_buffer else MASK64

        def step(w: Wave) -> None:
            at = (base(w) & mask) + offset(w) + more & MASK64 & ~3
            w.s[index : index + count] = w.spaces.words(at, count)

        return step

    return decode


# ---- global and flat


def _global(form: str, is_store: bool, is_flat: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        operands = instruction.operands
        if "lds" in instruction.modifiers:
            raise unknown(instruction)
        data, vector = (operands[1], operands[0]) if is_store else (operands[0], operands[1])
        address = _address(vector, "off" if is_flat else operands[2], _offset(instruction))
        make = store if is_store else load
        return make(_GLOBAL, address, parse(data).index, form)

    return decode


def _global_atomic(atomic: atomics.Atomic, words: int, is_flat: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        operands = list(instruction.operands)
        returns = "glc" in instruction.modifiers or "sc0" in instruction.modifiers
        result = parse(operands.pop(0)).index if returns else None
        base = "off" if is_flat else operands[2]
        address = _address(operands[0], base, _offset(instruction))
        data = parse(operands[1]).index
        return atomic_step(_GLOBAL, address, data, result, atomic, words)

    return decode


def atomic_step(
    port: Port,
    address: AddressOf,
    data: int,
    result: int | None,
    atomic: atomics.Atomic,
    words: int,
) -> Step:
    def step(w: Wave) -> None:
        if not w.exec:
            return
        values = get_values(w, data, words, atomic.values)
        change = atomics.changer(atomic, values)
        old = port.update(w, chosen(w, address(w)), 4 * words, change)
        if result is not None:
            put_words(w, result, old if words == 1 else old.view(np.uint32).reshape(-1, 2))

    return step


# ---- private memory: scratch instructions of gfx942, buffer instructions of gfx90a


def _scratch(form: str, is_store: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        operands = instruction.operands
        data, vector = (operands[1], operands[0]) if is_store else (operands[0], operands[1])
        offset = _offset(instruction)
        index = None if vector == "off" else parse(vector).index
        base = scalar("0" if operands[2] == "off" else operands[2])

        def address(w: Wave) -> Addresses:
            at = np.full(LANES, base(w) + offset, np.int64)
            return at if index is None else at + w.words[index]

        make = store if is_store else load
        return make(_PRIVATE, address, parse(data).index, form)

    return decode


def _buffer(form: str, is_store: bool) -> Decoder:
    """buffer_load and buffer_store with the descriptor of private memory, or of a range of global
    memory without structure: what lies beyond the range reads as 0 and is not written."""

    def decode(instruction: Instruction) -> Step:
        if "idxen" in instruction.modifiers or "lds" in instruction.modifiers:
            raise unknown(instruction)
        data, vector, resource, base = instruction.operands[:4]
        index = parse(vector).index if "offen" in instruction.modifiers else None
        first, more, register = scalar(base), _offset(instruction), parse(data).index
        descriptor = parse(resource).index
        make = store if is_store else load

        def inside(w: Wave) -> Addresses:
            at = np.full(LANES, more, np.int64)
            return at if index is None else at + w.words[index]

        def private_address(w: Wave) -> Addresses:
            # The base and the scalar offset count bytes of the whole wave, 64 for each of a lane.
            start = (w.s[descriptor] | (w.s[descriptor + 1] & 0xFFFF) << 32) + first(w)
            return inside(w) + start // LANES

        def global_address(w: Wave) -> Addresses:
            start = w.s[descriptor] | (w.s[descriptor + 1] & 0xFFFF) << 32
            return inside(w) + np.int64(start + first(w))

        private = make(_PRIVATE, private_address, register, form)
        plain = make(_GLOBAL, global_address, register, form)
        size = NARROW_LOADS[form].width if form in NARROW_LOADS else 4 * _WORDS.get(form, 1)
        count = _WORDS.get(form, 1)

        def step(w: Wave) -> None:
            if w.s[descriptor + 1] >> 31:  # swizzled: private memory
                private(w)
                return
            if w.s[descriptor + 1] >> 16:
                raise SimtError("buffer descriptor has a stride, expected a range of bytes")
            everyone = w.exec
            fits = inside(w) + size <= w.s[descriptor + 2]
            if not is_store:
                for row in range(register, register + count):
                    np.copyto(w.words[row], 0, where=w.mask)
            w.set_exec(
                int.from_bytes(np.packbits(fits, bitorder="little").tobytes(), "little") & everyone
            )
            plain(w)
            w.set_exec(everyone)

        return step

    return decode


def _decoders() -> dict[str, Decoder]:
    table: dict[str, Decoder] = {}
    for form, count in _WORDS.items():
        table[f"s_load_{form}"] = _scalar_load(count, False)
        table[f"s_buffer_load_{form}"] = _scalar_load(count, True)
    wide = [form for form in _WORDS if _WORDS[form] <= 4]
    for is_store, forms in ((False, [*NARROW_LOADS, *wide]), (True, [*NARROW_STORES, *wide])):
        verb = "store" if is_store else "load"
        for form in forms:
            table[f"global_{verb}_{form}"] = _global(form, is_store, False)
            table[f"flat_{verb}_{form}"] = _global(form, is_store, True)
            table[f"scratch_{verb}_{form}"] = _scratch(form, is_store)
            table[f"buffer_{verb}_{form}"] = _buffer(form, is_store)
    known = [(f"{n}", a, 1) for n, a in atomics.integer(32).items()]
    known += [(f"{n}_x2", a, 2) for n, a in atomics.integer(64).items()]
    known += [(n, a, 2 if n.endswith("f64") else 1) for n, a in atomics.FLOATS.items()]
    for name, atomic, words in known:
        table[f"global_atomic_{name}"] = _global_atomic(atomic, words, False)
        table[f"flat_atomic_{name}"] = _global_atomic(atomic, words, True)
    return table


DECODERS = _decoders()
