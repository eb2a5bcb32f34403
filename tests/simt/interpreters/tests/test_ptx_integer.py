"""Integer instructions against Python's own integers, which know no width."""

from __future__ import annotations

import unittest

import numpy as np

from ptx_probe import edge_values, evaluate

COUNT = 256


def wrap(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> bits - 1 else value


def dtype_of(kind: str) -> np.dtype:
    return np.dtype(f"{'i' if kind[0] == 's' else 'u'}{int(kind[1:]) // 8}")


class Case(unittest.TestCase):
    def check(self, text, expected, inputs, output, declarations=""):
        """`expected` maps the inputs of one thread to its output, as Python integers."""
        found = evaluate(text, inputs, {"d": output}, declarations)["d"]
        bits, signed = 8 * output.itemsize, output.kind == "i"
        for i, row in enumerate(zip(*inputs.values())):
            want = wrap(int(expected(*(int(x) for x in row))), bits, signed)
            self.assertEqual(int(found[i]), want, f"{text} of {[hex(int(x)) for x in row]}")

    def pairs(self, kind, seed=1):
        dtype = dtype_of(kind)
        a, b = edge_values(dtype, COUNT, seed), edge_values(dtype, COUNT, seed + 1)
        b[: COUNT // 2] = np.roll(b[: COUNT // 2], 5)  # corners meet other corners
        return {"a": a, "b": b}


class Arithmetic(Case):
    def test_add_sub_mul(self):
        for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
            inputs, out = self.pairs(kind), dtype_of(kind)
            bits = int(kind[1:])
            self.check(f"add.{kind} %d, %a, %b;", lambda a, b: a + b, inputs, out)
            self.check(f"sub.{kind} %d, %a, %b;", lambda a, b: a - b, inputs, out)
            self.check(f"mul.lo.{kind} %d, %a, %b;", lambda a, b: a * b, inputs, out)
            self.check(f"mul.hi.{kind} %d, %a, %b;", lambda a, b: a * b >> bits, inputs, out)

    def test_wide_products(self):
        for kind, wide in (("u16", "u32"), ("s16", "s32"), ("u32", "u64"), ("s32", "s64")):
            inputs = self.pairs(kind) | {"c": edge_values(dtype_of(wide), COUNT, 9)}
            text = f"mul.wide.{kind} %d, %a, %b;"
            self.check(text, lambda a, b, c: a * b, inputs, dtype_of(wide))
            text = f"mad.wide.{kind} %d, %a, %b, %c;"
            self.check(text, lambda a, b, c: a * b + c, inputs, dtype_of(wide))

    def test_mad(self):
        for kind in ("u16", "s32", "u32", "s64", "u64"):
            inputs = self.pairs(kind) | {"c": edge_values(dtype_of(kind), COUNT, 9)}
            out, bits = dtype_of(kind), int(kind[1:])
            text = f"mad.lo.{kind} %d, %a, %b, %c;"
            self.check(text, lambda a, b, c: a * b + c, inputs, out)
            text = f"mad.hi.{kind} %d, %a, %b, %c;"
            self.check(text, lambda a, b, c: (a * b >> bits) + c, inputs, out)

    def test_saturating(self):
        def clamp(x):
            return max(-(1 << 31), min((1 << 31) - 1, x))

        inputs = self.pairs("s32")
        self.check("add.sat.s32 %d, %a, %b;", lambda a, b: clamp(a + b), inputs, dtype_of("s32"))
        self.check("sub.sat.s32 %d, %a, %b;", lambda a, b: clamp(a - b), inputs, dtype_of("s32"))

    def test_division_towards_zero(self):
        def quotient(a, b):
            found = abs(a) // abs(b)
            return -found if (a < 0) != (b < 0) else found

        for kind in ("s16", "u16", "s32", "u32", "s64", "u64"):
            inputs = self.pairs(kind)
            inputs["b"][inputs["b"] == 0] = 7
            out = dtype_of(kind)
            self.check(f"div.{kind} %d, %a, %b;", quotient, inputs, out)
            self.check(f"rem.{kind} %d, %a, %b;", lambda a, b: a - b * quotient(a, b), inputs, out)

    def test_division_by_zero_is_all_ones(self):
        inputs = {"a": np.arange(32, dtype=np.uint32), "b": np.zeros(32, np.uint32)}
        self.check("div.u32 %d, %a, %b;", lambda a, b: -1, inputs, np.dtype(np.uint32))

    def test_min_max_abs_neg_sad(self):
        for kind in ("s16", "s32", "s64"):
            inputs, out = self.pairs(kind), dtype_of(kind)
            self.check(f"abs.{kind} %d, %a;", lambda a, b: abs(a), inputs, out)
            self.check(f"neg.{kind} %d, %a;", lambda a, b: -a, inputs, out)
        for kind in ("u32", "s32", "u64", "s64"):
            inputs, out = self.pairs(kind), dtype_of(kind)
            self.check(f"min.{kind} %d, %a, %b;", min, inputs, out)
            self.check(f"max.{kind} %d, %a, %b;", max, inputs, out)
        inputs = self.pairs("u32") | {"c": edge_values(np.uint32, COUNT, 4)}
        text = "sad.u32 %d, %a, %b, %c;"
        self.check(text, lambda a, b, c: c + abs(a - b), inputs, dtype_of("u32"))

    def test_carries(self):
        inputs = {name: edge_values(np.uint64, COUNT, seed) for seed, name in enumerate("ab")}
        declarations = ".reg .b32 %a0, %a1, %b0, %b1, %d0, %d1;"
        split = "mov.b64 {%a0, %a1}, %a; mov.b64 {%b0, %b1}, %b;"
        join = "mov.b64 %d, {%d0, %d1};"
        text = f"{split} add.cc.u32 %d0, %a0, %b0; addc.u32 %d1, %a1, %b1; {join}"
        self.check(text, lambda a, b: a + b, inputs, dtype_of("u64"), declarations)
        text = f"{split} sub.cc.u32 %d0, %a0, %b0; subc.u32 %d1, %a1, %b1; {join}"
        self.check(text, lambda a, b: a - b, inputs, dtype_of("u64"), declarations)
        text = f"""{split} mul.lo.u32 %d0, %a0, %b0; mul.hi.u32 %d1, %a0, %b0;
            mad.lo.cc.u32 %d0, %a0, 3, %d0; madc.hi.u32 %d1, %a0, 3, %d1; {join}"""
        low = 0xFFFFFFFF

        def expected(a, b):
            return (a & low) * (b & low) + (a & low) * 3

        self.check(text, expected, inputs, dtype_of("u64"), declarations)

    def test_dot_products(self):
        inputs = self.pairs("u32") | {"c": edge_values(np.uint32, COUNT, 4)}

        def byte(x, i, signed):
            return wrap(x >> 8 * i, 8, signed)

        def dot(a, b, c):
            return c + sum(byte(a, i, True) * byte(b, i, False) for i in range(4))

        self.check("dp4a.s32.u32 %d, %a, %b, %c;", dot, inputs, dtype_of("s32"))

        def dot2(a, b, c):
            return c + sum(wrap(a >> 16 * i, 16, True) * byte(b, 2 + i, True) for i in range(2))

        self.check("dp2a.hi.s32.s32 %d, %a, %b, %c;", dot2, inputs, dtype_of("s32"))


class Bits(Case):
    def test_logic(self):
        for kind in ("b16", "b32", "b64"):
            inputs, out = self.pairs(kind.replace("b", "u")), dtype_of(kind)
            self.check(f"and.{kind} %d, %a, %b;", lambda a, b: a & b, inputs, out)
            self.check(f"or.{kind} %d, %a, %b;", lambda a, b: a | b, inputs, out)
            self.check(f"xor.{kind} %d, %a, %b;", lambda a, b: a ^ b, inputs, out)
            self.check(f"not.{kind} %d, %a;", lambda a, b: ~a, inputs, out)
            self.check(f"cnot.{kind} %d, %a;", lambda a, b: int(a == 0), inputs, out)

    def test_shifts_of_any_amount(self):
        amounts = np.resize(
            np.array([0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 1 << 31]), COUNT
        )
        amounts = amounts.astype(np.uint32)
        for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
            inputs = {"a": edge_values(dtype_of(kind), COUNT, 3), "b": amounts}
            bits = kind.replace("u", "b").replace("s", "b")
            out = dtype_of(kind)
            self.check(f"shl.{bits} %d, %a, %b;", lambda a, b: a << min(b, 64), inputs, out)
            self.check(f"shr.{kind} %d, %a, %b;", lambda a, b: a >> min(b, 64), inputs, out)
            self.check(f"shr.{kind} %d, %a, 5;", lambda a, b: a >> 5, inputs, out)
            self.check(f"shl.{bits} %d, %a, 70;", lambda a, b: 0, inputs, out)

    def test_funnel_shift(self):
        amounts = np.resize(np.array([0, 1, 31, 32, 33, 63, 64]), COUNT).astype(np.uint32)
        inputs = self.pairs("u32") | {"c": amounts}
        out = dtype_of("u32")
        for mode, limit in (("wrap", lambda c: c & 31), ("clamp", lambda c: min(c, 32))):

            def left(a, b, c):
                return ((b << 32 | a) << limit(c)) >> 32

            def right(a, b, c):
                return (b << 32 | a) >> limit(c)

            self.check(f"shf.l.{mode}.b32 %d, %a, %b, %c;", left, inputs, out)
            self.check(f"shf.r.{mode}.b32 %d, %a, %b, %c;", right, inputs, out)

    def test_extract_and_insert(self):
        rng = np.random.default_rng(5)
        place = rng.integers(0, 70, COUNT).astype(np.uint32)
        length = rng.integers(0, 70, COUNT).astype(np.uint32)
        length[:8], place[8:16] = 0, 0

        def extract(bits, signed):  # the manual's loop
            def expected(a, p, n):
                top = bits - 1
                sign = 0 if not signed or n == 0 else a >> min(p + n - 1, top) & 1
                found = 0
                for i in range(bits):
                    bit = a >> p + i & 1 if i < n and p + i <= top else sign
                    found |= bit << i
                return found

            return expected

        def insert(bits):
            def expected(a, b, p, n):
                for i in range(n):
                    if p + i < bits:
                        b = b & ~(1 << p + i) | (a >> i & 1) << p + i
                return b

            return expected

        for kind in ("u32", "s32", "u64", "s64"):
            dtype, bits = dtype_of(kind), int(kind[1:])
            inputs = {"a": edge_values(dtype, COUNT, 6), "p": place, "n": length}

            def unsigned(f, bits=bits):
                return lambda a, *r: f(a & (1 << bits) - 1, *r)

            expected = unsigned(extract(bits, kind[0] == "s"))
            self.check(f"bfe.{kind} %d, %a, %p, %n;", expected, inputs, dtype)
        for kind in ("b32", "b64"):
            dtype, bits = dtype_of(kind), int(kind[1:])
            a, b = edge_values(dtype, COUNT, 6), edge_values(dtype, COUNT, 7)
            inputs = {"a": a, "b": b, "p": place, "n": length}
            self.check(f"bfi.{kind} %d, %a, %b, %p, %n;", insert(bits), inputs, dtype)

    def test_counts(self):
        for kind in ("b32", "b64"):
            dtype, bits = dtype_of(kind), int(kind[1:])
            inputs = {"a": edge_values(dtype, COUNT, 8)}
            inputs["a"][20:] >>= (np.arange(COUNT - 20) % bits).astype(dtype)
            out = dtype_of("u32")
            self.check(f"popc.{kind} %d, %a;", lambda a: bin(a).count("1"), inputs, out)
            self.check(f"clz.{kind} %d, %a;", lambda a: bits - a.bit_length(), inputs, out)

            def flip(a):
                return int(f"{a:0{bits}b}"[::-1], 2)

            self.check(f"brev.{kind} %d, %a;", flip, inputs, dtype)
        inputs = {"a": edge_values(np.uint32, COUNT, 8)}
        out = dtype_of("u32")
        self.check("bfind.u32 %d, %a;", lambda a: a.bit_length() - 1, inputs, out)
        inputs = {"a": edge_values(np.int32, COUNT, 8)}

        def highest(a):
            return (~a if a < 0 else a).bit_length() - 1

        self.check("bfind.s32 %d, %a;", highest, inputs, out)

    def test_nth_set_bit(self):
        rng = np.random.default_rng(9)
        inputs = {
            "a": edge_values(np.uint32, COUNT, 8),
            "b": rng.integers(0, 32, COUNT).astype(np.uint32),
            "n": rng.integers(-6, 7, COUNT).astype(np.int32),
        }

        def expected(mask, base, offset):  # the manual's algorithm
            if offset == 0:
                return base if mask >> base & 1 else -1
            position, count, step = base, abs(offset) - 1, 1 if offset > 0 else -1
            while 0 <= position < 32:
                if mask >> position & 1:
                    if count == 0:
                        return position
                    count -= 1
                position += step
            return -1

        self.check("fns.b32 %d, %a, %b, %n;", expected, inputs, dtype_of("u32"))

    def test_permute(self):
        inputs = self.pairs("u32") | {"c": edge_values(np.uint32, COUNT, 4)}

        def expected(a, b, c):
            octets = (b << 32 | a).to_bytes(8, "little")
            found = []
            for i in range(4):
                selector = c >> 4 * i & 15
                octet = octets[selector & 7]
                found.append((0xFF if octet & 0x80 else 0) if selector & 8 else octet)
            return int.from_bytes(bytes(found), "little")

        self.check("prmt.b32 %d, %a, %b, %c;", expected, inputs, dtype_of("u32"))

        def fixed(a, b, c):
            return expected(a, b, 0x7632)

        self.check("prmt.b32 %d, %a, %b, 0x7632U;", fixed, inputs, dtype_of("u32"))

        def forward(a, b, c):
            return expected(a, b, 0x3210 + 0x1111 * (c & 3))

        self.check("prmt.b32.f4e %d, %a, %b, %c;", forward, inputs, dtype_of("u32"))

    def test_logic_of_three(self):
        inputs = self.pairs("u32") | {"c": edge_values(np.uint32, COUNT, 4)}
        for table in (0x96, 0xE8, 0xCA, 0x01, 0xFE, 0x3C):

            def expected(a, b, c, table=table):
                def bit(i):
                    return table >> (4 * (a >> i & 1) + 2 * (b >> i & 1) + (c >> i & 1)) & 1

                return sum(bit(i) << i for i in range(32))

            self.check(f"lop3.b32 %d, %a, %b, %c, {table};", expected, inputs, dtype_of("u32"))


class Moves(Case):
    def test_packing(self):
        inputs = self.pairs("u16")
        self.check("mov.b32 %d, {%a, %b};", lambda a, b: b << 16 | a, inputs, dtype_of("u32"))
        inputs = {"a": edge_values(np.uint64, COUNT, 1)}
        text = "mov.b64 {%low, %high}, %a; add.u32 %d, %low, %high;"
        declarations = ".reg .b32 %low, %high;"

        def fold(a):
            return (a >> 32) + (a & 0xFFFFFFFF)

        self.check(text, fold, inputs, dtype_of("u32"), declarations)
        text = "mov.b64 {_, %high, _, _}, %a; cvt.u32.u16 %d, %high;"
        self.check(text, lambda a: a >> 16 & 0xFFFF, inputs, dtype_of("u32"), ".reg .b16 %high;")

    def test_conversions_between_widths(self):
        kinds = ("u16", "s16", "u32", "s32", "u64", "s64")
        for of in kinds:
            inputs = {"a": edge_values(dtype_of(of), COUNT, 2)}
            for to in kinds:
                self.check(f"cvt.{to}.{of} %d, %a;", lambda a: a, inputs, dtype_of(to))
        inputs = {"a": edge_values(np.int32, COUNT, 2)}

        def clamp(a):
            return max(-32768, min(32767, a))

        self.check("cvt.sat.s16.s32 %d, %a;", clamp, inputs, dtype_of("s16"))

        def floor(a):
            return max(0, min(65535, a))

        self.check("cvt.sat.u16.s32 %d, %a;", floor, inputs, dtype_of("u16"))

        def byte(a):
            return wrap(a, 8, True)

        self.check("cvt.s32.s8 %d, %a;", byte, inputs, dtype_of("s32"))
        self.check("cvt.u32.u8 %d, %a;", lambda a: a & 255, inputs, dtype_of("u32"))

    def test_saturating_packs(self):
        inputs = self.pairs("s32") | {"c": edge_values(np.uint32, COUNT, 4)}

        def clamp(x):
            return max(-128, min(127, x)) & 255

        def expected(a, b, c):
            return (c << 16 | clamp(a) << 8 | clamp(b)) & 0xFFFFFFFF

        text = "cvt.pack.sat.s8.s32.b32 %d, %a, %b, %c;"
        self.check(text, expected, inputs, dtype_of("u32"))


class Comparisons(Case):
    def test_integer_orders(self):
        signs = {"eq": "__eq__", "ne": "__ne__", "lt": "__lt__", "le": "__le__", "gt": "__gt__"}
        signs |= {"ge": "__ge__"}
        for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
            inputs = self.pairs(kind)
            inputs["b"][::3] = inputs["a"][::3]
            for name, method in signs.items():

                def expected(a, b, method=method):
                    return int(getattr(a, method)(b))

                text = f"setp.{name}.{kind} %p, %a, %b; selp.u32 %d, 1, 0, %p;"
                self.check(text, expected, inputs, dtype_of("u32"), ".reg .pred %p;")

    def test_combined_and_second_predicate(self):
        inputs = self.pairs("s32") | {"c": edge_values(np.int32, COUNT, 4)}
        declarations = ".reg .pred %p, %q, %r; .reg .b32 %e;"
        for name, combine in (("and", "__and__"), ("or", "__or__"), ("xor", "__xor__")):
            text = f"""setp.gt.s32 %r, %c, 0; setp.lt.{name}.s32 %p|%q, %a, %b, %r;
                selp.u32 %d, 1, 0, %p; selp.u32 %e, 2, 0, %q; or.b32 %d, %d, %e;"""

            def expected(a, b, c, combine=combine):
                r = int(c > 0)
                return getattr(int(a < b), combine)(r) + 2 * getattr(int(a >= b), combine)(r)

            self.check(text, expected, inputs, dtype_of("u32"), declarations)
        text = "setp.gt.s32 %r, %c, 0; setp.lt.and.s32 %p, %a, %b, !%r; selp.u32 %d, 1, 0, %p;"

        def expected(a, b, c):
            return int(a < b and not c > 0)

        self.check(text, expected, inputs, dtype_of("u32"), declarations)

    def test_set_and_select_by_sign(self):
        inputs = self.pairs("s32") | {"c": edge_values(np.int32, COUNT, 4)}
        self.check("set.lt.u32.s32 %d, %a, %b;", lambda a, b, c: -(a < b), inputs, dtype_of("u32"))

        def choose(a, b, c):
            return a if c >= 0 else b

        self.check("slct.s32.s32 %d, %a, %b, %c;", choose, inputs, dtype_of("s32"))


if __name__ == "__main__":
    unittest.main()
