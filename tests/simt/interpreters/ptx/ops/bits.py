"""Logic, shifts, fields of bits and counts of bits."""

from __future__ import annotations

import numpy as np

from ptx.kinds import TYPES, Array, Functions
from ptx.machine import Machine
from ptx.registry import Form, Step, instruction
from ptx.steps import apply, assign

_LOGIC: Functions = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


def ones(count: Array, dtype: np.dtype) -> Array:
    """A word whose lowest `count` bits are set; numpy shifts everything out from its width on."""
    one = np.asarray(1, dtype)
    return (one << count.astype(dtype)) - one


def count_ones(word: Array) -> Array:
    """Set bits of each 64-bit word."""
    word = word.astype(np.uint64)
    for shift, mask in (
        (1, 0x5555555555555555),
        (2, 0x3333333333333333),
        (4, 0x0F0F0F0F0F0F0F0F),
        (8, 0x00FF00FF00FF00FF),
        (16, 0x0000FFFF0000FFFF),
        (32, 0x00000000FFFFFFFF),
    ):
        word = (word & np.uint64(mask)) + (word >> np.uint64(shift) & np.uint64(mask))
    return word


def bit_length(word: Array) -> Array:
    """The place of the highest set bit, counted from 1; 0 where there is none."""
    word = word.astype(np.uint64)
    upper, lower = word >> np.uint64(32), word & np.uint64(0xFFFFFFFF)

    def exponent(half: Array) -> Array:
        return np.frexp(half.astype(np.float64))[1]

    return np.where(upper != 0, exponent(upper) + 32, exponent(lower))


@instruction("and", "or", "xor")
def logic(machine: Machine, form: Form) -> Step:
    kind = form.type()
    a, b = (machine.value(operand, kind) for operand in form.operands[1:3])
    return apply(_LOGIC[form.name], machine.target(form.operands[0], kind), a, b)


@instruction("not")
def invert(machine: Machine, form: Form) -> Step:
    kind = form.type()
    target = machine.target(form.operands[0], kind)
    return apply(np.invert, target, machine.value(form.operands[1], kind))


@instruction("cnot")
def logical_not(machine: Machine, form: Form) -> Step:
    kind = form.type()
    a = machine.value(form.operands[1], kind)
    return assign(machine.target(form.operands[0], kind), lambda: a == 0)


@instruction("shl", "shr")
def shift(machine: Machine, form: Form) -> Step:
    """The amount is 32 bits whatever the type; beyond the width zeros or the sign remain."""
    kind = form.type()
    function = np.left_shift if form.name == "shl" else np.right_shift
    target, a = machine.target(form.operands[0], kind), machine.value(form.operands[1], kind)
    dtype = a.dtype
    most = 8 * kind.size
    number = machine.integer(form.operands[2])
    if number is not None:
        amount = np.broadcast_to(np.asarray(min(number & 0xFFFFFFFF, most), dtype), a.shape)
        return apply(function, target, a, amount)
    by = machine.value(form.operands[2], TYPES["u32"])
    return assign(target, lambda: function(a, np.minimum(by, np.uint32(most)).astype(dtype)))


@instruction("shf")
def funnel(machine: Machine, form: Form) -> Step:
    """Half of a 64-bit word {b, a} after a shift."""
    left = form.need("l", "r") == "l"
    clamp = form.need("clamp", "wrap") == "clamp"
    kind = form.type()
    a, b, by = (machine.value(operand, kind) for operand in form.operands[1:4])

    def compute() -> Array:
        amount = np.minimum(by, np.uint32(32)) if clamp else by & np.uint32(31)
        word = b.astype(np.uint64) << np.uint64(32) | a
        amount = amount.astype(np.uint64)
        return word << amount >> np.uint64(32) if left else word >> amount

    return assign(machine.target(form.operands[0], kind), compute)


@instruction("bfe")
def extract(machine: Machine, form: Form) -> Step:
    kind = form.type()
    target, a = machine.target(form.operands[0], kind), machine.value(form.operands[1], kind)
    position, length = (machine.value(operand, TYPES["u32"]) for operand in form.operands[2:4])
    dtype, bits = a.dtype, np.uint32(8 * kind.size)
    low8 = np.uint32(0xFF)

    def compute() -> Array:
        count = np.minimum(length & low8, bits)
        field = a >> np.minimum(position & low8, bits).astype(dtype)
        if dtype.kind == "u":
            return field & ones(count, dtype)
        empty = (bits - count).astype(dtype)
        return np.where(count == 0, np.asarray(0, dtype), field << empty >> empty)

    return assign(target, compute)


@instruction("bfi")
def insert(machine: Machine, form: Form) -> Step:
    kind = form.type()
    a, b = (machine.value(operand, kind) for operand in form.operands[1:3])
    position, length = (machine.value(operand, TYPES["u32"]) for operand in form.operands[3:5])
    dtype, bits = a.dtype, np.uint32(8 * kind.size)
    low8 = np.uint32(0xFF)

    def compute() -> Array:
        at = np.minimum(position & low8, bits).astype(dtype)
        field = ones(np.minimum(length & low8, bits), dtype) << at
        return (b & ~field) | (a << at & field)

    return assign(machine.target(form.operands[0], kind), compute)


@instruction("bmsk")
def field_mask(machine: Machine, form: Form) -> Step:
    clamp = form.need("clamp", "wrap") == "clamp"
    kind = form.type()
    position, length = (machine.value(operand, kind) for operand in form.operands[1:3])

    def limit(x: Array) -> Array:
        return np.minimum(x, np.uint32(32)) if clamp else x & np.uint32(31)

    def compute() -> Array:
        return ones(limit(length), position.dtype) << limit(position)

    return assign(machine.target(form.operands[0], kind), compute)


