"""Matrix instructions (MFMA) against sums over the layouts of AMD's documents."""

from __future__ import annotations

import unittest
from typing import NamedTuple

import numpy as np

from gcn_probe import ARCHITECTURES, Device, each_architecture


class Form(NamedTuple):
    """A builtin: m = n, k, elements of A and B in a lane, their type."""

    builtin: str
    size: int
    k: int
    held: int
    kind: str
    architectures: tuple[str, ...] = ARCHITECTURES

    @property
    def blocks(self) -> int:
        return 64 // self.size * self.held // self.k

    @property
    def results(self) -> int:
        return self.size * self.size * self.blocks // 64


NEW = ("gfx942",)
FORMS = [
    Form("f32_16x16x16f16", 16, 16, 4, "f16"),
    Form("f32_32x32x8f16", 32, 8, 4, "f16"),
    Form("f32_4x4x4f16", 4, 4, 4, "f16"),
    Form("f32_16x16x4f16", 16, 4, 4, "f16"),
    Form("f32_32x32x4f16", 32, 4, 4, "f16"),
    Form("f32_16x16x16bf16_1k", 16, 16, 4, "bf16"),
    Form("f32_32x32x8bf16_1k", 32, 8, 4, "bf16"),
    Form("f32_4x4x4bf16_1k", 4, 4, 4, "bf16"),
    Form("f32_16x16x4f32", 16, 4, 1, "f32"),
    Form("f32_32x32x2f32", 32, 2, 1, "f32"),
    Form("f32_4x4x1f32", 4, 1, 1, "f32"),
    Form("f32_32x32x1f32", 32, 1, 1, "f32"),
    Form("i32_16x16x16i8", 16, 16, 4, "i8", ("gfx90a",)),
    Form("i32_32x32x8i8", 32, 8, 4, "i8", ("gfx90a",)),
    Form("i32_16x16x32_i8", 16, 32, 8, "i8", NEW),
    Form("i32_32x32x16_i8", 32, 16, 8, "i8", NEW),
    Form("f32_16x16x32_fp8_fp8", 16, 32, 8, "fp8 fp8", NEW),
    Form("f32_16x16x32_bf8_fp8", 16, 32, 8, "bf8 fp8", NEW),
    Form("f32_32x32x16_fp8_bf8", 32, 16, 8, "fp8 bf8", NEW),
]
C_TYPES = {
    "f16": ("half", 2), "bf16": ("i16", 2), "f32": ("float", 4), "i8": ("i8", 1), "fp8": ("i8", 1),
    "bf8": ("i8", 1),
}  # fmt: skip


def fnuz(bits: int, mantissa: int, bias: int) -> float:
    """fp8 of gfx942: 1.4.3 with bias 8, 1.5.2 with bias 16, no infinities, 0x80 is no number."""
    if bits == 0x80:
        return float("nan")
    exponent, fraction = (bits & 127) >> mantissa, (bits & (1 << mantissa) - 1) / (1 << mantissa)
    size = (1 + fraction) * 2.0 ** (exponent - bias) if exponent else fraction * 2.0 ** (1 - bias)
    return -size if bits & 128 else size


def decode(raw: np.ndarray, kind: str) -> np.ndarray:
    if kind == "bf16":
        return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if kind in ("fp8", "bf8"):
        layout = (3, 8) if kind == "fp8" else (2, 16)
        return np.array([fnuz(int(x), *layout) for x in raw.reshape(-1)]).reshape(raw.shape)
    return raw.astype(np.float64)


def operands(kind: str, held: int, rng: np.random.Generator) -> np.ndarray:
    """[64, held] small values in the type's own bits."""
    if kind in ("i8",):
        return rng.integers(-128, 128, (64, held)).astype(np.int8)
    if kind in ("fp8", "bf8"):
        bits = rng.integers(0, 256, (64, held)).astype(np.uint8)
        bits[bits == 0x80] = 0
        return bits
    values = rng.integers(-40, 40, (64, held)) / 8
    if kind == "bf16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16 if kind == "f16" else np.float32)


