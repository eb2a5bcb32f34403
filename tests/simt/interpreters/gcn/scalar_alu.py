"""Scalar arithmetic: integers of 32 and 64 bits, masks, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .listing import Instruction
from .operands import scalar, scalar_target
from .wave import MASK32, MASK64, Step, Wave

Decoder = Callable[[Instruction], Step]


def signed(x: int, bits: int = 32) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> bits - 1 else x


def _shift(x: int, bits: int) -> int:
    return x & bits - 1


def _field(x: int, at: int, width: int, is_signed: bool) -> int:
    """Bits at..at+width of x, as bfe takes them."""
    found = x >> at & (1 << width) - 1
    return signed(found, width) if is_signed and width else found


def _lowest(x: int) -> int:
    return (x & -x).bit_length() - 1


def _sign_bits(x: int, bits: int) -> int:
    """How many leading bits equal the sign bit; -1 where all do."""
    x = ~x if x >> bits - 1 else x
    x &= (1 << bits) - 1
    return bits - x.bit_length() if x else -1


class Alu(NamedTuple):
    """`compute(a, b)` of unsigned operands; `scc(a, b, result)` where the condition code is set."""

    compute: Callable[[int, int], int]
    scc: Callable[[int, int, int], bool] | None = None
    bits: int = 32  # of the result
    first: int = 0  # of the operands, where they differ from the result
    second: int = 0


def _nonzero32(_a: int, _b: int, x: int) -> bool:
    return x & MASK32 != 0


def _nonzero64(_a: int, _b: int, x: int) -> bool:
    return x & MASK64 != 0


def _carry(_a: int, _b: int, x: int) -> bool:
    return x >> 32 != 0  # of a sum, or below 0 for a difference


def _overflow_add(a: int, b: int, _x: int) -> bool:
    total = signed(a) + signed(b)
    return total != signed(total)


def _overflow_sub(a: int, b: int, _x: int) -> bool:
    total = signed(a) - signed(b)
    return total != signed(total)


def _binary() -> dict[str, Alu]:
    table = {
        "s_add_u32": Alu(lambda a, b: a + b, _carry),
        "s_sub_u32": Alu(lambda a, b: a - b, _carry),
        "s_add_i32": Alu(lambda a, b: a + b, _overflow_add),
        "s_sub_i32": Alu(lambda a, b: a - b, _overflow_sub),
        "s_mul_i32": Alu(lambda a, b: a * b),
        "s_mul_hi_u32": Alu(lambda a, b: a * b >> 32),
        "s_mul_hi_i32": Alu(lambda a, b: signed(a) * signed(b) >> 32),
        "s_min_u32": Alu(min, lambda a, b, _: a <= b),
        "s_max_u32": Alu(max, lambda a, b, _: a >= b),
        "s_min_i32": Alu(
            lambda a, b: min(signed(a), signed(b)), lambda a, b, _: signed(a) <= signed(b)
        ),
        "s_max_i32": Alu(
            lambda a, b: max(signed(a), signed(b)), lambda a, b, _: signed(a) >= signed(b)
        ),
        "s_absdiff_i32": Alu(lambda a, b: abs(signed(a) - signed(b)), _nonzero32),
        "s_pack_ll_b32_b16": Alu(lambda a, b: a & 0xFFFF | b << 16),
        "s_pack_lh_b32_b16": Alu(lambda a, b: a & 0xFFFF | b & 0xFFFF0000),
        "s_pack_hh_b32_b16": Alu(lambda a, b: a >> 16 | b & 0xFFFF0000),
        "s_bfm_b32": Alu(lambda a, b: (1 << (a & 31)) - 1 << (b & 31)),
        "s_bfm_b64": Alu(lambda a, b: (1 << (a & 63)) - 1 << (b & 63), None, 64, 32, 32),
    }
    for bits, nonzero in ((32, _nonzero32), (64, _nonzero64)):
        logic: dict[str, Callable[[int, int], int]] = {
            "and": lambda a, b: a & b,
            "or": lambda a, b: a | b,
            "xor": lambda a, b: a ^ b,
            "andn2": lambda a, b: a & ~b,
            "orn2": lambda a, b: a | ~b,
            "nand": lambda a, b: ~(a & b),
            "nor": lambda a, b: ~(a | b),
            "xnor": lambda a, b: ~(a ^ b),
        }
        for name, compute in logic.items():
            table[f"s_{name}_b{bits}"] = Alu(compute, nonzero, bits)
        shifts: dict[str, Callable[[int, int], int]] = {
            f"s_lshl_b{bits}": lambda a, b, n=bits: a << _shift(b, n),
            f"s_lshr_b{bits}": lambda a, b, n=bits: a >> _shift(b, n),
            f"s_ashr_i{bits}": lambda a, b, n=bits: signed(a, n) >> _shift(b, n),
        }
        for name, compute in shifts.items():
            table[name] = Alu(compute, nonzero, bits, bits, 32)
        for sign in "ui":
            table[f"s_bfe_{sign}{bits}"] = Alu(
                lambda a, b, n=bits, s=sign: _field(
                    a, b & n - 1, min(b >> 16 & 0x7F, n - (b & n - 1)), s == "i"
                ),
                nonzero,
                bits,
                bits,
                32,
            )
    for n in range(1, 5):
        table[f"s_lshl{n}_add_u32"] = Alu(lambda a, b, n=n: (a << n) + b, _carry)
    return table


def _unary() -> dict[str, Alu]:
    """The second operand of these is 0."""
    table = {
        "s_abs_i32": Alu(lambda a, _: abs(signed(a)), _nonzero32),
        "s_sext_i32_i8": Alu(lambda a, _: signed(a, 8)),
        "s_sext_i32_i16": Alu(lambda a, _: signed(a, 16)),
        "s_bitset0_b32": Alu(lambda a, d: d & ~(1 << (a & 31))),
        "s_bitset1_b32": Alu(lambda a, d: d | 1 << (a & 31)),
        "s_bitset0_b64": Alu(lambda a, d: d & ~(1 << (a & 63)), None, 64, 32, 64),
        "s_bitset1_b64": Alu(lambda a, d: d | 1 << (a & 63), None, 64, 32, 64),
    }
    for bits, nonzero in ((32, _nonzero32), (64, _nonzero64)):
        ones = (1 << bits) - 1
        table |= {
            f"s_mov_b{bits}": Alu(lambda a, _: a, None, bits),
            f"s_not_b{bits}": Alu(lambda a, _: ~a, nonzero, bits),
            f"s_wqm_b{bits}": Alu(lambda a, _, n=bits: _whole_quads(a, n), nonzero, bits),
            f"s_brev_b{bits}": Alu(lambda a, _, n=bits: int(f"{a:0{n}b}"[::-1], 2), None, bits),
            f"s_bcnt0_i32_b{bits}": Alu(
                lambda a, _, m=ones: (a ^ m).bit_count(), _nonzero32, 32, bits
            ),
            f"s_bcnt1_i32_b{bits}": Alu(lambda a, _: a.bit_count(), _nonzero32, 32, bits),
            f"s_ff0_i32_b{bits}": Alu(lambda a, _, m=ones: _lowest(a ^ m), None, 32, bits),
            f"s_ff1_i32_b{bits}": Alu(lambda a, _: _lowest(a), None, 32, bits),
            f"s_flbit_i32_b{bits}": Alu(
                lambda a, _, n=bits: n - a.bit_length() if a else -1, None, 32, bits
            ),
        }
    table["s_flbit_i32"] = Alu(lambda a, _: _sign_bits(a, 32))
    table["s_flbit_i32_i64"] = Alu(lambda a, _: _sign_bits(a, 64), None, 32, 64)
    return table


def _whole_quads(a: int, bits: int) -> int:
    return sum(0xF << i for i in range(0, bits, 4) if a >> i & 0xF)


def _alu(alu: Alu, sources: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        put = scalar_target(instruction.operands[0], alu.bits)
        a = scalar(instruction.operands[1], alu.first or alu.bits)
        if sources == 2:
            b = scalar(instruction.operands[2], alu.second or alu.bits)
        elif instruction.name.startswith("s_bitset"):
            b = scalar(instruction.operands[0], alu.bits)
        else:
            b = scalar("0")
        compute, condition = alu.compute, alu.scc
        if condition is None:
            return lambda w: put(w, compute(a(w), b(w)))

        def step(w: Wave) -> None:
            x, y = a(w), b(w)
            result = compute(x, y)
            put(w, result)
            w.scc = int(condition(x, y, result))

        return step

    return decode


def _with_carry(sign: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        put = scalar_target(instruction.operands[0])
        a, b = (scalar(text) for text in instruction.operands[1:3])

        def step(w: Wave) -> None:
            result = a(w) + sign * (b(w) + w.scc)
            put(w, result)
            w.scc = int(result >> 32 != 0)

        return step

    return decode


def _select(bits: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        put = scalar_target(instruction.operands[0], bits)
        yes, no = (scalar(text, bits) for text in instruction.operands[1:3])

        def step(w: Wave) -> None:
            put(w, yes(w) if w.scc else no(w))

        return step

    return decode


def _conditional_move(bits: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        put = scalar_target(instruction.operands[0], bits)
        a = scalar(instruction.operands[1], bits)

        def step(w: Wave) -> None:
            if w.scc:
                put(w, a(w))

        return step

    return decode


def immediate(instruction: Instruction) -> int:
    """The 16 bits at the end of the first word, signed."""
    return signed(instruction.words[0], 16)


def _short(compute: Callable[[int, int], int], overflows: bool) -> Decoder:
    """s_movk, s_addk, s_mulk: the destination and a constant of 16 bits."""

    def decode(instruction: Instruction) -> Step:
        a, put = scalar(instruction.operands[0]), scalar_target(instruction.operands[0])
        k = immediate(instruction)

        def step(w: Wave) -> None:
            x = a(w)
            result = compute(signed(x), k)
            put(w, result)
            if overflows:
                w.scc = int(result != signed(result))

        return step

    return decode


def _conditional_short(instruction: Instruction) -> Step:
    put, k = scalar_target(instruction.operands[0]), immediate(instruction)

    def step(w: Wave) -> None:
        if w.scc:
            put(w, k)

    return step


Relation = Callable[[int, int], bool]
_RELATIONS: dict[str, Relation] = {
    "eq": lambda a, b: a == b,
    "lg": lambda a, b: a != b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}


def _compare(relation: Relation, sign: str, bits: int, short: bool) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        a = scalar(instruction.operands[0], bits)
        b = scalar(instruction.operands[1], bits)
        if short:
            k = immediate(instruction) if sign == "i" else instruction.words[0] & 0xFFFF
            b = scalar(str(k & MASK32))

        def unsigned_step(w: Wave) -> None:
            w.scc = int(relation(a(w), b(w)))

        def signed_step(w: Wave) -> None:
            w.scc = int(relation(signed(a(w)), signed(b(w))))

        return signed_step if sign == "i" else unsigned_step

    return decode


def _test_bit(expected: int, bits: int) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        a, b = scalar(instruction.operands[0], bits), scalar(instruction.operands[1])

        def step(w: Wave) -> None:
            w.scc = int(a(w) >> _shift(b(w), bits) & 1 == expected)

        return step

    return decode


def _decoders() -> dict[str, Decoder]:
    table = {name: _alu(alu, 2) for name, alu in _binary().items()}
    table |= {name: _alu(alu, 1) for name, alu in _unary().items()}
    table |= {
        "s_addc_u32": _with_carry(1),
        "s_subb_u32": _with_carry(-1),
        "s_movk_i32": _short(lambda _, k: k, False),
        "s_addk_i32": _short(lambda a, k: a + k, True),
        "s_mulk_i32": _short(lambda a, k: a * k, False),
        "s_cmovk_i32": _conditional_short,
    }
    for bits in (32, 64):
        table[f"s_cselect_b{bits}"] = _select(bits)
        table[f"s_cmov_b{bits}"] = _conditional_move(bits)
        table[f"s_bitcmp0_b{bits}"] = _test_bit(0, bits)
        table[f"s_bitcmp1_b{bits}"] = _test_bit(1, bits)
    for name, relation in _RELATIONS.items():
        for sign in "ui":
            table[f"s_cmp_{name}_{sign}32"] = _compare(relation, sign, 32, False)
            table[f"s_cmpk_{name}_{sign}32"] = _compare(relation, sign, 32, True)
        table[f"s_cmp_{name}_u64"] = _compare(relation, "u", 64, False)
    return table


DECODERS = _decoders()
