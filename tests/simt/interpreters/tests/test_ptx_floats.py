"""Floating-point instructions against exact fractions and numpy's float64."""

from __future__ import annotations

import math
import unittest
from fractions import Fraction

import numpy as np

from ptx_probe import edge_values, evaluate

COUNT = 256
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
_FORMATS = {  # mantissa bits with the hidden one, least exponent of a normal number, greatest
    "f32": (24, -126, 127),
    "f16": (11, -14, 15),
    "bf16": (8, -126, 127),
    "e4m3": (4, -6, 8),
    "e5m2": (3, -14, 15),
}


def rounded(value: Fraction, form: str, mode: str = "rn") -> Fraction | float:
    """An exact value in a format, by integer arithmetic."""
    digits, least, most = _FORMATS[form]
    if value == 0:
        return Fraction(0)
    sign, size = (-1 if value < 0 else 1), abs(value)
    exponent = max(math.floor(math.log2(size)) if size > Fraction(1, 1 << 1000) else least, least)
    while Fraction(2) ** (exponent + 1) <= size:
        exponent += 1
    while exponent > least and Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** (exponent - digits + 1)
    whole, rest = divmod(size, unit)
    up = {
        "rn": rest * 2 > unit or (rest * 2 == unit and whole % 2 == 1),
        "rz": False,
        "rm": sign < 0 and rest > 0,
        "rp": sign > 0 and rest > 0,
    }[mode]
    found = (whole + up) * unit
    largest = (2 - Fraction(2) ** (1 - digits)) * Fraction(2) ** most
    if form == "e4m3":
        largest = Fraction(448)
    if found > largest:
        infinite = mode == "rn" or ((mode == "rm") == (sign < 0) and mode != "rz")
        return sign * math.inf if infinite and form[0] != "e" else sign * largest
    return sign * found


def bits16(values: np.ndarray) -> np.ndarray:
    """bf16 bits as numbers."""
    return (values.astype(np.uint32) << 16).view(np.float32)