def source(form: Form) -> str:
    kinds = form.kind.split()
    element, width = C_TYPES[kinds[0]]
    integer = form.builtin.startswith("i32")
    value = "i32" if integer else "float"
    bytes_ = width * form.held
    packed = len(kinds) == 2 or kinds[0] == "i8"
    if packed:
        operand = "i32" if bytes_ == 4 else "i64"
    elif form.held == 1:
        operand = element
    else:
        operand = f"{element}{form.held}"
    count = form.results
    name = form.builtin
    return f"""
    typedef {value} c{name} __attribute__((ext_vector_type({count})));
    KERNEL(64) k{name}(c{name}* o, const {operand}* a, const {operand}* b, const c{name}* c) {{
      o[TID] = __builtin_amdgcn_mfma_{name}(a[TID], b[TID], c[TID], 0, 0, 0);
      {value} x = {"3" if integer else "0.5f"};
      c{name} same = x;
      o[64 + TID] = __builtin_amdgcn_mfma_{name}(a[TID], b[TID], same, 0, 0, 0);
    }}
    """


TYPES = """
typedef _Float16 half; typedef half half4 __attribute__((ext_vector_type(4)));
typedef i16 i164 __attribute__((ext_vector_type(4)));
"""


def place(form: Form, lane: int, i: int) -> tuple[int, int, int]:
    """(block, row, k) of element i of A in a lane; of B with column for row."""
    group = lane // form.size
    if form.blocks > 1:
        return group, lane % form.size, i
    return 0, lane % form.size, group * form.held + i


