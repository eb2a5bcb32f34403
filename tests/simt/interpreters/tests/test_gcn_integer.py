"""Integer instructions of AMD code objects, one by one, against Python's integers."""

from __future__ import annotations

import random
import unittest
from collections.abc import Callable

import numpy as np

from gcn_probe import Device, assembly_kernel, each_architecture

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def s(x: int, bits: int = 32) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def halves(compute: Callable[..., int], *words: int) -> int:
    return sum((compute(*(w >> 16 * h & 0xFFFF for w in words)) & 0xFFFF) << 16 * h for h in (0, 1))


def bfe(x: int, at: int, width: int, signed: bool) -> int:
    at, width = at & 31, width & 31
    found = (x >> at if not signed else s(x) >> at) & ((1 << width) - 1)
    return s(found, width) if signed and width else found


def perm(a: int, b: int, selector: int) -> int:
    pool = [b >> 8 * i & 255 for i in range(4)] + [a >> 8 * i & 255 for i in range(4)]
    out = 0
    for i in range(4):
        code = selector >> 8 * i & 255
        if code < 8:
            byte = pool[code]
        elif code < 12:
            byte = 255 if pool[2 * (code - 8) + 1] & 128 else 0
        else:
            byte = 0 if code == 12 else 255
        out |= byte << 8 * i
    return out


def median(*x: int) -> int:
    return sorted(x)[1]


U24 = (1 << 24) - 1

