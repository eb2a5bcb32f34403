"""Floating-point instructions of AMD code objects against exact rational arithmetic."""

from __future__ import annotations

import math
import random
import struct
import unittest
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from gcn_probe import Device, assembly_kernel, each_architecture, to_f16, to_f32, to_f64

CODES = {16: ("<H", "<e"), 32: ("<I", "<f"), 64: ("<Q", "<d")}


def value(bits: int, width: int = 32) -> float:
    integer, real = CODES[width]
    return float(struct.unpack(real, struct.pack(integer, bits))[0])


def bits_of(x: float, width: int = 32) -> int:
    integer, real = CODES[width]
    return int(struct.unpack(integer, struct.pack(real, x))[0])


def exactly(
    compute: Callable[..., Any], nearest: Callable[[Fraction], float]
) -> Callable[..., float]:
    """A function of numbers, computed without error and rounded once; infinities and what is not a
    number are left to Python's doubles, which have the same rules."""

    def result(*x: float) -> float:
        if all(math.isfinite(v) for v in x):
            exact = compute(*(Fraction(v) for v in x))
            if exact != 0:
                return nearest(exact)
        with np.errstate(all="ignore"):
            return float(compute(*(np.float64(v) for v in x)))

    return result


def numbers(width: int, count: int, seed: int) -> list[np.ndarray]:
    """64 lanes of each operand: special values, close ones, and any bits."""
    chance = random.Random(seed)
    fraction = {16: 10, 32: 23, 64: 52}[width]
    one = bits_of(1.0, width)
    columns = []
    for _ in range(count):
        special = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 0.5, 3.0]
        pool = [bits_of(x, width) for x in special]
        pool += [
            1,
            5,
            1 << fraction,
            (1 << fraction) - 1,
            (1 << width - 1) - (1 << fraction) - (1 << fraction),
        ]
        pool += [one + chance.randrange(-8, 8) for _ in range(14)]  # close to 1
        pool += [one + (chance.randrange(-20, 20) << fraction - 2) for _ in range(18)]
        pool += [chance.getrandbits(width) for _ in range(64 - len(pool))]
        chance.shuffle(pool)
        columns.append(np.array(pool, {16: np.uint32, 32: np.uint32, 64: np.uint64}[width]))
    return columns


def smaller(*x: float) -> float:
    kept = [v for v in x if not math.isnan(v)]
    return min(kept) if kept else math.nan


def larger(*x: float) -> float:
    kept = [v for v in x if not math.isnan(v)]
    return max(kept) if kept else math.nan


def median(a: float, b: float, c: float) -> float:
    if any(math.isnan(v) for v in (a, b, c)):
        return smaller(a, b, c)
    return sorted((a, b, c))[1]


def fma(a: Any, b: Any, c: Any) -> Any:
    return a * b + c


def whole(rounding: Callable[[float], int]) -> Callable[[float], float]:
    return lambda a: math.copysign(float(rounding(a)), a) if math.isfinite(a) else a


def fraction_of(a: float) -> float:
    return min(to_f32(Fraction(a) - math.floor(a)), 1 - 2.0**-24)


def half(a: float) -> float:
    return exactly(lambda x: x, to_f16)(a)


def to_integer(lowest: int, highest: int) -> Callable[[float], int]:
    def convert(a: float) -> int:
        if math.isnan(a):
            return 0
        return max(
            lowest,
            min(highest, math.trunc(a) if math.isfinite(a) else int(math.copysign(1 << 40, a))),
        )

    return convert