class Case(unittest.TestCase):
    def same(self, found, want, text, row):
        found, want = float(found), float(want)
        if math.isnan(want):
            self.assertTrue(math.isnan(found), f"{text} of {row}: {found}, expected NaN")
        else:
            self.assertEqual(found, want, f"{text} of {row}")

    def check_exact(self, text, exact, inputs, form="f32", mode="rn"):
        """`exact` works on fractions; entries that are not finite are left to other tests."""
        output = {"f32": F32, "f16": np.dtype(np.float16), "bf16": np.dtype(np.uint16)}[form]
        found = evaluate(text, inputs, {"d": output})["d"]
        found = bits16(found) if form == "bf16" else found
        seen = 0
        for i, row in enumerate(zip(*inputs.values())):
            if all(np.isfinite(x) for x in row):
                want = rounded(exact(*(Fraction(float(x)) for x in row)), form, mode)
                self.same(found[i], want, text, row)
                seen += 1
        self.assertGreater(seen, COUNT // 2)


class Arithmetic(Case):
    def inputs(self, dtype=np.float32, names="ab"):
        found = {name: edge_values(dtype, COUNT, seed) for seed, name in enumerate(names, 1)}
        for i, array in enumerate(found.values()):
            array[:16] = np.roll(array[:16], 3 * i)
        return found

    def test_basic_rounded_every_way(self):
        inputs = self.inputs()
        for mode in ("rn", "rz", "rm", "rp"):
            text = f"add.{mode}.f32 %d, %a, %b;"
            self.check_exact(text, lambda a, b: a + b, inputs, mode=mode)
            text = f"sub.{mode}.f32 %d, %a, %b;"
            self.check_exact(text, lambda a, b: a - b, inputs, mode=mode)
            text = f"mul.{mode}.f32 %d, %a, %b;"
            self.check_exact(text, lambda a, b: a * b, inputs, mode=mode)

    def test_fma_rounds_once(self):
        inputs = self.inputs(names="abc")
        one = np.float32(1 + 2.0**-12)  # its square is a tie of 24 bits but for c
        inputs["a"][100:110], inputs["b"][100:110] = one, one
        inputs["c"][100:110] = [2.0**-k for k in range(60, 70)]
        inputs["c"][105:110] *= -1
        inputs["a"][110:120] = inputs["b"][110:120] = 2.0**-70  # a subnormal product
        inputs["c"][110:120] = np.float32(2.0**-149) * np.arange(10)
        for mode in ("rn", "rz", "rm", "rp"):
            text = f"fma.{mode}.f32 %d, %a, %b, %c;"
            self.check_exact(text, lambda a, b, c: a * b + c, inputs, mode=mode)

    def test_fma_rounds_subnormals_once(self):
        """Just below half of the last place of an odd subnormal: float64 makes a tie of it."""
        inputs = {
            "a": np.full(32, 2.0**-75 * (1 + 2.0**-23), F32),
            "b": np.full(32, 2.0**-75 * (1 - 2.0**-23), F32),
            "c": np.full(32, 2.0**-127 + 2.0**-149, F32),
        }
        found = evaluate("fma.rn.f32 %d, %a, %b, %c;", inputs, {"d": F32})["d"]
        np.testing.assert_array_equal(found, inputs["c"])

    def test_fma_of_special_values(self):
        inputs = self.inputs(names="abc")
        found = evaluate("fma.rn.f32 %d, %a, %b, %c;", inputs, {"d": F32})["d"]
        with np.errstate(all="ignore"):
            want = inputs["a"].astype(F64) * inputs["b"] + inputs["c"]
        odd = ~np.isfinite(want) & ~(np.isfinite(inputs["a"] + inputs["b"] + inputs["c"]))
        self.assertGreater(odd.sum(), 8)
        np.testing.assert_array_equal(found[odd], want[odd].astype(F32))

    def test_fma_f64(self):
        inputs = self.inputs(np.float64, "abc")
        inputs["a"][40:60] = inputs["b"][40:60] = 1 + 2.0**-30
        inputs["c"][40:60] = -1 - 2.0**-29
        found = evaluate("fma.rn.f64 %d, %a, %b, %c;", inputs, {"d": F64})["d"]
        for i, row in enumerate(zip(*inputs.values())):
            if all(np.isfinite(x) for x in row):
                a, b, c = (Fraction(float(x)) for x in row)
                try:
                    want = float(a * b + c)
                except OverflowError:
                    continue
                self.same(found[i], want, "fma.rn.f64", row)
        self.assertEqual(found[45], 2.0**-60)

    def test_quotients_and_roots(self):
        inputs = self.inputs()
        inputs["b"][inputs["b"] == 0] = 3
        self.check_exact("div.rn.f32 %d, %a, %b;", lambda a, b: a / b, inputs)
        inputs.pop("a")
        self.check_exact("rcp.rn.f32 %d, %b;", lambda b: 1 / b, inputs)
        positive = {"a": np.abs(edge_values(np.float32, COUNT, 3))}
        found = evaluate("sqrt.rn.f32 %d, %a;", positive, {"d": F32})["d"]
        want = np.sqrt(positive["a"].astype(F64)).astype(F32)
        np.testing.assert_array_equal(found, want)

    def test_minimum_ignores_nan_and_orders_zeros(self):
        nan = np.nan
        a = np.array([nan, 1, -0.0, 0.0, nan, 5, -np.inf, 2], F32)
        b = np.array([2, nan, 0.0, -0.0, nan, 5, 1, -3], F32)
        inputs = {"a": a, "b": b}
        low = evaluate("min.f32 %d, %a, %b;", inputs, {"d": F32})["d"]
        high = evaluate("max.f32 %d, %a, %b;", inputs, {"d": F32})["d"]
        np.testing.assert_array_equal(low, np.array([2, 1, -0.0, -0.0, nan, 5, -np.inf, -3], F32))
        np.testing.assert_array_equal(high, np.array([2, 1, 0, 0, nan, 5, 1, 2], F32))
        self.assertEqual(list(np.signbit(low[2:4])), [True, True])
        self.assertEqual(list(np.signbit(high[2:4])), [False, False])
        self.assertEqual(low[4:5].view(np.uint32)[0], 0x7FFFFFFF)
        both = evaluate("max.NaN.f32 %d, %a, %b;", inputs, {"d": F32})["d"]
        np.testing.assert_array_equal(np.isnan(both), [1, 1, 0, 0, 1, 0, 0, 0])

    def test_flush_and_saturate(self):
        tiny = np.float32(2.0**-127)
        inputs = {"a": np.array([tiny, -tiny, 2.0**-126, 3, -1, np.nan, 0.25, 0.5], F32)}
        found = evaluate("mul.ftz.f32 %d, %a, 0f40800000;", inputs, {"d": F32})["d"]
        want = np.array([0, -0.0, 2.0**-124, 12, -4, np.nan, 1, 2], F32)
        np.testing.assert_array_equal(found, want)
        self.assertTrue(np.signbit(found[1]))
        found = evaluate("add.sat.f32 %d, %a, 0f00000000;", inputs, {"d": F32})["d"]
        np.testing.assert_array_equal(
            found, np.array([tiny, 0, 2.0**-126, 1, 0, 0, 0.25, 0.5], F32)
        )

    def test_approximations(self):
        x = np.linspace(-6, 6, COUNT).astype(F32)
        positive = np.abs(x) + np.float32(0.01)
        for name, function, at in (
            ("ex2.approx.f32", np.exp2, x),
            ("ex2.approx.ftz.f32", np.exp2, x),
            ("lg2.approx.f32", np.log2, positive),
            ("rcp.approx.f32", np.reciprocal, positive),
            ("rsqrt.approx.f32", lambda v: v**-0.5, positive),
            ("sqrt.approx.f32", np.sqrt, positive),
            ("sin.approx.f32", np.sin, x),
            ("cos.approx.f32", np.cos, x),
            ("tanh.approx.f32", np.tanh, x),
        ):
            found = evaluate(f"{name} %d, %a;", {"a": at}, {"d": F32})["d"]
            np.testing.assert_allclose(found, function(at.astype(F64)), 1e-6, 1e-7, err_msg=name)
        ends = {"a": np.array([-np.inf, np.inf, np.nan, -200], F32)}
        found = evaluate("ex2.approx.f32 %d, %a;", ends, {"d": F32})["d"]
        np.testing.assert_array_equal(found, np.array([0, np.inf, np.nan, 0], F32))

    def test_sign_and_properties(self):
        inputs = self.inputs()
        found = evaluate("copysign.f32 %d, %a, %b;", inputs, {"d": F32})["d"]
        np.testing.assert_array_equal(found, np.copysign(inputs["b"], inputs["a"]))
        found = evaluate("testp.finite.f32 %d, %a;", inputs, {"d": np.bool_})["d"]
        np.testing.assert_array_equal(found, np.isfinite(inputs["a"]))
        found = evaluate("testp.subnormal.f32 %d, %a;", inputs, {"d": np.bool_})["d"]
        small = (inputs["a"] != 0) & (np.abs(inputs["a"]) < 2.0**-126)
        np.testing.assert_array_equal(found, small)

    def test_comparisons_with_nan(self):
        a = np.array([1, 2, 1, np.nan, 1, np.nan], F32)
        b = np.array([1, 1, 2, 1, np.nan, np.nan], F32)
        relation = ["eq", "gt", "lt", "un", "un", "un"]
        for name in ("eq", "ne", "lt", "le", "gt", "ge"):
            holds = {
                "eq": "eq",
                "ne": "gt lt",
                "lt": "lt",
                "le": "lt eq",
                "gt": "gt",
                "ge": "gt eq",
            }
            for suffix, unordered in (("", False), ("u", True)):
                text = f"setp.{name}{suffix}.f32 %d, %a, %b;"
                found = evaluate(text, {"a": a, "b": b}, {"d": np.bool_})["d"]
                want = [unordered if r == "un" else r in holds[name].split() for r in relation]
                self.assertEqual(list(found), want, text)
        for name, want in (("num", [1, 1, 1, 0, 0, 0]), ("nan", [0, 0, 0, 1, 1, 1])):
            found = evaluate(f"setp.{name}.f32 %d, %a, %b;", {"a": a, "b": b}, {"d": np.bool_})["d"]
            self.assertEqual(list(found), want)


class Conversions(Case):
    def test_float_to_integer(self):
        modes = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
        for of in (np.float32, np.float64):
            a = edge_values(of, COUNT, 4)
            a[30:40] = [0.5, 1.5, 2.5, -0.5, -1.5, 2.0**31, -(2.0**31), 2.0**63, 2.0**32, 1e30]
            for to in ("s32", "u32", "s64", "u64", "s16", "u16"):
                dtype = np.dtype(f"{'i' if to[0] == 's' else 'u'}{int(to[1:]) // 8}")
                for mode, function in modes.items():
                    name = f"cvt.{mode}.{to}.f{8 * np.dtype(of).itemsize}"
                    found = evaluate(f"{name} %d, %a;", {"a": a}, {"d": dtype})["d"]
                    limit = np.iinfo(dtype)
                    for value, result in zip(a, found):
                        if not math.isnan(value):
                            whole = float(function(value))
                            big = int(whole) if math.isfinite(whole) else int(np.sign(whole)) << 70
                            want = max(limit.min, min(limit.max, big))
                            self.assertEqual(int(result), want, f"{name} of {value}")

    def test_nan_to_integer(self):
        nan = {"a": np.full(4, np.nan, F32)}
        self.assertEqual(evaluate("cvt.rzi.s32.f32 %d, %a;", nan, {"d": np.int32})["d"][0], 0)
        found = evaluate("cvt.rzi.s64.f32 %d, %a;", nan, {"d": np.int64})["d"]
        self.assertEqual(found[0], -(1 << 63))

    def test_integer_to_float(self):
        for of in (np.int32, np.uint32, np.int64, np.uint64):
            a = edge_values(of, COUNT, 5)
            a[30] = (1 << 24) + 1
            kind = f"{'s' if np.dtype(of).kind == 'i' else 'u'}{8 * np.dtype(of).itemsize}"
            modes = ("rn", "rz", "rm", "rp")
            for mode in modes:
                text = f"cvt.{mode}.f32.{kind} %d, %a;"
                found = evaluate(text, {"a": a}, {"d": F32})["d"]
                for value, result in zip(a, found):
                    want = rounded(Fraction(int(value)), "f32", mode)
                    self.same(result, want, text, value)
            text = f"cvt.rn.f16.{kind} %d, %a;"
            found = evaluate(text, {"a": a}, {"d": np.float16})["d"]
            for value, result in zip(a, found):
                self.same(result, rounded(Fraction(int(value)), "f16"), text, value)

    def test_narrow_floats(self):
        a = edge_values(np.float32, COUNT, 6)
        a[30:40] = np.float32(1) + np.arange(10, dtype=F32) * np.float32(2.0**-9)  # ties of bf16
        a[40:50] = np.arange(1, 11) * np.float32(2.0**-25)  # subnormal f16
        a[50:54] = [65504, 65519, 65520, 65536]
        for form in ("f16", "bf16"):
            for mode in ("rn", "rz"):
                self.check_exact(
                    f"cvt.{mode}.{form}.f32 %d, %a;", lambda x: x, {"a": a}, form, mode
                )
        nan = {"a": np.full(4, np.nan, F32)}
        found = evaluate("cvt.rn.bf16.f32 %d, %a;", nan, {"d": np.uint16})["d"]
        self.assertEqual(found[0], 0x7FFF)

    def test_pairs_put_the_first_operand_above(self):
        inputs = {"a": np.array([1, 2, 3, 4], F32), "b": np.array([5, 6, 7, 8], F32)}
        found = evaluate("cvt.rn.f16x2.f32 %d, %a, %b;", inputs, {"d": np.uint32})["d"]
        halves = found.view(np.float16).reshape(-1, 2)
        np.testing.assert_array_equal(halves, [[5, 1], [6, 2], [7, 3], [8, 4]])
        found = evaluate("cvt.rn.bf16x2.f32 %d, %a, %b;", inputs, {"d": np.uint32})["d"]
        halves = bits16(found.view(np.uint16)).reshape(-1, 2)
        np.testing.assert_array_equal(halves, [[5, 1], [6, 2], [7, 3], [8, 4]])

    def test_widening(self):
        codes = np.arange(0, 65536, 257, dtype=np.uint16)
        found = evaluate("cvt.f32.f16 %d, %a;", {"a": codes}, {"d": F32})["d"]
        np.testing.assert_array_equal(found, codes.view(np.float16).astype(F32))
        text = "mov.b32 %d, {0, %a};"
        found = evaluate(text, {"a": codes}, {"d": F32})["d"]
        np.testing.assert_array_equal(found, bits16(codes))

    def test_rounding_to_whole_numbers(self):
        a = edge_values(np.float32, COUNT, 7)
        for mode, function in (("rni", np.rint), ("rzi", np.trunc), ("rmi", np.floor)):
            found = evaluate(f"cvt.{mode}.f32.f32 %d, %a;", {"a": a}, {"d": F32})["d"]
            np.testing.assert_array_equal(found, function(a))

    def test_fp8_both_ways(self):
        codes = np.arange(256).astype(np.uint16)
        pairs = codes | codes[::-1] << 8
        for kind, exponent_bits, mantissa_bits in (("e4m3", 4, 3), ("e5m2", 5, 2)):
            text = f"cvt.rn.f16x2.{kind}x2 %d, %a;"
            found = evaluate(text, {"a": pairs}, {"d": np.uint32}, target="sm_90a")["d"]
            low = found.view(np.float16).reshape(-1, 2)[:, 0]
            high = found.view(np.float16).reshape(-1, 2)[:, 1]
            np.testing.assert_array_equal(low, high[::-1])
            for code in range(256):
                sign = -1 if code & 0x80 else 1
                exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
                mantissa = code & (1 << mantissa_bits) - 1
                bias = 7 if kind == "e4m3" else 15
                if kind == "e4m3" and code & 0x7F == 0x7F:
                    want = math.nan
                elif kind == "e5m2" and exponent == 31:
                    want = math.nan if mantissa else sign * math.inf
                elif exponent == 0:
                    want = sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
                else:
                    want = sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)
                self.same(low[code], want, text, code)
            a, b = edge_values(np.float32, COUNT, 8), edge_values(np.float32, COUNT, 9)
            a[40:60] = np.linspace(1, 2, 20) * 240
            text = f"cvt.rn.satfinite.{kind}x2.f32 %d, %a, %b;"
            found = evaluate(text, {"a": a, "b": b}, {"d": np.uint16}, target="sm_90a")["d"]
            back = dict(enumerate(low.astype(F64)))
            for i in range(COUNT):
                for value, code in ((b[i], found[i] & 255), (a[i], found[i] >> 8)):
                    if math.isnan(value):
                        self.assertTrue(math.isnan(back[int(code)]))
                    else:
                        finite = math.copysign(1e6, value) if math.isinf(value) else float(value)
                        want = rounded(Fraction(finite), kind)
                        self.same(back[int(code)], want, text, value)