@instruction("szext")
def extend(machine: Machine, form: Form) -> Step:
    clamp = form.need("clamp", "wrap") == "clamp"
    kind = form.type()
    a, length = machine.value(form.operands[1], kind), machine.value(form.operands[2], TYPES["u32"])

    def compute() -> Array:
        count = np.minimum(length, np.uint32(32)) if clamp else length & np.uint32(31)
        empty = (np.uint32(32) - count).astype(a.dtype)
        return a << empty >> empty

    return assign(machine.target(form.operands[0], kind), compute)


@instruction("popc")
def population(machine: Machine, form: Form) -> Step:
    a = machine.value(form.operands[1], form.type())
    return assign(machine.target(form.operands[0], TYPES["u32"]), lambda: count_ones(a))


@instruction("clz")
def leading_zeros(machine: Machine, form: Form) -> Step:
    kind = form.type()
    a = machine.value(form.operands[1], kind)

    def compute() -> Array:
        return 8 * kind.size - bit_length(a)

    return assign(machine.target(form.operands[0], TYPES["u32"]), compute)


@instruction("bfind")
def find_highest(machine: Machine, form: Form) -> Step:
    kind = form.type()
    amount = form.has("shiftamt")
    a = machine.value(form.operands[1], kind)
    unsigned = f"u{kind.size}"

    def compute() -> Array:
        word = np.where(a < 0, ~a, a).view(unsigned) if a.dtype.kind == "i" else a
        length = bit_length(word)
        place = 8 * kind.size - length if amount else length - 1
        return np.where(length == 0, 0xFFFFFFFF, place)

    return assign(machine.target(form.operands[0], TYPES["u32"]), compute)


@instruction("brev")
def reverse(machine: Machine, form: Form) -> Step:
    kind = form.type()
    a = machine.value(form.operands[1], kind)
    target = machine.target(form.operands[0], kind)

    def compute() -> Array:
        raw = np.ascontiguousarray(a).view(np.uint8).reshape(-1, kind.size)
        bits = np.unpackbits(raw, axis=1, bitorder="little")[:, ::-1]
        return np.packbits(bits, axis=1, bitorder="little").view(a.dtype)[:, 0]

    return assign(target, compute)


@instruction("fns")
def find_nth_set(machine: Machine, form: Form) -> Step:
    """The n-th set bit from a base on, upwards for positive n, downwards for negative."""
    form.type()
    word, base = (machine.value(operand, TYPES["u32"]) for operand in form.operands[1:3])
    wanted = machine.value(form.operands[3], TYPES["s32"])

    def one(bits: int, start: int, nth: int) -> int:
        if nth == 0:
            return start if bits >> start & 1 else 0xFFFFFFFF
        order = range(start, 32) if nth > 0 else range(start, -1, -1)
        places = [place for place in order if bits >> place & 1]
        return places[abs(nth) - 1] if abs(nth) <= len(places) else 0xFFFFFFFF

    def compute() -> Array:
        found = [one(*map(int, triple)) for triple in zip(word, base & np.uint32(31), wanted)]
        return np.array(found, np.uint32)

    return assign(machine.target(form.operands[0], TYPES["b32"]), compute)


@instruction("prmt")
def permute(machine: Machine, form: Form) -> Step:
    """Any four of the eight bytes of {b, a}; bit 3 of a selector spreads the byte's sign."""
    mode = form.take("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
    kind = form.type()
    a, b, chosen = (machine.value(operand, kind) for operand in form.operands[1:4])
    fixed = {  # the selectors of each mode for c & 3
        "f4e": ("3210", "4321", "5432", "6543"),
        "b4e": ("5670", "6701", "7012", "0123"),
        "rc8": ("0000", "1111", "2222", "3333"),
        "ecl": ("3210", "3211", "3222", "3333"),
        "ecr": ("0000", "1110", "2210", "3210"),
        "rc16": ("1010", "3232", "1010", "3232"),
    }
    table = np.array([int(text, 16) for text in fixed[mode]], np.uint32) if mode else None
    byte, spread, eight = np.uint64(0xFF), np.uint64(8), np.uint64(3)

    def compute() -> Array:
        word = b.astype(np.uint64) << np.uint64(32) | a
        selectors = (chosen if table is None else table[chosen & np.uint32(3)]).astype(np.uint64)
        found = np.zeros(word.shape, np.uint64)
        for i in range(4):
            selector = selectors >> np.uint64(4 * i) & np.uint64(15)
            piece = word >> ((selector & np.uint64(7)) << eight) & byte
            sign = np.where(piece & np.uint64(0x80), byte, np.uint64(0))
            found |= np.where(selector & spread, sign, piece) << np.uint64(8 * i)
        return found

    return assign(machine.target(form.operands[0], kind), compute)


@instruction("lop3")
def logic3(machine: Machine, form: Form) -> Step:
    """Any function of three bits, as a table of eight."""
    kind = form.type()
    a, b, c = (machine.value(operand, kind) for operand in form.operands[1:4])
    table = machine.integer(form.operands[4])
    if table is None:
        raise form.unknown()
    inverted = bin(table & 0xFF).count("1") > 4
    rows = [row for row in range(8) if (table >> row & 1) != inverted]
    everything = np.asarray(~np.uint32(0))

    def compute() -> Array:
        found = np.zeros(a.shape, a.dtype)
        for row in rows:
            term = a if row & 4 else ~a
            term = term & (b if row & 2 else ~b)
            found |= term & (c if row & 1 else ~c)
        return found ^ everything if inverted else found

    return assign(machine.target(form.operands[0], kind), compute)