# name: (template, sources, what it computes of numbers); results are compared as numbers
SINGLE: dict[str, tuple[str, int, Callable[..., float]]] = {
    "add": ("v_add_f32 %0, %1, %2", 2, exactly(lambda a, b: a + b, to_f32)),
    "sub": ("v_sub_f32 %0, %1, %2", 2, exactly(lambda a, b: a - b, to_f32)),
    "subrev": ("v_subrev_f32 %0, %1, %2", 2, exactly(lambda a, b: b - a, to_f32)),
    "mul": ("v_mul_f32 %0, %1, %2", 2, exactly(lambda a, b: a * b, to_f32)),
    "fma": ("v_fma_f32 %0, %1, %2, %3", 3, exactly(fma, to_f32)),
    "fma_signs": ("v_fma_f32 %0, -%1, |%2|, -|%3|", 3,
                  exactly(lambda a, b, c: -a * abs(b) - abs(c), to_f32)),
    "fmac": ("v_mov_b32 %0, %3\\nv_fmac_f32 %0, %1, %2", 3, exactly(fma, to_f32)),
    "max": ("v_max_f32 %0, %1, %2", 2, larger),
    "min": ("v_min_f32 %0, %1, %2", 2, smaller),
    "max3": ("v_max3_f32 %0, %1, %2, %3", 3, larger),
    "min3": ("v_min3_f32 %0, %1, %2, %3", 3, smaller),
    "med3": ("v_med3_f32 %0, %1, %2, %3", 3, median),
    "rndne": ("v_rndne_f32 %0, %1", 1, whole(round)),
    "trunc": ("v_trunc_f32 %0, %1", 1, whole(math.trunc)),
    "floor": ("v_floor_f32 %0, %1", 1, whole(math.floor)),
    "ceil": ("v_ceil_f32 %0, %1", 1, whole(math.ceil)),
    "clamp": ("v_add_f32 %0, %1, 0 clamp", 1, lambda a: min(max(0.0 if a != a else a, 0.0), 1.0)),
    "doubled": ("v_mul_f32 %0, 1.0, %1 mul:2", 1, exactly(lambda a: a * 2, to_f32)),
    "halved": ("v_max_f32 %0, %1, %1 div:2", 1, exactly(lambda a: a / 2, to_f32)),
    "constant": ("v_mul_f32 %0, 0.15915494, %1", 1,
                 exactly(lambda a: a * type(a)(value(0x3E22F983)), to_f32)),
    "ldexp": ("v_mov_b32 v9, -20\\nv_ldexp_f32 %0, %1, v9", 1,
              exactly(lambda a: a / type(a)(1 << 20), to_f32)),
    "mantissa": ("v_frexp_mant_f32 %0, %1", 1, lambda a: math.frexp(a)[0]),
    "fract": ("v_fract_f32 %0, %1", 1,
              lambda a: fraction_of(a) if math.isfinite(a) else math.nan),
    "through_f16": ("v_cvt_f16_f32 %0, %1\\nv_cvt_f32_f16 %0, %0", 1, exactly(lambda a: a, to_f16)),
    "packed_toward_zero": ("v_cvt_pkrtz_f16_f32 %0, 0, %1\\nv_lshrrev_b32 %0, 16, %0\\n"
                           "v_cvt_f32_f16 %0, %0", 1,
                           lambda a: a if not math.isfinite(a) else toward_zero(a)),
    "unsigned": ("v_cvt_u32_f32 %0, %1\\nv_cvt_f32_u32 %0, %0", 1,
                 lambda a: to_f32(Fraction(to_integer(0, (1 << 32) - 1)(a)))),
    "signed": ("v_cvt_i32_f32 %0, %1\\nv_cvt_f32_i32 %0, %0", 1,
               lambda a: to_f32(Fraction(to_integer(-(1 << 31), (1 << 31) - 1)(a)))),
    "flush_off_and_on": ("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 0\\nv_add_f32 %0, %1, 0\\n"
                         "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 3\\nv_add_f32 %0, %0, 0", 1,
                         lambda a: a if not abs(a) < 2.0**-126 else 0.0),
    "mixed": ("v_cvt_f16_f32 %0, %1\\nv_fma_mix_f32 %0, %0, %2, -%3 op_sel_hi:[1,0,0]", 3,
              lambda a, b, c: exactly(lambda x, y, z: x * y - z, to_f32)(half(a), b, c)),
}  # fmt: skip


