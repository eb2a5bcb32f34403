"""The ds instructions: shared memory (LDS), and moves between lanes that use its crossbar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import atomics
from .listing import Instruction
from .memory_access import (
    NARROW_LOADS,
    NARROW_STORES,
    AddressOf,
    Narrow,
    Port,
    atomic_step,
    chosen,
    get_narrow,
    get_words,
    put_narrow,
    put_words,
)
from .operands import parse, read, target, unknown
from .scalar_alu import Decoder
from .wave import LANES, Step, Wave

_SHARED = Port(
    lambda w, at, width, count: w.shared.load(at, width, count, min(width, 4)),
    lambda w, at, data, width, count: w.shared.store(at, data, width, count, min(width, 4)),
    lambda w, at, width, change: w.shared.update(at, width, change),
)
_LANE = np.arange(LANES)


def _address(instruction: Instruction, operand: int) -> AddressOf:
    index = parse(instruction.operands[operand]).index
    offset = np.uint32(instruction.number("offset"))
    return lambda w: (w.words[index] + offset).astype(np.int64)  # the sum has 32 bits


def _whole(instruction: Instruction) -> Instruction:
    if "gds" in instruction.modifiers:
        raise unknown(instruction)
    return instruction


def _read(words: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        address = _address(_whole(instruction), 1)
        index = parse(instruction.operands[0]).index

        def step(w: Wave) -> None:
            if w.exec:
                put_words(w, index, _SHARED.load(w, chosen(w, address(w)), 4, words))

        return step

    return decode


def _read_narrow(narrow: Narrow) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        address = _address(_whole(instruction), 1)
        index = parse(instruction.operands[0]).index

        def step(w: Wave) -> None:
            if w.exec:
                data = _SHARED.load(w, chosen(w, address(w)), narrow.width, 1)
                put_narrow(w, index, narrow, data)

        return step

    return decode


def _write(words: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        address = _address(_whole(instruction), 0)
        index = parse(instruction.operands[1]).index

        def step(w: Wave) -> None:
            if w.exec:
                _SHARED.store(w, chosen(w, address(w)), get_words(w, index, words), 4, words)

        return step

    return decode


def _write_narrow(narrow: Narrow) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        address = _address(_whole(instruction), 0)
        index = parse(instruction.operands[1]).index

        def step(w: Wave) -> None:
            if w.exec:
                data = get_narrow(w, index, narrow)
                _SHARED.store(w, chosen(w, address(w)), data, narrow.width, 1)

        return step

    return decode


def _two_addresses(
    instruction: Instruction, operand: int, words: int, far: bool
) -> list[AddressOf]:
    """Of read2 and write2, whose offsets count elements, or groups of 64 of them."""
    index = parse(instruction.operands[operand]).index
    unit = 4 * words * (64 if far else 1)
    offsets = [np.uint32(instruction.number(f"offset{i}") * unit) for i in range(2)]
    return [
        lambda w, offset=offset: (w.words[index] + offset).astype(np.int64) for offset in offsets
    ]


def _read_two(words: int, far: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        addresses = _two_addresses(_whole(instruction), 1, words, far)
        index = parse(instruction.operands[0]).index

        def step(w: Wave) -> None:
            if not w.exec:
                return
            parts = [_SHARED.load(w, chosen(w, address(w)), 4, words) for address in addresses]
            for i, part in enumerate(parts):  # both are read before the first is put
                put_words(w, index + i * words, part)

        return step

    return decode


def _write_two(words: int, far: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        addresses = _two_addresses(_whole(instruction), 0, words, far)
        data = [parse(text).index for text in instruction.operands[1:3]]

        def step(w: Wave) -> None:
            if not w.exec:
                return
            for index, address in zip(data, addresses, strict=True):
                _SHARED.store(w, chosen(w, address(w)), get_words(w, index, words), 4, words)

        return step

    return decode


def _atomic(atomic: atomics.Atomic, words: int, returns: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        operands = list(_whole(instruction).operands)
        result = parse(operands[0]).index if returns else None
        first = 1 if returns else 0
        address = _address(instruction, first)
        data = parse(operands[first + 1]).index
        if atomic.values == 1:
            return atomic_step(_SHARED, address, data, result, atomic, words)
        return _compare_and_swap(instruction, first, words, result, atomic)

    return decode


def _compare_and_swap(
    instruction: Instruction, first: int, words: int, result: int | None, atomic: atomics.Atomic
) -> Step:
    """ds_cmpst: the expected value comes first, in a register of its own."""
    address = _address(instruction, first)
    expected, new = (parse(text).index for text in instruction.operands[first + 1 : first + 3])

    def step(w: Wave) -> None:
        if not w.exec:
            return
        values = [np.ascontiguousarray(get_words(w, index, words)) for index in (new, expected)]
        if words == 2:
            values = [value.view(np.uint64)[:, 0] for value in values]
        change = atomics.changer(atomic, values)
        old = _SHARED.update(w, chosen(w, address(w)), 4 * words, change)
        if result is not None:
            put_words(w, result, old if words == 1 else old.view(np.uint32).reshape(-1, 2))

    return step


# ---- moves between lanes


def _pull(instruction: Instruction) -> Step:
    """ds_bpermute_b32: each lane names, times 4, the lane it reads; inactive lanes read as 0."""
    put, index = target(instruction, 0, "u32"), parse(instruction.operands[1]).index
    a, offset = read(instruction.operands[2], "u32"), np.uint32(instruction.number("offset"))

    def step(w: Wave) -> None:
        lane = (w.words[index] + offset >> np.uint32(2)) % np.uint32(LANES)
        values = a(w)[lane]
        put(w, values if w.mask is True else np.where(w.active[lane], values, np.uint32(0)))

    return step


def _push(instruction: Instruction) -> Step:
    """ds_permute_b32: each lane names the lane it writes; what none writes is 0."""
    put, index = target(instruction, 0, "u32"), parse(instruction.operands[1]).index
    a, offset = read(instruction.operands[2], "u32"), np.uint32(instruction.number("offset"))

    def step(w: Wave) -> None:
        lane = (w.words[index] + offset >> np.uint32(2)) % np.uint32(LANES)
        out = np.zeros(LANES, np.uint32)
        out[lane[w.active]] = a(w)[w.active]
        put(w, out)

    return step


def swizzle_lanes(pattern: int) -> NDArray[np.int64]:
    """ds_swizzle_b32: the lane that each lane reads, by the 16 bits of the offset."""
    if pattern & 0x8000:  # any order within four lanes
        order = np.array([pattern >> 2 * i & 3 for i in range(4)])
        return _LANE // 4 * 4 + order[_LANE % 4]
    keep, set_, flip = pattern & 31, pattern >> 5 & 31, pattern >> 10 & 31
    return _LANE // 32 * 32 + ((_LANE % 32 & keep | set_) ^ flip)


def _swizzle(instruction: Instruction) -> Step:
    put, a = target(instruction, 0, "u32"), read(instruction.operands[1], "u32")
    lanes = swizzle_lanes(instruction.words[0] & 0xFFFF)
    return lambda w: put(w, np.where(w.active[lanes], a(w)[lanes], np.uint32(0)))


_ATOMIC_NAMES = {  # the name in ds instructions: the one in global memory's, with the type's letter
    "add_u": "add", "sub_u": "sub", "rsub_u": "rsub", "inc_u": "inc", "dec_u": "dec",
    "min_i": "smin", "max_i": "smax", "min_u": "umin", "max_u": "umax",
    "and_b": "and", "or_b": "or", "xor_b": "xor", "wrxchg_rtn_b": "swap", "cmpst_b": "cmpswap",
}  # fmt: skip


def _decoders() -> dict[str, Decoder]:
    table: dict[str, Decoder] = {
        "ds_bpermute_b32": _pull,
        "ds_permute_b32": _push,
        "ds_swizzle_b32": _swizzle,
        "ds_nop": lambda _: lambda w: None,
    }
    for bits in (32, 64, 96, 128):
        table[f"ds_read_b{bits}"] = _read(bits // 32)
        table[f"ds_write_b{bits}"] = _write(bits // 32)
    for name, narrow in (("u8", "ubyte"), ("i8", "sbyte"), ("u16", "ushort"), ("i16", "sshort")):
        table[f"ds_read_{name}"] = _read_narrow(NARROW_LOADS[narrow])
    for name, narrow in (
        ("u8_d16", "ubyte_d16"),
        ("i8_d16", "sbyte_d16"),
        ("u16_d16", "short_d16"),
    ):
        table[f"ds_read_{name}"] = _read_narrow(NARROW_LOADS[narrow])
        table[f"ds_read_{name}_hi"] = _read_narrow(NARROW_LOADS[f"{narrow}_hi"])
    for name, narrow in (("b8", "byte"), ("b16", "short")):
        table[f"ds_write_{name}"] = _write_narrow(NARROW_STORES[narrow])
        table[f"ds_write_{name}_d16_hi"] = _write_narrow(NARROW_STORES[f"{narrow}_d16_hi"])
    for bits in (32, 64):
        for far, name in ((False, "2"), (True, "2st64")):
            table[f"ds_read{name}_b{bits}"] = _read_two(bits // 32, far)
            table[f"ds_write{name}_b{bits}"] = _write_two(bits // 32, far)
        for name, other in _ATOMIC_NAMES.items():
            atomic = atomics.integer(bits)[other]
            if "_rtn" in name:
                table[f"ds_{name}{bits}"] = _atomic(atomic, bits // 32, True)
                continue
            operation, letter = name.split("_")
            table[f"ds_{operation}_{letter}{bits}"] = _atomic(atomic, bits // 32, False)
            table[f"ds_{operation}_rtn_{letter}{bits}"] = _atomic(atomic, bits // 32, True)
    for name, atomic in atomics.FLOATS.items():
        words = 2 if name.endswith("f64") else 1
        operation, kind = name.rsplit("_", 1)
        table[f"ds_{name}"] = _atomic(atomic, words, False)
        table[f"ds_{operation}_rtn_{kind}"] = _atomic(atomic, words, True)
    return table


DECODERS = _decoders()
