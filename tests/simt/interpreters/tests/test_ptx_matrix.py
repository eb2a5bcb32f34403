"""Matrix instructions: layouts as the PTX manual's figures give them, an element at a time."""

from __future__ import annotations

import struct
import unittest

import numpy as np

from ptx_probe import BASE, Arena, SimtError, engine, evaluate, kernel_text
from test_ptx_floats import bits16

LANES = range(32)
HEADER = ".version 8.7\n.target {}\n.address_size 64\n"


def small(rng, shape):
    """Numbers whose products and sums of products every format holds exactly."""
    return rng.integers(-4, 5, shape).astype(np.float32)


def bf16(values):
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def words(elements):
    """[lanes, elements] of 1, 2 or 4 bytes -> [registers][lanes] of u32, first element lowest."""
    return list(np.ascontiguousarray(elements).view(np.uint32).T)


def mma(form, a, b, c, per_lane, target="sm_80"):
    """Runs one mma with the given matrices in the layout of `per_lane`; returns D."""
    a_of, b_of, encode_a, encode_b = per_lane
    a_regs = words(np.array([[encode_a(a[at]) for at in a_of(lane)] for lane in LANES]))
    b_regs = words(np.array([[encode_b(b[at]) for at in b_of(lane)] for lane in LANES]))
    c_regs = words(np.array([[c[at] for at in accumulator(lane)] for lane in LANES], c.dtype))
    inputs = {f"a{i}": x for i, x in enumerate(a_regs)}
    inputs |= {f"b{i}": x for i, x in enumerate(b_regs)}
    inputs |= {f"c{i}": x for i, x in enumerate(c_regs)}

    def names(letter):
        return "{" + ", ".join(f"%{n}" for n in inputs if n[0] == letter) + "}"

    d = [f"d{i}" for i in range(len(c_regs))]
    register = ".f32" if c.dtype == np.float32 else ".b32"
    text = f"mma.sync.aligned.{form} {{{', '.join('%' + n for n in d)}}}, {names('a')}, {names('b')}, {names('c')};"
    if c.dtype == np.float32:  # f32 fragments want f32 registers
        fs = [f"%f{n}" for n in [*(k for k in inputs if k[0] == "c"), *d]]
        moves = "".join(f"mov.b32 %fc{i}, %c{i}; " for i in range(len(c_regs)))
        back = "".join(f"mov.b32 %d{i}, %fd{i}; " for i in range(len(d)))
        text = moves + text.replace("%c", "%fc").replace("%d", "%fd") + back
        declarations = f".reg {register} {', '.join(fs)};"
    else:
        declarations = ""
    found = evaluate(text, inputs, {n: np.uint32 for n in d}, declarations, target)
    out = np.full(c.shape, np.nan if c.dtype.kind == "f" else 99, c.dtype)
    for lane in LANES:
        own = np.array([found[n][lane] for n in d], np.uint32).view(c.dtype)
        for at, value in zip(accumulator(lane), own):
            out[at] = value
    return out


def accumulator(lane):
    group, thread = lane >> 2, lane % 4
    return [(group + (0 if i < 2 else 8), thread * 2 + (i & 1)) for i in range(4)]


def a_k16(lane):  # figure of m16n8k16 for 16-bit types
    group, thread = lane >> 2, lane % 4

    def row(i):
        return group if 0 <= i < 2 or 4 <= i < 6 else group + 8

    def column(i):
        return thread * 2 + (i & 1) + (0 if i < 4 else 8)

    return [(row(i), column(i)) for i in range(8)]


def b_k16(lane):
    group, thread = lane >> 2, lane % 4
    return [(thread * 2 + (i & 1) + (0 if i < 2 else 8), group) for i in range(4)]


def a_k8(lane):
    group, thread = lane >> 2, lane % 4
    return [(group + (0 if i < 2 else 8), thread * 2 + (i & 1)) for i in range(4)]


def b_k8(lane):
    group, thread = lane >> 2, lane % 4
    return [(thread * 2 + i, group) for i in range(2)]


def a_k32(lane):  # figure of m16n8k32 for 8-bit types
    group, thread = lane >> 2, lane % 4

    def row(i):
        return group if 0 <= i < 4 or 8 <= i < 12 else group + 8

    return [(row(i), thread * 4 + (i & 3) + (0 if i < 8 else 16)) for i in range(16)]