def toward_zero(a: float) -> float:
    near = to_f16(Fraction(a))
    if abs(near) > abs(a):
        return math.copysign(
            value(bits_of(abs(near), 16) - 1, 16) if math.isfinite(near) else 65504.0, a
        )
    return near


HALF: dict[str, tuple[str, int, Callable[..., float]]] = {
    "add": ("v_add_f16 %0, %1, %2", 2, exactly(lambda a, b: a + b, to_f16)),
    "mul": ("v_mul_f16 %0, %1, %2", 2, exactly(lambda a, b: a * b, to_f16)),
    "fma": ("v_fma_f16 %0, %1, %2, %3", 3, exactly(fma, to_f16)),
    "max": ("v_max_f16 %0, %1, %2", 2, larger),
    "min3": ("v_min3_f16 %0, %1, %2, %3", 3, smaller),
    "floor": ("v_floor_f16 %0, %1", 1, whole(math.floor)),
    "packed_low": ("v_pk_fma_f16 %0, %1, %2, %3", 3, exactly(fma, to_f16)),
    "packed_high": ("v_lshlrev_b32 %0, 16, %1\\nv_pk_fma_f16 %0, %0, %2, %3 op_sel_hi:[1,0,0]"
                    " neg_hi:[0,1,0]\\nv_lshrrev_b32 %0, 16, %0", 3,
                    exactly(lambda a, b, c: c - a * b, to_f16)),
    "packed_constant": ("v_pk_add_f16 %0, %1, 1.0 op_sel_hi:[1,0]", 1,
                        exactly(lambda a: a + 1, to_f16)),
    "mixed_low": ("v_fma_mixlo_f16 %0, %1, %2, %3 op_sel_hi:[1,1,1]", 3, exactly(fma, to_f16)),
}  # fmt: skip

DOUBLE: dict[str, tuple[str, int, Callable[..., float]]] = {
    "add": ("v_add_f64 %0, %1, %2", 2, exactly(lambda a, b: a + b, to_f64)),
    "mul": ("v_mul_f64 %0, %1, %2", 2, exactly(lambda a, b: a * b, to_f64)),
    "fma": ("v_fma_f64 %0, %1, %2, -%3", 3, exactly(lambda a, b, c: a * b - c, to_f64)),
    "max": ("v_max_f64 %0, %1, %2", 2, larger),
    "constant": ("v_mul_f64 %0, %1, -2.0", 1, exactly(lambda a: a * -2, to_f64)),
    "ldexp": ("v_ldexp_f64 %0, %1, 13", 1, exactly(lambda a: a * (1 << 13), to_f64)),
    "through_f32": ("v_cvt_f32_f64 v9, %1\\nv_cvt_f64_f32 %0, v9", 1, exactly(lambda a: a, to_f32)),
}  # fmt: skip


def class_of(bits: int) -> int:
    """The bit that v_cmp_class has for a number: kinds of no number, then from -inf to +inf."""
    negative, exponent, fraction = bits >> 31, bits >> 23 & 255, bits & (1 << 23) - 1
    if exponent == 255 and fraction:
        return 1 if fraction >> 22 else 0
    size = 3 if exponent == 255 else 2 if exponent else 1 if fraction else 0
    return 5 - size if negative else 6 + size