# name: (sources, what it computes)
WORDS: dict[str, tuple[int, Callable[..., int]]] = {
    "v_add_u32": (2, lambda a, b: a + b),
    "v_sub_u32": (2, lambda a, b: a - b),
    "v_subrev_u32": (2, lambda a, b: b - a),
    "v_and_b32": (2, lambda a, b: a & b),
    "v_or_b32": (2, lambda a, b: a | b),
    "v_xor_b32": (2, lambda a, b: a ^ b),
    "v_xnor_b32": (2, lambda a, b: ~(a ^ b)),
    "v_not_b32": (1, lambda a: ~a),
    "v_lshlrev_b32": (2, lambda a, b: b << (a & 31)),
    "v_lshrrev_b32": (2, lambda a, b: b >> (a & 31)),
    "v_ashrrev_i32": (2, lambda a, b: s(b) >> (a & 31)),
    "v_mul_lo_u32": (2, lambda a, b: a * b),
    "v_mul_hi_u32": (2, lambda a, b: a * b >> 32),
    "v_mul_hi_i32": (2, lambda a, b: s(a) * s(b) >> 32),
    "v_mul_u32_u24": (2, lambda a, b: (a & U24) * (b & U24)),
    "v_mul_hi_u32_u24": (2, lambda a, b: (a & U24) * (b & U24) >> 32),
    "v_mul_i32_i24": (2, lambda a, b: s(a, 24) * s(b, 24)),
    "v_mul_hi_i32_i24": (2, lambda a, b: s(a, 24) * s(b, 24) >> 32),
    "v_mad_u32_u24": (3, lambda a, b, c: (a & U24) * (b & U24) + c),
    "v_mad_i32_i24": (3, lambda a, b, c: s(a, 24) * s(b, 24) + c),
    "v_max_u32": (2, max),
    "v_min_u32": (2, min),
    "v_max_i32": (2, lambda a, b: max(s(a), s(b))),
    "v_min_i32": (2, lambda a, b: min(s(a), s(b))),
    "v_max3_i32": (3, lambda a, b, c: max(s(a), s(b), s(c))),
    "v_min3_u32": (3, min),
    "v_med3_u32": (3, median),
    "v_med3_i32": (3, lambda a, b, c: median(s(a), s(b), s(c))),
    "v_add3_u32": (3, lambda a, b, c: a + b + c),
    "v_lshl_add_u32": (3, lambda a, b, c: (a << (b & 31)) + c),
    "v_add_lshl_u32": (3, lambda a, b, c: (a + b) << (c & 31)),
    "v_lshl_or_b32": (3, lambda a, b, c: a << (b & 31) | c),
    "v_and_or_b32": (3, lambda a, b, c: a & b | c),
    "v_or3_b32": (3, lambda a, b, c: a | b | c),
    "v_xad_u32": (3, lambda a, b, c: (a ^ b) + c),
    "v_bfi_b32": (3, lambda a, b, c: a & b | ~a & c),
    "v_bfe_u32": (3, lambda a, b, c: bfe(a, b, c, False)),
    "v_bfe_i32": (3, lambda a, b, c: bfe(a, b, c, True)),
    "v_bfm_b32": (2, lambda a, b: ((1 << (a & 31)) - 1) << (b & 31)),
    "v_alignbit_b32": (3, lambda a, b, c: (a << 32 | b) >> (c & 31)),
    "v_alignbyte_b32": (3, lambda a, b, c: (a << 32 | b) >> 8 * (c & 3)),
    "v_perm_b32": (3, perm),
    "v_bfrev_b32": (1, lambda a: int(f"{a:032b}"[::-1], 2)),
    "v_bcnt_u32_b32": (2, lambda a, b: a.bit_count() + b),
    "v_ffbh_u32": (1, lambda a: 32 - a.bit_length() if a else -1),
    "v_ffbl_b32": (1, lambda a: (a & -a).bit_length() - 1),
    "v_ffbh_i32": (
        1,
        lambda a: -1 if s(a) in (0, -1) else 32 - (a ^ (s(a) >> 31) & M32).bit_length(),
    ),
    "v_sad_u32": (3, lambda a, b, c: abs(a - b) + c),
    "v_sad_u8": (
        3,
        lambda a, b, c: sum(abs((a >> i & 255) - (b >> i & 255)) for i in (0, 8, 16, 24)) + c,
    ),
    "v_add_u16": (2, lambda a, b: (a + b) & 0xFFFF),
    "v_sub_u16": (2, lambda a, b: (a - b) & 0xFFFF),
    "v_mul_lo_u16": (2, lambda a, b: (a & 0xFFFF) * (b & 0xFFFF) & 0xFFFF),
    "v_lshlrev_b16": (2, lambda a, b: (b << (a & 15)) & 0xFFFF),
    "v_lshrrev_b16": (2, lambda a, b: (b & 0xFFFF) >> (a & 15)),
    "v_ashrrev_i16": (2, lambda a, b: (s(b, 16) >> (a & 15)) & 0xFFFF),
    "v_max_i16": (2, lambda a, b: max(s(a, 16), s(b, 16)) & 0xFFFF),
    "v_min_u16": (2, lambda a, b: min(a & 0xFFFF, b & 0xFFFF)),
    "v_mad_u32_u16": (3, lambda a, b, c: (a & 0xFFFF) * (b & 0xFFFF) + c),
    "v_mad_i32_i16": (3, lambda a, b, c: s(a, 16) * s(b, 16) + c),
    "v_pack_b32_f16": (2, lambda a, b: a & 0xFFFF | (b & 0xFFFF) << 16),
    "v_pk_add_u16": (2, lambda a, b: halves(lambda x, y: x + y, a, b)),
    "v_pk_sub_i16": (2, lambda a, b: halves(lambda x, y: x - y, a, b)),
    "v_pk_mul_lo_u16": (2, lambda a, b: halves(lambda x, y: x * y, a, b)),
    "v_pk_mad_u16": (3, lambda a, b, c: halves(lambda x, y, z: x * y + z, a, b, c)),
    "v_pk_max_i16": (2, lambda a, b: halves(lambda x, y: max(s(x, 16), s(y, 16)), a, b)),
    "v_pk_min_u16": (2, lambda a, b: halves(min, a, b)),
    "v_pk_lshlrev_b16": (2, lambda a, b: halves(lambda x, y: y << (x & 15), a, b)),
    "v_pk_ashrrev_i16": (2, lambda a, b: halves(lambda x, y: s(y, 16) >> (x & 15), a, b)),
    "v_cvt_pk_u16_u32": (2, lambda a, b: min(a, 65535) | min(b, 65535) << 16),
    "v_dot4_u32_u8": (
        3,
        lambda a, b, c: sum((a >> i & 255) * (b >> i & 255) for i in (0, 8, 16, 24)) + c,
    ),
    "v_dot4_i32_i8": (
        3,
        lambda a, b, c: sum(s(a >> i, 8) * s(b >> i, 8) for i in (0, 8, 16, 24)) + c,
    ),
}
# the same with constants and modifiers: (template, sources, what it computes)
FORMS: dict[str, tuple[str, int, Callable[..., int]]] = {
    "inline_constant": ("v_add_u32 %0, -16, %1", 1, lambda a: a - 16),
    "literal": ("v_xor_b32 %0, 0x12345678, %1", 1, lambda a: a ^ 0x12345678),
    "float_constant": ("v_add_u32 %0, 1.0, %1", 1, lambda a: a + 0x3F800000),
    "saturating_sum": ("v_add_u32 %0, %1, %2 clamp", 2, lambda a, b: min(a + b, M32)),
    "saturating_difference": ("v_sub_u32 %0, %1, %2 clamp", 2, lambda a, b: max(a - b, 0)),
    "perm_by_constant": ("s_mov_b32 s9, 0x07060302\\nv_perm_b32 %0, %1, %2, s9", 2,
                         lambda a, b: perm(a, b, 0x07060302)),
    "sdwa_source": ("v_add_u32_sdwa %0, %1, %2 dst_sel:DWORD src0_sel:BYTE_1 src1_sel:WORD_1", 2,
                    lambda a, b: (a >> 8 & 255) + (b >> 16)),
    "sdwa_signed": ("v_add_u32_sdwa %0, sext(%1), %2 dst_sel:DWORD src0_sel:BYTE_3 src1_sel:DWORD",
                    2, lambda a, b: s(a >> 24, 8) + b),
    "sdwa_padded": ("v_or_b32_sdwa %0, %1, %2 dst_sel:WORD_1 dst_unused:UNUSED_PAD src0_sel:WORD_0"
                    " src1_sel:BYTE_2", 2, lambda a, b: (a & 0xFFFF | b >> 16 & 255) << 16),
    "sdwa_sign_filled": ("v_and_b32_sdwa %0, %1, %2 dst_sel:BYTE_1 dst_unused:UNUSED_SEXT"
                         " src0_sel:DWORD src1_sel:DWORD", 2,
                         lambda a, b: s(a & b, 8) << 8),
    "sdwa_kept": ("v_mov_b32 %0, %2\\nv_mov_b32_sdwa %0, %1 dst_sel:BYTE_2"
                  " dst_unused:UNUSED_PRESERVE src0_sel:BYTE_0", 2,
                  lambda a, b: b & 0xFF00FFFF | (a & 255) << 16),
    "op_sel_sources": ("v_mad_u32_u16 %0, %1, %2, %3 op_sel:[1,0,0,0]", 3,
                       lambda a, b, c: (a >> 16) * (b & 0xFFFF) + c),
    "op_sel_packed": ("v_pk_add_u16 %0, %1, %2 op_sel:[1,0] op_sel_hi:[0,1]", 2,
                      lambda a, b: (a >> 16) + b & 0xFFFF | (a + (b >> 16) & 0xFFFF) << 16),
    "kept_half": ("v_mov_b32 %0, %3\\nv_mad_u16 %0, %1, %2, 1 op_sel:[0,0,0,1]", 3,
                  lambda a, b, c: c & 0xFFFF | (a * b + 1 & 0xFFFF) << 16),
    "carry_out_and_in": ("v_add_co_u32 %0, vcc, %1, %2\\nv_addc_co_u32 %0, vcc, %3, %1, vcc", 3,
                         lambda a, b, c: c + a + (a + b >> 32)),
    "borrow_out_and_in": ("v_sub_co_u32 %0, vcc, %1, %2\\nv_subb_co_u32 %0, vcc, %3, %1, vcc", 3,
                          lambda a, b, c: c - a - int(a < b)),
    "select": ("v_cmp_lt_i32 vcc, %1, %2\\nv_cndmask_b32 %0, %2, %3, vcc", 3,
               lambda a, b, c: c if s(a) < s(b) else b),
    "select_with_signs": ("v_cmp_lt_u32 vcc, %1, %2\\nv_cndmask_b32_e64 %0, -%2, |%3|, vcc", 3,
                          lambda a, b, c: c & 0x7FFFFFFF if a < b else b ^ 0x80000000),
    "compare_sdwa": ("v_cmp_eq_u16_sdwa vcc, %1, %2 src0_sel:BYTE_0 src1_sel:BYTE_1\\n"
                     "v_cndmask_b32 %0, %1, %2, vcc", 2,
                     lambda a, b: b if a & 255 == b >> 8 & 255 else a),
}  # fmt: skip
PAIRS: dict[str, tuple[str, int, Callable[..., int]]] = {
    "v_lshlrev_b64": ("v_lshlrev_b64 %0, 7, %1", 1, lambda a: a << 7),
    "v_lshrrev_b64": ("v_lshrrev_b64 %0, 41, %1", 1, lambda a: a >> 41),
    "v_ashrrev_i64": ("v_ashrrev_i64 %0, 33, %1", 1, lambda a: s(a, 64) >> 33),
    "v_cmp_lt_i64": ("v_cmp_lt_i64 vcc, %1, %2\\nv_lshlrev_b64 %0, 1, %1\\n"
                     "s_and_saveexec_b64 s[8:9], vcc\\nv_lshlrev_b64 %0, 2, %2\\n"
                     "s_or_b64 exec, exec, s[8:9]", 2,
                     lambda a, b: b << 2 if s(a, 64) < s(b, 64) else a << 1),
}  # fmt: skip


