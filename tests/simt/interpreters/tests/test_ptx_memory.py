"""Loads, stores, atomics, background copies, and what is said of accesses that are wrong."""

from __future__ import annotations

import struct
import unittest

import numpy as np

from ptx_probe import Arena, SimtError, engine, evaluate, kernel_text

COUNT = 64
THREADS = np.arange(COUNT, dtype=np.uint32)


def fault(body, inputs=None, declarations="", shared=0, module="", **options):
    """What the launch says when it fails."""
    inputs = {"a": THREADS} if inputs is None else inputs
    try:
        evaluate(
            body, inputs, {"d": np.uint32}, declarations, shared=shared, module=module, **options
        )
    except SimtError as error:
        return str(error)
    raise AssertionError("the launch went well")


class Loads(unittest.TestCase):
    def run_over(self, data, body, output, declarations, count=COUNT):
        """Runs a body that knows the address of `data` as %base."""
        arena = Arena()
        at, out = arena.put(data), arena.put(np.zeros(count, output))
        inputs = {"base": np.full(count, at, np.uint64)}
        addresses = [arena.put(inputs["base"]), out]
        text = kernel_text(body, inputs, {"d": output}, declarations)
        params = struct.pack("<2Q", *addresses)
        engine(text).launch("probe", (1, 1, 1), count, 0, params, arena.memory())
        return arena.get(out, output, count), arena, at

    def test_every_width_with_sign(self):
        rng = np.random.default_rng(1)
        data = rng.integers(0, 256, COUNT * 8, np.uint8)
        for kind in ("u8", "s8", "u16", "s16", "u32", "s32"):
            size = int(kind[1:]) // 8
            body = f"mad.wide.u32 %base, %thread, {size}, %base; ld.global.{kind} %d, [%base];"
            found, _, _ = self.run_over(data, body, np.uint32, "")
            dtype = np.dtype(f"{'i' if kind[0] == 's' else 'u'}{size}")
            want = data[: COUNT * size].view(dtype).astype(np.int64).astype(np.uint32)
            np.testing.assert_array_equal(found, want, kind)

    def test_vectors_and_hints(self):
        data = np.arange(4 * COUNT, dtype=np.uint32) * np.uint32(0x01010101)
        body = """mad.wide.u32 %base, %thread, 16, %base;
            ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%w, %x, %y, %z}, [%base];
            xor.b32 %w, %w, %x; xor.b32 %y, %y, %z; mul.lo.u32 %d, %w, %y;"""
        found, _, _ = self.run_over(data, body, np.uint32, ".reg .b32 %w, %x, %y, %z;")
        w, x, y, z = data.reshape(-1, 4).T
        np.testing.assert_array_equal(found, (w ^ x) * (y ^ z))

    def test_guarded_store_and_offset(self):
        body = """and.b32 %r, %thread, 3; setp.eq.u32 %p, %r, 1;
            mad.wide.u32 %base, %thread, 4, %base; mov.u32 %d, 0;
            @%p st.global.u32 [%base+-4], %thread; @!%p mov.u32 %d, 7;"""
        data = np.zeros(COUNT, np.uint32)
        found, arena, at = self.run_over(data, body, np.uint32, ".reg .b32 %r; .reg .pred %p;")
        want = np.zeros(COUNT, np.uint32)
        want[0:COUNT:4] = np.arange(1, COUNT, 4)
        np.testing.assert_array_equal(arena.get(at, np.uint32, COUNT), want)
        np.testing.assert_array_equal(found, np.where(THREADS % 4 == 1, 0, 7))

    def test_parameters(self):
        text = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry probe(.param .u64 out, .param .align 8 .b8 args[40])
{
.reg .b64 %out, %at, %x; .reg .b32 %t, %y, %z;
ld.param.u64 %out, [out];
mov.u32 %t, %tid.x;
mov.b64 %at, args;
mad.wide.u32 %at, %t, 4, %at;
ld.param.u32 %y, [%at+8];
ld.param.v2.u32 {%z, _}, [args+24];
add.u32 %y, %y, %z;
cvta.param.u64 %x, %at; ld.u32 %z, [%x+12]; mad.lo.u32 %y, %z, 1000, %y;
mad.wide.u32 %out, %t, 4, %out;
st.global.u32 [%out], %y;
ret;
}"""
        arena = Arena()
        out = arena.put(np.zeros(4, np.uint32))
        params = struct.pack("<Q10I", out, *range(100, 110))
        engine(text).launch("probe", (1, 1, 1), 4, 0, params, arena.memory())
        want = np.arange(102, 106) + 106 + 1000 * np.arange(103, 107)
        np.testing.assert_array_equal(arena.get(out, np.uint32, 4), want)

    def test_shared_memory_of_each_block(self):
        body = """mov.u32 %t, %tid.x; mov.u32 %n, %ntid.x; shl.b32 %at, %t, 2;
            mov.u32 %s, tile; add.u32 %at, %at, %s; st.shared.u32 [%at], %a; bar.sync 0;
            sub.u32 %n, %n, 1; sub.u32 %n, %n, %t; shl.b32 %at, %n, 2; add.u32 %at, %at, %s;
            ld.shared.u32 %d, [%at];"""
        declarations = ".reg .b32 %t, %n, %at, %s; .shared .align 16 .b8 tile[64];"
        found = evaluate(body, {"a": THREADS}, {"d": np.uint32}, declarations, block=16)["d"]
        np.testing.assert_array_equal(found, THREADS.reshape(-1, 16)[:, ::-1].reshape(-1))

    def test_dynamic_shared_memory_lies_behind_static(self):
        module = ".extern .shared .align 16 .b8 dynamic[];"
        declarations = ".reg .b32 %s, %t; .shared .align 4 .b8 mine[20];"
        body = "mov.u32 %s, mine; mov.u32 %t, dynamic; sub.u32 %d, %t, %s;"
        found = evaluate(
            body, {"a": THREADS}, {"d": np.uint32}, declarations, shared=64, module=module
        )["d"]
        self.assertEqual(set(found), {32})

    def test_local_and_generic_addresses(self):
        body = """mov.u64 %SPL, depot; cvta.local.u64 %SP, %SPL;
            st.local.u32 [%SPL+4], %a; add.u64 %x, %SP, 4; ld.u32 %d, [%x];
            mov.u32 %s, tile; cvt.u64.u32 %y, %s; cvta.shared.u64 %y, %y;
            setp.gt.u32 %p, %a, 31; mov.u32 %t, %tid.x;
            st.u32 [%x], 5; mad.wide.u32 %y, %t, 4, %y; st.u32 [%y], %a;
            selp.u64 %x, %x, %y, %p; ld.u32 %s, [%x]; mad.lo.u32 %d, %d, 100, %s;"""
        declarations = """.local .align 8 .b8 depot[16]; .shared .align 4 .b8 tile[256];
            .reg .b64 %SP, %SPL, %x, %y; .reg .b32 %s, %t; .reg .pred %p;"""
        found = evaluate(body, {"a": THREADS}, {"d": np.uint32}, declarations, block=64)["d"]
        np.testing.assert_array_equal(found, THREADS * 100 + np.where(THREADS > 31, 5, THREADS))

    def test_tables_of_the_module(self):
        module = """.const .align 4 .u32 table[4] = {10, 20, 0x1E, 40};
            .global .b8 bytes[4] = {1, 2, 3, 4}; .global .align 8 .u64 pointer[1] = {generic(bytes)};
            .global .align 4 .f32 real[2] = {0f3FC00000, 0f40000000};"""
        body = """and.b32 %t, %a, 3; mov.u64 %x, table; mad.wide.u32 %x, %t, 4, %x; ld.const.u32 %d, [%x];
            ld.global.u64 %x, [pointer]; cvt.u64.u32 %y, %t; add.u64 %x, %x, %y; ld.u8 %t, [%x];
            add.u32 %d, %d, %t; ld.global.f32 %f, [real+4]; cvt.rzi.u32.f32 %t, %f; mad.lo.u32 %d, %t, 1000, %d;"""
        declarations = ".reg .b64 %x, %y; .reg .b32 %t; .reg .f32 %f;"
        found = evaluate(body, {"a": THREADS}, {"d": np.uint32}, declarations, module=module)["d"]
        np.testing.assert_array_equal(found, 2000 + (THREADS % 4) * 11 + 11)

    def test_functions_are_called(self):
        module = """.func (.param .b32 result) twice(.param .b32 x, .param .b64 unused)
            { .reg .b32 %r<3>; .reg .pred %p; ld.param.b32 %r1, [x]; setp.gt.u32 %p, %r1, 9;
              @%p bra big; shl.b32 %r2, %r1, 1; st.param.b32 [result], %r2; ret;
              big: st.param.b32 [result], 99; ret; }"""
        call = """{ .param .b32 in; st.param.b32 [in], %r1; .param .b64 two; st.param.b64 [two], 0;
            .param .b32 out; call.uni (out), twice, (in, two); ld.param.b32 %r1, [out]; }"""
        body = f"mov.u32 %r1, %a; {call} {call} mov.u32 %d, %r1;"
        found = evaluate(body, {"a": THREADS}, {"d": np.uint32}, ".reg .b32 %r<2>;", module=module)[
            "d"
        ]

        def twice(x):
            return np.where(x > 9, 99, 2 * x)

        np.testing.assert_array_equal(found, twice(twice(THREADS)))


class Atomics(unittest.TestCase):
    def counters(self, text, start, dtype, count=4, values=THREADS):
        """Runs an atomic of every thread on counter (thread % count)."""
        arena = Arena()
        at = arena.put(np.full(count, start, dtype))
        size = np.dtype(dtype).itemsize
        out = arena.put(np.zeros(COUNT, dtype))
        inputs = {"a": values.astype(dtype), "base": np.full(COUNT, at, np.uint64)}
        where = [arena.put(array) for array in inputs.values()]
        register = {4: ".reg .b32", 8: ".reg .b64"}[size] if np.dtype(dtype).kind != "f" else ""
        body = f"""rem.u32 %m, %thread, {count}; mad.wide.u32 %base, %m, {size}, %base;
            {text}"""
        declarations = ".reg .b32 %m;" + (f"{register} %e;" if register else "")
        probe = kernel_text(body, inputs, {"d": dtype}, declarations)
        params = struct.pack("<3Q", *where, out)
        engine(probe).launch("probe", (1, 1, 1), COUNT, 0, params, arena.memory())
        return arena.get(at, dtype, count), arena.get(out, dtype, COUNT)

    def test_sums_and_what_was_found(self):
        for kind, dtype in (("u32", np.uint32), ("u64", np.uint64), ("f32", np.float32)):
            text = f"atom.global.add.{kind} %d, [%base], %a;"
            total, found = self.counters(text, 5, dtype, values=THREADS + 1)
            np.testing.assert_array_equal(total, 5 + (THREADS + 1).reshape(-1, 4).sum(axis=0))
            for counter in range(4):  # what each found is a sum that some order gives
                mine = np.arange(counter, COUNT, 4)
                steps = np.sort(found[mine])
                self.assertEqual(steps[0], 5)
                self.assertEqual(len(set(steps)), len(mine))

    def test_red_needs_no_result(self):
        text = "red.relaxed.gpu.global.add.u64 [%base], %a; mov.u64 %d, 0;"
        total, _ = self.counters(text, 1, np.uint64)
        np.testing.assert_array_equal(total, 1 + THREADS.reshape(-1, 4).sum(axis=0))

    def test_min_max_logic(self):
        signed = (THREADS.astype(np.int64) - 30).astype(np.int32)
        total, _ = self.counters("atom.global.min.s32 %d, [%base], %a;", 9, np.int32, values=signed)
        np.testing.assert_array_equal(total, signed.reshape(-1, 4).min(axis=0))
        total, _ = self.counters("atom.global.max.u32 %d, [%base], %a;", 9, np.uint32)
        np.testing.assert_array_equal(total, THREADS.reshape(-1, 4).max(axis=0))
        total, _ = self.counters("atom.global.or.b32 %d, [%base], %a;", 0, np.uint32)
        np.testing.assert_array_equal(total, np.bitwise_or.reduce(THREADS.reshape(-1, 4)))

    def test_wrapping_count(self):
        _, found = self.counters("atom.global.inc.u32 %d, [%base], 4;", 0, np.uint32)
        np.testing.assert_array_equal(found, THREADS // 4 % 5)

    def test_compare_and_swap_elects_one(self):
        text = "add.u32 %e, %thread, 100; atom.global.cas.b32 %d, [%base], 0, %e;"
        total, found = self.counters(text, 0, np.uint32)
        self.assertEqual((found == 0).sum(), 4)
        winners = np.flatnonzero(found == 0)
        np.testing.assert_array_equal(np.sort(total), np.sort(winners + 100))

    def test_spin_lock_ends(self):
        text = """mov.u32 %d, 0;
            try: atom.global.cas.b32 %e, [%base], 0, 1; setp.ne.u32 %p, %e, 0; @%p bra try;
            ld.global.u32 %e, [%base+4]; add.u32 %e, %e, 1; st.global.u32 [%base+4], %e;
            membar.gl; atom.global.exch.b32 %e, [%base], 0;"""
        arena = Arena()
        at = arena.put(np.zeros(2, np.uint32))
        inputs = {"base": np.full(COUNT, at, np.uint64)}
        where, out = arena.put(inputs["base"]), arena.put(np.zeros(COUNT, np.uint32))
        probe = kernel_text(text, inputs, {"d": np.uint32}, ".reg .b32 %e; .reg .pred %p;")
        made = engine(probe)
        made.launch("probe", (1, 1, 1), COUNT, 0, struct.pack("<2Q", where, out), arena.memory())
        np.testing.assert_array_equal(arena.get(at, np.uint32, 2), [0, COUNT])

    def test_shared_atomics(self):
        body = """mov.u32 %s, tile; setp.eq.u32 %p, %thread, 0; @%p st.shared.u64 [%s], 0; bar.sync 0;
            cvt.u64.u32 %w, %a; red.shared.add.u64 [%s], %w; bar.sync 0; ld.shared.u32 %d, [%s];"""
        declarations = ".reg .b32 %s; .reg .b64 %w; .reg .pred %p; .shared .align 8 .b8 tile[8];"
        found = evaluate(body, {"a": THREADS}, {"d": np.uint32}, declarations)["d"]
        self.assertEqual(set(found), {int(THREADS.sum())})

    def test_pairs_of_halves(self):
        ones = np.full(COUNT, 0x3C003C00, np.uint32)  # 1, 1
        total, _ = self.counters(
            "red.global.add.noftz.f16x2 [%base], %a; mov.b32 %d, 0;", 0, np.uint32, values=ones
        )
        np.testing.assert_array_equal(total.view(np.float16), np.full(8, 16, np.float16))


class BackgroundCopies(unittest.TestCase):
    DECLARATIONS = """.reg .b64 %x; .reg .b32 %s, %t, %n; .reg .pred %p;
        .shared .align 16 .b8 tile[4096];"""
    START = """mov.u32 %t, %tid.x; mov.u32 %s, tile; mad.lo.u32 %s, %t, 16, %s;
        mad.wide.u32 %x, %t, 16, %base; """

    def copy(self, body, data=None, **options):
        arena = Arena()
        data = np.arange(1, 4 * COUNT + 1, dtype=np.uint32) if data is None else data
        inputs = {"base": np.full(COUNT, arena.put(data), np.uint64)}
        where, out = arena.put(inputs["base"]), arena.put(np.zeros(COUNT, np.uint32))
        text = kernel_text(self.START + body, inputs, {"d": np.uint32}, self.DECLARATIONS)
        params = struct.pack("<2Q", where, out)
        engine(text, **options).launch("probe", (1, 1, 1), COUNT, 0, params, arena.memory())
        return arena.get(out, np.uint32, COUNT)

    def test_data_is_there_after_the_wait_and_not_before(self):
        issue = "cp.async.cg.shared.global.L2::128B [%s], [%x], 16; cp.async.commit_group; "
        late = self.copy(issue + "ld.shared.u32 %d, [%s+4]; cp.async.wait_group 0;")
        self.assertEqual(set(late), {0xFFFFFFFF})
        there = self.copy(issue + "cp.async.wait_group 0; ld.shared.u32 %d, [%s+4];")
        np.testing.assert_array_equal(there, 4 * THREADS + 2)

    def test_groups_land_in_order(self):
        body = """cp.async.ca.shared.global [%s], [%x], 4; cp.async.commit_group;
            cp.async.ca.shared.global [%s+4], [%x+4], 4; cp.async.commit_group;
            cp.async.wait_group 1; ld.shared.u32 %n, [%s]; ld.shared.u32 %d, [%s+4];
            setp.eq.u32 %p, %d, -1; selp.u32 %d, %n, 0, %p;"""
        np.testing.assert_array_equal(self.copy(body), 4 * THREADS + 1)
        body = """cp.async.ca.shared.global [%s], [%x], 8; cp.async.wait_all;
            ld.shared.u32 %d, [%s+4];"""
        np.testing.assert_array_equal(self.copy(body), 4 * THREADS + 2)

    def test_zero_fill(self):
        body = """and.b32 %n, %t, 3; shl.b32 %n, %n, 2;
            cp.async.cg.shared.global [%s], [%x], 16, %n; cp.async.wait_all;
            ld.shared.v4.u32 {%n, %t, %d, _}, [%s]; mad.lo.u32 %d, %d, 10000, %t;
            mad.lo.u32 %d, %d, 10000, %n;"""
        count = THREADS % 4
        data = np.tile(np.array([1, 2, 3, 4], np.uint32), COUNT)
        want = np.where(count > 2, 3 * 10**8, 0) + np.where(count > 1, 2 * 10**4, 0) + (count > 0)
        np.testing.assert_array_equal(self.copy(body, data), want)

    def test_a_copy_of_nothing_reads_nothing(self):
        body = """mov.u32 %n, 0; mov.u64 %x, 64; cp.async.cg.shared.global [%s], [%x], 16, %n;
            cp.async.wait_all; ld.shared.u32 %d, [%s];"""
        self.assertEqual(set(self.copy(body)), {0})

    def test_faults_are_told_at_the_copy(self):
        with self.assertRaisesRegex(SimtError, r"outside every allocation.*cp\.async\.cg"):
            self.copy("add.u64 %x, %x, 1024; cp.async.cg.shared.global [%s], [%x], 16;")
        with self.assertRaisesRegex(SimtError, r"misaligned.*cp\.async\.cg"):
            self.copy("add.u64 %x, %x, 8; cp.async.cg.shared.global [%s], [%x], 16;")


class Faults(unittest.TestCase):
    def test_outside_every_allocation(self):
        said = fault(
            "mad.wide.u32 %x, %a, 4, %at_a; ld.global.u32 %d, [%x];", None, ".reg .b64 %x;"
        )
        self.assertRegex(said, r"^probe, block \(0, 0, 0\), thread 32, PTX line \d+: outside every")
        self.assertIn("ld.global.u32 %d, [%x]", said)
        self.assertIn("256 bytes into an allocation of 256 bytes", said)

    def test_null_and_negative_addresses(self):
        self.assertIn(
            "outside every", fault("mov.u64 %x, 0; ld.global.u32 %d, [%x];", None, ".reg .b64 %x;")
        )
        self.assertIn(
            "outside every", fault("mov.u64 %x, -8; st.global.u32 [%x], %a;", None, ".reg .b64 %x;")
        )

    def test_misalignment(self):
        said = fault("add.u64 %x, %at_a, 4; ld.global.v2.u32 {%d, _}, [%x];", None, ".reg .b64 %x;")
        self.assertIn("thread 0", said)
        self.assertIn("misaligned: 8 bytes at", said)

    def test_shared_memory_out_of_range(self):
        declarations = ".reg .b32 %s; .shared .align 4 .b8 tile[128];"
        said = fault(
            "shl.b32 %s, %a, 2; st.shared.u32 [%s], %a; mov.u32 %s, tile;", None, declarations
        )
        self.assertIn("thread 32", said)
        self.assertIn("out of range: 4 bytes at 0x80 of shared memory, which has 128 bytes", said)
        just_behind = """setp.gt.u32 %p, %a, 32; @%p ret; shl.b32 %s, %a, 2;
            st.shared.u32 [%s], %a; mov.u32 %s, tile;"""
        self.assertIn("at 0x80 of", fault(just_behind, None, declarations + ".reg .pred %p;"))

    def test_shared_memory_is_poisoned(self):
        declarations = ".reg .b32 %s; .shared .align 4 .b8 tile[512];"
        body = """mov.u32 %s, tile; mad.lo.u32 %s, %a, 4, %s; setp.lt.u32 %p, %a, 40;
            @%p st.shared.u16 [%s], 0; ld.shared.u32 %d, [%s];"""
        declarations += ".reg .pred %p;"
        found = evaluate(body, {"a": THREADS}, {"d": np.uint32}, declarations)["d"]
        np.testing.assert_array_equal(found, np.where(THREADS < 40, 0xFFFF0000, 0xFFFFFFFF))
        said = fault(body, None, declarations, track_shared=True)
        self.assertIn("shared memory read before it is written", said)
        self.assertIn("thread 0", said)

    def test_poison_returns_with_each_launch(self):
        body = "mov.u32 %s, tile; mad.lo.u32 %s, %a, 4, %s; ld.shared.u32 %d, [%s]; st.shared.u32 [%s], %a;"
        text = kernel_text(
            body, {"a": THREADS}, {"d": np.uint32}, ".reg .b32 %s; .shared .align 4 .b8 tile[512];"
        )
        made, arena = engine(text), Arena()
        where, out = arena.put(THREADS), arena.put(np.zeros(COUNT, np.uint32))
        for _ in range(2):
            params = struct.pack("<2Q", where, out)
            made.launch("probe", (1, 1, 1), COUNT, 0, params, arena.memory())
            self.assertEqual(set(arena.get(out, np.uint32, COUNT)), {0xFFFFFFFF})

    def test_unknown_instruction_is_named_when_it_is_reached(self):
        text = kernel_text("setp.gt.u32 %p, %a, 1000; @%p bra far; mov.u32 %d, 1; bra near;"
                           "far: vset4.u32.u32.lt %d, %a, %a, %a; near:",
                           {"a": THREADS}, {"d": np.uint32}, ".reg .pred %p;")  # fmt: skip
        from ptx.check import unknown_instructions

        self.assertEqual(len(unknown_instructions(text)), 1)
        self.assertRegex(
            fault("vset4.u32.u32.lt %d, %a, %a, %a;", legal=False), "unknown instruction: vset4"
        )
        self.assertRegex(
            fault("add.weird.u32 %d, %a, %a;", legal=False), "unknown instruction: add.weird"
        )

    def test_wrong_launches(self):
        made, arena = engine(kernel_text("mov.u32 %d, 1;", {}, {"d": np.uint32})), Arena()
        out = arena.put(np.zeros(COUNT, np.uint32))
        good = struct.pack("<Q", out)
        with self.assertRaisesRegex(SimtError, "parameters have 4 bytes, expected 8"):
            made.launch("probe", (1, 1, 1), COUNT, 0, good[:4], arena.memory())
        with self.assertRaisesRegex(SimtError, "block is 2000 threads"):
            made.launch("probe", (1, 1, 1), 2000, 0, good, arena.memory())
        with self.assertRaisesRegex(SimtError, "no image"):
            made.launch("attend_nothing", (1, 1, 1), 32, 0, good, arena.memory())

    def test_trap_and_endless_loop(self):
        self.assertIn("the kernel trapped", fault("trap;"))
        import ptx.engine

        before, ptx.engine._MAX_STEPS = ptx.engine._MAX_STEPS, 1000
        try:
            self.assertIn("an endless loop?", fault("again: bra again;"))
        finally:
            ptx.engine._MAX_STEPS = before


if __name__ == "__main__":
    unittest.main()