class Floats(unittest.TestCase):
    def check(
        self, architecture: str, table: dict[str, tuple[str, int, Callable[..., float]]], width: int
    ) -> None:
        words = 2 if width == 64 else 1
        source = "".join(
            assembly_kernel(f"k_{name}", template, words, count, words).replace(
                '"vcc"', '"vcc", "v9"'
            )
            for name, (template, count, _) in table.items()
        )
        device = Device(source, architecture)
        for seed, (name, (template, count, compute)) in enumerate(table.items()):
            for attempt in range(3):
                values = numbers(width, count, 10 * seed + attempt)
                out = np.full(64, 0x7FC5A5A5, np.uint64 if width == 64 else np.uint32)
                device.run(f"k_{name}", out, *values)
                for lane in range(64):
                    x = [value(int(v[lane]), width) for v in values]
                    want = compute(*x)
                    got = value(int(out[lane]) & (1 << width) - 1, width)
                    self.same(got, want, f"{template} of {x}")

    def same(self, got: float, want: float, of: str) -> None:
        if math.isnan(want):
            self.assertTrue(math.isnan(got), f"{of}: {got}, expected no number")
        else:
            self.assertEqual(got, want, of)

    @each_architecture
    def test_single(self, architecture: str) -> None:
        self.check(architecture, SINGLE, 32)

    @each_architecture
    def test_half(self, architecture: str) -> None:
        self.check(architecture, HALF, 16)

    @each_architecture
    def test_double(self, architecture: str) -> None:
        self.check(architecture, DOUBLE, 64)

    @each_architecture
    def test_comparisons(self, architecture: str) -> None:
        """Every relation, with what is not a number on either side; and the ten classes."""
        relations: dict[str, Callable[[float, float], bool]] = {
            "lt": lambda a, b: a < b,
            "eq": lambda a, b: a == b,
            "le": lambda a, b: a <= b,
            "gt": lambda a, b: a > b,
            "lg": lambda a, b: a < b or a > b,
            "ge": lambda a, b: a >= b,
            "o": lambda a, b: not (math.isnan(a) or math.isnan(b)),
            "u": lambda a, b: math.isnan(a) or math.isnan(b),
            "nge": lambda a, b: not a >= b,
            "nlg": lambda a, b: not (a < b or a > b),
            "ngt": lambda a, b: not a > b,
            "nle": lambda a, b: not a <= b,
            "neq": lambda a, b: a != b,
            "nlt": lambda a, b: not a < b,
        }
        classes = [f"s_movk_i32 s9, {1 << bit}\\nv_cmp_class_f32 vcc, %1, s9" for bit in range(10)]
        forms = [f"v_cmp_{name}_f32 vcc, %1, %2" for name in relations] + classes
        source = "".join(
            assembly_kernel(f"k_{n}", f"{form}\\nv_cndmask_b32 %0, 0, 1, vcc", 1, 2, 1)
            for n, form in enumerate(forms)
        )
        device = Device(source.replace('"vcc"', '"vcc", "s9"'), architecture)
        a, b = numbers(32, 2, 77)
        a[20:30], b[25:40] = b[20:30], np.uint32(0x7FC00001)  # equal ones, no numbers
        a[40:44] = [0x7F800001, 0xFF800001, 0x80000003, 0x00000003]  # signalling; subnormal
        for n, form in enumerate(forms):
            out = np.full(64, 9, np.uint32)
            device.run(f"k_{n}", out, a, b)
            for lane in range(64):
                bits = int(a[lane])
                if n < len(relations):
                    want = list(relations.values())[n](value(bits), value(int(b[lane])))
                else:
                    want = class_of(bits) == n - len(relations)
                self.assertEqual(out[lane], int(want), f"{form} of {bits:#x}, {int(b[lane]):#x}")

    @each_architecture
    def test_fused_sum_half_way(self, architecture: str) -> None:
        """Where the double sum lies half way between two numbers and the true sum does not."""
        device = Device(assembly_kernel("k", "v_fma_f32 %0, %1, %2, %3", 1, 3, 1), architecture)
        a = np.full(64, 1 + 2.0**-23, np.float32)
        b = np.full(64, 2.0**-24, np.float32) * np.where(np.arange(64) % 2, 1, -1).astype(
            np.float32
        )
        c = np.exp2(np.arange(64) % 8 + 28).astype(np.float32) * np.float32(2.0**-28)
        c[32:] = np.nextafter(c[32:], np.float32(2.0**9))
        b[8:] *= np.float32(2.0**-31)
        a[8:] = np.float32(1.5)
        c[8:] = np.float32(2.0**-8) + np.exp2(-np.arange(56) % 4 - 31).astype(np.float32)
        out = np.zeros(64, np.float32)
        device.run("k", out, a, b, c)
        for got, *x in zip(out.tolist(), a.tolist(), b.tolist(), c.tolist(), strict=True):
            self.assertEqual(got, exactly(fma, to_f32)(*x), x)
        # 1 + 2^-24 + 2^-60 as 1 + (2^-24 + 2^-60): half way but for a bit that a double loses
        a[:], b[:], c[:] = 2.0**-12 + 2.0**-35, 2.0**-12, 1.0
        device.run("k", out, a, b, c)
        self.assertEqual(set(out.tolist()), {1 + 2.0**-23})

    @each_architecture
    def test_division(self, architecture: str) -> None:
        """v_div_scale, v_div_fmas and v_div_fixup as the compiler puts them together."""
        source = """
        KERNEL(64) single(float* o, const float* a, const float* b) { o[TID] = a[TID] / b[TID]; }
        KERNEL(64) twice(double* o, const double* a, const double* b) { o[TID] = a[TID] / b[TID]; }
        """
        device = Device(source, architecture)
        for width, kernel, nearest in ((32, "single", to_f32), (64, "twice", to_f64)):
            quotient = exactly(lambda a, b: a / b, nearest)
            for seed in range(12):
                a, b = numbers(width, 2, seed)
                out = np.zeros_like(a)
                device.run(kernel, out, a, b)
                for lane in range(64):
                    x = [value(int(v[lane]), width) for v in (a, b)]
                    if x[1] == 0:
                        sign = math.copysign(1, x[0]) * math.copysign(1, x[1])
                        want = math.nan if x[0] == 0 or math.isnan(x[0]) else sign * math.inf
                    else:
                        want = quotient(*x)
                    self.same(value(int(out[lane]), width), want, f"{kernel}: {x}")

    @each_architecture
    def test_functions(self, architecture: str) -> None:
        """Approximate instructions, to an ulp; square roots as compiled, exactly."""
        functions: dict[str, Callable[[float], float]] = {
            "exp": lambda x: 2.0**x,
            "log": math.log2,
            "rcp": lambda x: 1 / x,
            "rsq": lambda x: 1 / math.sqrt(x),
            "sqrt": math.sqrt,
        }
        source = "".join(
            assembly_kernel(f"k_{name}", f"v_{name}_f32 %0, %1", 1, 1, 1) for name in functions
        )
        source += "KERNEL(64) root(float* o, const float* a) { o[TID] = __builtin_sqrtf(a[TID]); }"
        device = Device(source, architecture)
        chance = random.Random(3)
        x = np.array([chance.uniform(0.01, 90) for _ in range(64)], np.float32)
        for name, compute in functions.items():
            out = np.zeros(64, np.float32)
            device.run(f"k_{name}", out, x)
            want = np.array([compute(float(v)) for v in x])
            np.testing.assert_allclose(out, want, rtol=2.0**-23, err_msg=name)
        out = np.zeros(64, np.float32)
        # what is subnormal is zero to these
        tiny = np.full(64, 1e-40, np.float32)
        device.run("k_rcp", out, tiny)
        self.assertEqual(set(out.tolist()), {math.inf})
        device.run("k_exp", out, np.full(64, -130.0, np.float32))
        self.assertEqual(set(out.tolist()), {0.0})
        x[:8] = [0.0, 1e-44, 3e38, math.inf, 2.0**-126, 1e-39, 4.0, 1.0]
        device.run("root", out, x)
        for lane, v in enumerate(x.tolist()):
            want = math.inf if v == math.inf else root(v)
            self.assertEqual(float(out[lane]), want, v)


def root(x: float) -> float:
    """The square root to the nearest f32, by the integer one."""
    if x == 0:
        return 0.0
    shift = 400
    scaled = Fraction(x) * (1 << shift)
    whole_part = scaled.numerator // scaled.denominator
    near = Fraction(math.isqrt(whole_part), 1 << shift // 2)
    return to_f32(near + Fraction(1, 1 << 300) if near * near != Fraction(x) else near)


if __name__ == "__main__":
    unittest.main()