def result_place(form: Form, lane: int, register: int) -> tuple[int, int, int]:
    """(block, row, column) of a result register."""
    column = lane % form.size
    if form.size == 4:
        return lane // 4, register, column
    if form.size == 16:
        return register // 4, 4 * (lane // 16) + register % 4, column
    row = 8 * (register % 16 // 4) + 4 * (lane // 32) + register % 4
    return register // 16, row, column


class Matrices(unittest.TestCase):
    @each_architecture
    def test_every_form(self, architecture: str) -> None:
        forms = [form for form in FORMS if architecture in form.architectures]
        device = Device(TYPES + "".join(source(form) for form in forms), architecture)
        for seed, form in enumerate(forms):
            with self.subTest(form.builtin):
                self.check(device, form, np.random.default_rng(seed))

    def check(self, device: Device, form: Form, rng: np.random.Generator) -> None:
        kinds = form.kind.split() * 2
        raw = [operands(kind, form.held, rng) for kind in kinds[:2]]
        number = np.int32 if form.builtin.startswith("i32") else np.float32
        c = rng.integers(-50, 50, (64, form.results)).astype(number)
        out = np.zeros((2, 64, form.results), number)
        device.run(f"k{form.builtin}", out, *raw, c)
        shape = (form.blocks, form.size, form.k)
        a, b = (np.full(shape, np.nan) for _ in range(2))
        for matrix, bits, kind in zip((a, b), raw, kinds, strict=False):
            values = decode(bits, kind)
            for lane in range(64):
                for i in range(form.held):
                    matrix[place(form, lane, i)] = values[lane, i]
        product = np.einsum("bik,bjk->bij", a, b)
        for lane in range(64):
            for register in range(form.results):
                block, row, column = result_place(form, lane, register)
                exact = product[block, row, column]
                constant = 3 if number is np.int32 else 0.5
                want = np.array([exact + c[lane, register], exact + constant], np.float64)
                got = out[:, lane, register]
                np.testing.assert_array_equal(got, want.astype(number), f"{lane}, {register}")

    @each_architecture
    def test_exec_is_not_looked_at(self, architecture: str) -> None:
        """A wave of 16 threads: what the other lanes hold takes part all the same."""
        text = (
            TYPES
            + """
        typedef float f4 __attribute__((ext_vector_type(4)));
        KERNEL(64) k(f4* o, const half4* a, const half4* b) {
          half4 x = a[TID], y = b[TID]; f4 c = 0;
          asm volatile("s_mov_b64 s[8:9], exec\\ns_mov_b64 exec, 0xffff\\n"
                       "v_mfma_f32_16x16x16f16 %0, %1, %2, %0\\ns_mov_b64 exec, s[8:9]\\ns_nop 15"
                       : "+v"(c) : "v"(x), "v"(y) : "s8", "s9");
          o[TID] = c;
        }"""
        )
        form = FORMS[0]
        rng = np.random.default_rng(7)
        a, b = (operands("f16", 4, rng) for _ in range(2))
        out = np.zeros((64, 4), np.float32)
        Device(text, architecture).run("k", out, a, b)
        left, right = (np.zeros((16, 16)) for _ in range(2))
        for lane in range(64):
            for i in range(4):
                left[place(form, lane, i)[1:]] = a[lane, i]
                right[place(form, lane, i)[1:]] = b[lane, i]
        product = left @ right.T
        for lane in range(64):
            for register in range(4):
                _, row, column = result_place(form, lane, register)
                self.assertEqual(out[lane, register], product[row, column])

    @each_architecture
    def test_subnormal_halves(self, architecture: str) -> None:
        """gfx90a takes subnormal f16 operands as zero, gfx942 does not."""
        text = (
            TYPES
            + """
        typedef float f4 __attribute__((ext_vector_type(4)));
        KERNEL(64) k(f4* o, const half4* a, const half4* b) {
          f4 c = 0; o[TID] = __builtin_amdgcn_mfma_f32_16x16x16f16(a[TID], b[TID], c, 0, 0, 0);
        }"""
        )
        a = np.full((64, 4), 2.0**-20, np.float16)
        b = np.full((64, 4), 2.0, np.float16)
        out = np.full((64, 4), np.nan, np.float32)
        Device(text, architecture).run("k", out, a, b)
        self.assertEqual(
            set(out.reshape(-1).tolist()), {0.0 if architecture == "gfx90a" else 2.0**-15}
        )

    @each_architecture
    def test_fp8_conversions(self, architecture: str) -> None:
        if architecture == "gfx90a":
            return  # has none
        text = """
        KERNEL(64) k(float* o, const u32* a, u32* packed, const float* x) {
          u32 w = a[TID];
          o[TID] = __builtin_amdgcn_cvt_f32_fp8(w, 0);
          o[TID + 64] = __builtin_amdgcn_cvt_f32_fp8(w, 3);
          o[TID + 128] = __builtin_amdgcn_cvt_f32_bf8(w, 1);
          auto two = __builtin_amdgcn_cvt_pk_f32_fp8(w, false);
          o[TID + 192] = two[0]; o[TID + 256] = two[1];
          two = __builtin_amdgcn_cvt_pk_f32_bf8(w, true);
          o[TID + 320] = two[0]; o[TID + 384] = two[1];
          u32 p = __builtin_amdgcn_cvt_pk_fp8_f32(x[TID], x[TID + 64], 0xabcdef01, false);
          p = __builtin_amdgcn_cvt_pk_bf8_f32(x[TID], x[TID + 64], p, true);
          packed[TID] = p;
        }"""
        bits = np.arange(256).astype(np.uint8)
        rng = np.random.default_rng(9)
        x = (rng.standard_normal(128) * np.exp2(rng.integers(-9, 8, 128))).astype(np.float32)
        x[:6] = [0.0, -0.0, 1e-9, -1e-9, 240.0, -0.0107421875]
        out, packed = np.zeros(448, np.float32), np.zeros(64, np.uint32)
        Device(text, architecture).run("k", out, bits, packed, x)
        places = [(0, 3, 8), (3, 3, 8), (1, 2, 16), (0, 3, 8), (1, 3, 8), (2, 2, 16), (3, 2, 16)]
        for n, (byte, mantissa, bias) in enumerate(places):
            for lane in range(64):
                want = fnuz(4 * lane + byte, mantissa, bias)
                np.testing.assert_equal(float(out[64 * n + lane]), want)
        for lane in range(64):
            word = int(packed[lane])
            for i, number in enumerate((x[lane], x[lane + 64])):
                for shift, mantissa, bias in ((8 * i, 3, 8), (16 + 8 * i, 2, 16)):
                    self.nearest(word >> shift & 255, float(number), mantissa, bias)

    def nearest(self, got: int, number: float, mantissa: int, bias: int) -> None:
        """No other value is closer, and of two equally close ones the even is taken."""
        values = {code: fnuz(code, mantissa, bias) for code in range(256) if code != 0x80}
        largest = max(values.values())
        if abs(number) > largest * (1 + 2.0 ** -(mantissa + 2)):
            self.assertEqual(got, 0x80)
            return
        best = min(abs(v - number) for v in values.values())
        close = [code for code, v in values.items() if abs(v - number) == best]
        self.assertIn(got, close, number)
        if len(close) == 2:
            self.assertEqual(got % 2, 0, number)


if __name__ == "__main__":
    unittest.main()