def b_k32(lane):
    group, thread = lane >> 2, lane % 4
    return [(thread * 4 + (i & 3) + (0 if i < 4 else 16), group) for i in range(8)]


def a_tf32(lane):
    group, thread = lane >> 2, lane % 4
    return [(group + 8 * (i % 2), thread + 4 * (i // 2)) for i in range(4)]


def b_tf32(lane):
    group, thread = lane >> 2, lane % 4
    return [(thread + 4 * i, group) for i in range(2)]


class Products(unittest.TestCase):
    def setUp(self):
        self.rng = np.random.default_rng(7)

    def matrices(self, k, dtype=np.float32):
        a, b, c = (small(self.rng, shape) for shape in ((16, k), (k, 8), (16, 8)))
        return a, b, c.astype(dtype)

    def test_f16_and_bf16(self):
        for k, a_of, b_of in ((16, a_k16, b_k16), (8, a_k8, b_k8)):
            for kind, encode in (("f16", np.float16), ("bf16", lambda x: bf16(np.array([x]))[0])):
                a, b, c = self.matrices(k)
                form = f"m16n8k{k}.row.col.f32.{kind}.{kind}.f32"
                found = mma(form, a, b, c, (a_of, b_of, encode, encode))
                np.testing.assert_array_equal(found, a @ b + c, form)

    def test_integers(self):
        a = self.rng.integers(-128, 128, (16, 32))
        b = self.rng.integers(0, 256, (32, 8))
        c = self.rng.integers(-1000, 1000, (16, 8)).astype(np.int32)
        form = "m16n8k32.row.col.s32.s8.u8.s32"
        found = mma(form, a, b, c, (a_k32, b_k32, np.int8, np.uint8))
        np.testing.assert_array_equal(found, a @ b + c)

    def test_tf32(self):
        a, b, c = self.matrices(8)
        form = "m16n8k8.row.col.f32.tf32.tf32.f32"
        found = mma(form, a, b, c, (a_tf32, b_tf32, np.float32, np.float32))
        np.testing.assert_array_equal(found, a @ b + c)

    def test_sums_are_f32(self):
        """A sum that only float32 or better holds."""
        a, b = np.zeros((16, 16), np.float32), np.zeros((16, 8), np.float32)
        a[:, 0], a[:, 1], b[:2] = 1024, 1, 1
        c = np.full((16, 8), 2.0**-8, np.float32)

        def encode(x):
            return bf16(np.array([x]))[0]

        form = "m16n8k16.row.col.f32.bf16.bf16.f32"
        found = mma(form, a, b, c, (a_k16, b_k16, encode, encode))
        np.testing.assert_array_equal(found, np.full((16, 8), 1025 + 2.0**-8))

    def test_every_warp_has_its_own(self):
        rng = np.random.default_rng(2)
        inputs = {f"r{i}": rng.integers(0x3C00, 0x4000, (128, 2)).astype(np.uint16).view(np.uint32)[:, 0]
                  for i in range(6)}  # fmt: skip
        text = """mov.f32 %f0, 0f00000000; mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
            {%d, %f1, %f2, %f3}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f0, %f0, %f0, %f0};"""

        def run(x):
            return evaluate(text, x, {"d": np.float32}, ".reg .f32 %f<4>;")["d"]

        whole = run(inputs)
        parts = [run({n: x[w * 32 :][:32] for n, x in inputs.items()}) for w in range(4)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
        self.assertGreater(len(set(whole)), 100)


class MatrixMoves(unittest.TestCase):
    TILE = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)

    def load(self, form, count, offset=0):
        """Loads matrices that lie with 80 bytes from row to row; lane l gives row l % 8 of matrix l / 8."""
        pitch = 80
        names = ", ".join(f"%d{i}" for i in range(count))
        body = f"""mov.u32 %s, tile; shr.u32 %m, %thread, 3; mad.lo.u32 %at, %m, {8 * pitch}, %s;
            and.b32 %m, %thread, 7; mad.lo.u32 %at, %m, {pitch}, %at;
            st.shared.v4.u32 [%at], {{%w0, %w1, %w2, %w3}}; bar.warp.sync -1; add.u32 %at, %at, {offset};
            ldmatrix.sync.aligned.m8n8.{form}.b16 {{{names}}}, [%at];"""
        rows = self.TILE.reshape(32, 8).view(np.uint32)
        inputs = {f"w{i}": rows[:, i] for i in range(4)}
        found = evaluate(
            body,
            inputs,
            {f"d{i}": np.uint32 for i in range(count)},
            f".reg .b32 %s, %at, %m; .shared .align 16 .b8 tile[{32 * pitch}];",
        )
        return [found[f"d{i}"].view(np.uint16).reshape(32, 2) for i in range(count)]

    def test_each_form(self):
        for count in (1, 2, 4):
            for number, found in enumerate(self.load(f"x{count}.shared", count)):
                for lane in LANES:
                    row = self.TILE[number, lane // 4]
                    self.assertEqual(list(found[lane]), list(row[lane % 4 * 2 :][:2]))
            for number, found in enumerate(self.load(f"x{count}.trans.shared", count)):
                for lane in LANES:
                    column = self.TILE[number, :, lane // 4]
                    self.assertEqual(list(found[lane]), list(column[lane % 4 * 2 :][:2]))

    def test_rows_must_lie_at_16_bytes(self):
        with self.assertRaisesRegex(SimtError, "misaligned: 16 bytes.*ldmatrix"):
            self.load("x4.shared", 4, offset=8)

    def test_movmatrix(self):
        tile = np.arange(64, dtype=np.uint16).reshape(8, 8)
        inputs = {"a": tile.reshape(32, 2).view(np.uint32)[:, 0]}
        text = "movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;"
        found = evaluate(text, inputs, {"d": np.uint32})["d"]
        np.testing.assert_array_equal(found.view(np.uint16).reshape(8, 8), tile.T)

    def test_stmatrix_is_the_reverse_of_ldmatrix(self):
        rng = np.random.default_rng(1)
        for form in ("x4", "x2.trans"):
            count = int(form[1])
            names = ", ".join(f"%r{i}" for i in range(count))
            inputs = {f"r{i}": rng.integers(0, 1 << 32, 32).astype(np.uint32) for i in range(count)}
            outs = ", ".join(f"%d{i}" for i in range(count))
            text = f"""mov.u32 %s, tile; mad.lo.u32 %s, %thread, 16, %s;
                stmatrix.sync.aligned.m8n8.{form}.shared.b16 [%s], {{{names}}}; bar.warp.sync -1;
                ldmatrix.sync.aligned.m8n8.{form}.shared.b16 {{{outs}}}, [%s];"""
            found = evaluate(
                text,
                inputs,
                {f"d{i}": np.uint32 for i in range(count)},
                ".reg .b32 %s; .shared .align 16 .b8 tile[512];",
                "sm_90a",
            )
            for i in range(count):
                np.testing.assert_array_equal(found[f"d{i}"], inputs[f"r{i}"])


GEMM = """
.extern .shared .align 1024 .b8 tiles[];
.visible .entry gemm(.param .align 64 .b8 map_a[128], .param .align 64 .b8 map_b[128], .param .u64 out)
{
.reg .b32 %r<20>; .reg .b64 %rd<10>; .reg .f32 %f<4>; .reg .pred %p<4>;
.shared .align 8 .b64 bar;
mov.u32 %r1, %tid.x; mov.u32 %r2, tiles; mov.u32 %r3, bar; add.s32 %r8, %r2, 8192;
mov.b64 %rd1, map_a; mov.b64 %rd2, map_b; mov.u32 %r7, 0;
setp.ne.u32 %p1, %r1, 0; @%p1 bra ready;
mbarrier.init.shared::cta.b64 [%r3], 1;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], EXPECT;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r2], [%rd1, {%r7, %r7}], [%r3];
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r8], [%rd2, {%r7, %r7}], [%r3];
ready: bar.sync 0;
wait: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r3], PARITY; @!%p2 bra wait;
mov.f32 %f0, 0f00000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;
mov.u32 %r4, 0;
again:
shl.b32 %r5, %r4, 5; add.s32 %r6, %r2, %r5; shr.u32 %r6, %r6, 4; cvt.u64.u32 %rd3, %r6;
or.b64 %rd3, %rd3, 0x4000004000010000;
add.s32 %r6, %r8, %r5; shr.u32 %r6, %r6, 4; cvt.u64.u32 %rd4, %r6; or.b64 %rd4, %rd4, 0x4000004000010000;
wgmma.fence.sync.aligned;
wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %rd3, %rd4, 1, 1, 1, 0, 0;
wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
add.s32 %r4, %r4, 1; setp.lt.s32 %p3, %r4, 4; @%p3 bra again;
ld.param.u64 %rd5, [out]; mad.wide.u32 %rd5, %r1, 16, %rd5; st.global.v4.f32 [%rd5], {%f0, %f1, %f2, %f3};
ret;
}
"""


class Hopper(unittest.TestCase):
    def gemm(self, expect=8192 + 1024, parity=0):
        """One tile of 64 x 8 over 64, its operands loaded by TMA; A has only 60 rows."""
        from ptx.ops.hopper import tensor_map

        rng, arena = np.random.default_rng(3), Arena()
        a, b = small(rng, (60, 64)), small(rng, (8, 64))
        a_at, b_at = arena.put(bf16(a)), arena.put(bf16(b))
        out = arena.put(np.full(64 * 8, np.nan, np.float32))
        params = tensor_map(a_at, 64, 60, 128, 64, 64, 2, 3) + tensor_map(
            b_at, 64, 8, 128, 64, 8, 2, 3
        )
        text = HEADER.format("sm_90a") + GEMM
        text = text.replace("EXPECT", str(expect)).replace("PARITY", str(parity))
        made = engine(text, "sm_90a")
        params += struct.pack("<Q", out)
        made.launch("gemm", (1, 1, 1), 128, 8192 + 1024, params, arena.memory())
        own = arena.get(out, np.float32, 64 * 8).reshape(128, 4)
        found = np.zeros((64, 8), np.float32)
        for thread in range(128):
            for i, (row, column) in enumerate(accumulator(thread % 32)):
                found[thread // 32 * 16 + row, column] = own[thread, i]
        return found, np.concatenate([a, np.zeros((4, 64), np.float32)]) @ b.T

    def test_product_of_tiles(self):
        found, want = self.gemm()
        np.testing.assert_array_equal(found, want)
        self.assertGreater(len(np.unique(found)), 50)

    def test_swizzles_exchange_pieces_of_16_bytes(self):
        """Row r of 128 bytes has piece c at c ^ (r % 8); narrower patterns repeat over more rows."""
        from ptx.ops.hopper import swizzle

        for bits, pieces in ((3, 8), (2, 4), (1, 2)):
            pitch = 16 * pieces
            for row in range(16):
                line = row * pitch // 128  # of shared memory's 32 banks
                for piece in range(pieces):
                    first = row * pitch // 16 + piece
                    want = (first & ~(pieces - 1)) | (first ^ line) & (pieces - 1)
                    at = int(swizzle(np.array([row * pitch + 16 * piece + 6]), bits)[0])
                    self.assertEqual(at, 16 * want + 6)

    def test_waiting_for_more_bytes_than_come_never_ends(self):
        with self.assertRaisesRegex(SimtError, "deadlock:.*mbarrier.try_wait"):
            self.gemm(expect=8192 + 1024 + 16)

    def test_data_lands_no_sooner_than_the_wait_promises(self):
        """Half the bytes let threads on before the second tile; the other parity, before both."""
        for wrong in ({"expect": 8192}, {"parity": 1}):
            found, want = self.gemm(**wrong)
            self.assertTrue(np.isnan(found).all(), wrong)  # poison


class Helpers(unittest.TestCase):
    def test_probe_reaches_both_ends(self):
        """The helper of these tests: what is read is what was put, and gaps are out of bounds."""
        self.assertEqual(float(bits16(bf16(np.array([2.0])))[0]), 2.0)
        arena = Arena()
        first, second = arena.put(np.zeros(3, np.uint8)), arena.put(np.zeros(5, np.uint8))
        self.assertGreater(second, first + 3 + 256)
        self.assertGreaterEqual(first, BASE)
        text = kernel_text("mov.u32 %d, 1;", {"a": np.zeros(1, np.uint32)}, {"d": np.uint32})
        self.assertIn(".target sm_80", text)


if __name__ == "__main__":
    unittest.main()