def operands(count: int, words: int, seed: int) -> list[np.ndarray]:
    """64 lanes of each operand: what is at the edges of ranges, small numbers, and any."""
    chance = random.Random(seed)
    bits = 32 * words
    top = 1 << bits
    edges = [0, 1, top - 1, top >> 1, (top >> 1) - 1, 0x8000, 0x7FFF, 0xFFFF, 0x800000, 0xFFFFFF]
    columns = []
    for _ in range(count):
        pool = edges + [chance.randrange(64) for _ in range(14)]
        pool += [chance.getrandbits(bits) >> chance.randrange(bits) for _ in range(40)]
        chance.shuffle(pool)
        columns.append(np.array(pool, np.uint32 if words == 1 else np.uint64))
    return columns


class Integers(unittest.TestCase):
    def check(
        self,
        architecture: str,
        table: dict[str, tuple[str, int, Callable[..., int]]],
        words: int,
    ) -> None:
        source = "".join(
            assembly_kernel(f"k_{name}", template, words, count, words)
            for name, (template, count, _) in table.items()
        )
        device = Device(source, architecture)
        mask = M32 if words == 1 else M64
        for seed, (name, (template, count, compute)) in enumerate(table.items()):
            values = operands(count, words, seed)
            out = np.full(64, 0x5A5A5A5A, np.uint32 if words == 1 else np.uint64)
            device.run(f"k_{name}", out, *values)
            lanes = list(zip(*(x.tolist() for x in values), strict=True))
            expected = [compute(*lane) & mask for lane in lanes]
            for lane, got, want in zip(lanes, out.tolist(), expected, strict=True):
                self.assertEqual(hex(got), hex(want), f"{template} of {[hex(x) for x in lane]}")

    @each_architecture
    def test_words(self, architecture: str) -> None:
        table = {
            name: (f"{name} %0, " + ", ".join(f"%{i + 1}" for i in range(count)), count, compute)
            for name, (count, compute) in WORDS.items()
        }
        self.check(architecture, table, 1)

    @each_architecture
    def test_forms(self, architecture: str) -> None:
        self.check(architecture, FORMS, 1)

    @each_architecture
    def test_pairs(self, architecture: str) -> None:
        table = dict(PAIRS)
        if architecture == "gfx942":
            table["v_lshl_add_u64"] = (
                "v_lshl_add_u64 %0, %1, 3, %2", 2, lambda a, b: (a << 3) + b,
            )  # fmt: skip
        self.check(architecture, table, 2)

    @each_architecture
    def test_wide_products(self, architecture: str) -> None:
        """As the compiler writes them: 64-bit products, quotients and comparisons."""
        source = """
        KERNEL(64) wide(i64* o, const i64* a, const i64* b) {
          int t = TID; i64 x = a[t], y = b[t];
          o[t] = x * y; o[t + 64] = x / y; o[t + 128] = x % y;
          o[t + 192] = (u64)x / (u64)y; o[t + 256] = x < y; o[t + 320] = (i64)(i32)x * (i32)y;
          o[t + 384] = (u64)(u32)x * (u32)y + (u64)y;
          o[t + 448] = __builtin_popcountll(x) + 100 * __builtin_clzll(x | 1) +
                       10000 * __builtin_ctzll(y);
        }"""
        a, b = (x.view(np.int64) for x in operands(2, 2, 5))
        b[b == 0] = 7
        b[(b == -1) & (a == np.iinfo(np.int64).min)] = 3
        out = np.zeros(512, np.int64)
        Device(source, architecture).run("wide", out, a, b)
        for lane, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
            quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
            ux, uy = x & M64, y & M64
            expected = [
                x * y,
                quotient,
                x - quotient * y,
                ux // uy,
                int(x < y),
                s(x) * s(y),
                (ux & M32) * (uy & M32) + uy,
                ux.bit_count()
                + 100 * (64 - (ux | 1).bit_length())
                + 10000 * ((uy & -uy).bit_length() - 1),
            ]
            got = out[lane::64].tolist()
            self.assertEqual(got, [s(value, 64) for value in expected], f"lane {lane}: {x}, {y}")


if __name__ == "__main__":
    unittest.main()