class Halves(Case):
    def test_f16_and_bf16(self):
        halves = {name: edge_values(np.float16, COUNT, seed) for seed, name in enumerate("abc")}
        self.check_exact("add.rn.f16 %d, %a, %b;", lambda a, b, c: a + b, halves, "f16")
        self.check_exact("mul.rn.f16 %d, %a, %b;", lambda a, b, c: a * b, halves, "f16")
        self.check_exact("fma.rn.f16 %d, %a, %b, %c;", lambda a, b, c: a * b + c, halves, "f16")

        text = "fma.rn.bf16 %d, %a, %b, %c;"
        rng = np.random.default_rng(3)
        raw = {name: rng.integers(0x3800, 0x4700, COUNT).astype(np.uint16) for name in "abc"}
        found = bits16(evaluate(text, raw, {"d": np.uint16})["d"])
        for i, row in enumerate(zip(*raw.values())):
            a, b, c = (Fraction(float(x)) for x in bits16(np.array(row, np.uint16)))
            self.same(found[i], rounded(a * b + c, "bf16"), text, row)

    def test_pairs(self):
        rng = np.random.default_rng(4)
        a, b, c = (rng.standard_normal((64, 2)).astype(np.float16) for _ in range(3))
        inputs = {name: x.view(np.uint32)[:, 0] for name, x in zip("abc", (a, b, c))}
        found = evaluate("fma.rn.f16x2 %d, %a, %b, %c;", inputs, {"d": np.uint32})["d"]
        exact = a.astype(F64) * b + c
        np.testing.assert_array_equal(
            found.view(np.float16).reshape(-1, 2), exact.astype(np.float16)
        )
        found = evaluate("max.f16x2 %d, %a, %b;", inputs, {"d": np.uint32})["d"]
        np.testing.assert_array_equal(found.view(np.float16).reshape(-1, 2), np.maximum(a, b))
        found = evaluate("neg.f16x2 %d, %a;", inputs, {"d": np.uint32})["d"]
        np.testing.assert_array_equal(found.view(np.float16).reshape(-1, 2), -a)
        found = evaluate("fma.rn.relu.f16x2 %d, %a, %b, %c;", inputs, {"d": np.uint32})["d"]
        np.testing.assert_array_equal(
            found.view(np.float16).reshape(-1, 2), np.maximum(exact, 0).astype(np.float16)
        )


if __name__ == "__main__":
    unittest.main()
