"""Shuffles, votes, barriers, and threads that part and meet again."""

from __future__ import annotations

import struct
import unittest

import numpy as np

from ptx_probe import Arena, SimtError, engine, evaluate, kernel_text

COUNT = 64
THREADS = np.arange(COUNT, dtype=np.uint32)
U32 = np.dtype(np.uint32)


def run(body, declarations="", inputs=None, output=U32, **options):
    inputs = {"a": THREADS * np.uint32(3) + np.uint32(1)} if inputs is None else inputs
    return evaluate(body, inputs, {"d": output}, declarations, **options)["d"]


class Shuffles(unittest.TestCase):
    def expected(self, mode, b, c):
        """The manual's algorithm, a thread at a time."""
        found, inside = [], []
        for thread in range(COUNT):
            lane, warp = thread % 32, thread // 32 * 32
            segment, clamp = c >> 8 & 31, c & 31
            last = (lane & segment) | (clamp & ~segment & 31)
            first = lane & segment
            other = {
                "up": lane - b, "down": lane + b, "bfly": lane ^ b, "idx": first | (b & ~segment & 31)
            }[mode]  # fmt: skip
            ok = other >= last if mode == "up" else other <= last
            inside.append(ok)
            found.append(3 * (warp + (other if ok else lane)) + 1)
        return found, inside

    def test_every_mode_and_width(self):
        for mode in ("up", "down", "bfly", "idx"):
            for width in (32, 16, 8, 4):
                for b in (0, 1, 2, 3, 7, 16, 31):
                    c = (32 - width) << 8 | (0 if mode == "up" else 31)
                    want, inside = self.expected(mode, b, c)
                    text = (
                        f"shfl.sync.{mode}.b32 %d|%p, %a, {b}, {c}, -1; selp.u32 %e, 1000, 0, %p;"
                    )
                    text += "add.u32 %d, %d, %e;"
                    found = run(text, ".reg .pred %p; .reg .b32 %e;")
                    want = np.array(want) + 1000 * np.array(inside)
                    np.testing.assert_array_equal(found, want, f"{mode} {width} {b}")

    def test_lane_and_mask_in_registers(self):
        text = """xor.b32 %e, %thread, 5; and.b32 %e, %e, 31; mov.u32 %m, 0xffffffff;
            shfl.sync.idx.b32 %d, %a, %e, 31, %m;"""
        found = run(text, ".reg .b32 %e, %m;")
        np.testing.assert_array_equal(found, 3 * (THREADS ^ 5) + 1)

    def test_within_a_part_of_the_warp(self):
        text = """mov.u32 %d, 0; and.b32 %e, %thread, 16; setp.eq.u32 %p, %e, 0; @!%p bra skip;
            shfl.sync.bfly.b32 %d, %a, 1, 31, 0xffff; skip:"""
        found = run(text, ".reg .b32 %e; .reg .pred %p;")
        np.testing.assert_array_equal(found, np.where(THREADS & 16, 0, 3 * (THREADS ^ 1) + 1))

    def test_parted_threads_wait_for_each_other(self):
        """Threads reach the shuffle by two ways and at different times."""
        text = """and.b32 %e, %thread, 1; setp.eq.u32 %p, %e, 0; mov.u32 %n, %thread; @%p bra go;
            again: sub.u32 %n, %n, 1; setp.gt.s32 %q, %n, 0; @%q bra again;
            go: shfl.sync.bfly.b32 %d, %a, 1, 31, -1;"""
        found = run(text, ".reg .b32 %e, %n; .reg .pred %p, %q;")
        np.testing.assert_array_equal(found, 3 * (THREADS ^ 1) + 1)


class Votes(unittest.TestCase):
    def test_ballot_any_all(self):
        condition = "and.b32 %e, %thread, 5; setp.eq.u32 %p, %e, 4; "
        declarations = ".reg .b32 %e; .reg .pred %p, %q;"
        found = run(condition + "vote.sync.ballot.b32 %d, %p, -1;", declarations)
        want = sum(1 << lane for lane in range(32) if lane & 5 == 4)
        self.assertEqual(set(found), {want})
        half = "setp.lt.u32 %p, %thread, 32; "
        for mode, negation, want in (
            ("any", "", 1),
            ("all", "", 1),
            ("any", "!", 0),
            ("uni", "", 1),
        ):
            text = f"vote.sync.{mode}.pred %q, {negation}%p, -1; selp.u32 %d, 1, 0, %q;"
            found = run(half + text, declarations)
            self.assertEqual(found[0], want)
            self.assertEqual(found[40], 1 - want if mode != "uni" else 1)

    def test_active_mask_and_elect(self):
        text = "mov.u32 %d, %laneid; setp.lt.u32 %p, %d, 5; mov.u32 %d, 0; @!%p bra skip; activemask.b32 %d; skip:"
        found = run(text, ".reg .pred %p;")
        self.assertEqual(set(found), {0, 31})
        text = "elect.sync %d|%p, -1; selp.u32 %d, 1, 0, %p;"
        found = run(text, ".reg .pred %p;", target="sm_90a")
        np.testing.assert_array_equal(np.flatnonzero(found), [0, 32])

    def test_reductions_and_matches(self):
        values = np.random.default_rng(1).integers(0, 1 << 32, COUNT).astype(np.uint32)
        by_warp = values.reshape(2, 32)
        for name, function in (("add", np.add), ("min", np.minimum), ("max", np.maximum)):
            found = run(f"redux.sync.{name}.u32 %d, %a, -1;", inputs={"a": values})
            want = np.repeat(function.reduce(by_warp, axis=1, dtype=np.uint32), 32)
            np.testing.assert_array_equal(found, want)
        found = run("and.b32 %a, %a, 4; match.any.sync.b32 %d, %a, -1;")
        for thread in range(COUNT):
            same = [
                lane
                for lane in range(32)
                if (3 * (thread // 32 * 32 + lane) + 1) & 4 == (3 * thread + 1) & 4
            ]
            self.assertEqual(int(found[thread]), sum(1 << lane for lane in same))


class Barriers(unittest.TestCase):
    def test_counting_barrier(self):
        text = "setp.lt.u32 %p, %thread, 40; bar.red.popc.u32 %d, 0, %p;"
        self.assertEqual(set(run(text, ".reg .pred %p;")), {40})
        text = "setp.lt.u32 %p, %thread, 40; bar.red.or.pred %q, 0, !%p; selp.u32 %d, 1, 0, %q;"
        self.assertEqual(set(run(text, ".reg .pred %p, %q;")), {1})

    def test_named_barriers_join_producer_and_consumer(self):
        """Warp 0 stores and arrives; warp 1 waits for it at the other end."""
        declarations = ".reg .b32 %s, %e; .reg .pred %p; .shared .align 4 .b8 tile[128];"
        for first in (0, 32):  # whichever warp the scheduler comes to first
            text = f"""and.b32 %e, %thread, 31; mov.u32 %s, tile; mad.lo.u32 %s, %e, 4, %s;
                and.b32 %e, %thread, 32; setp.eq.u32 %p, %e, {first}; mov.u32 %d, 0; @!%p bra consumer;
                st.shared.u32 [%s], %a; bar.arrive 3, 64; bra done;
                consumer: bar.sync 3, 64; ld.shared.u32 %d, [%s]; done:"""
            found = run(text, declarations).reshape(2, 32)
            produced = 3 * THREADS.reshape(2, 32)[first // 32] + 1
            np.testing.assert_array_equal(found[1 - first // 32], produced)

    def test_exited_threads_are_not_waited_for(self):
        text = """st.global.u32 [%at_d], 7; setp.ge.u32 %p, %thread, 48; @%p ret;
            bar.sync 0; bar.warp.sync -1; mov.u32 %d, 1;"""
        found = run(text, ".reg .pred %p;")
        np.testing.assert_array_equal(found, np.where(THREADS < 48, 1, 7))

    def test_barrier_in_divergent_code_is_a_deadlock(self):
        text = """mov.u32 %d, 0; setp.lt.u32 %p, %thread, 32; @%p bra one;
            bar.sync 0; bra done; one: bar.sync 0; done:"""
        with self.assertRaisesRegex(
            SimtError, r"deadlock: block \(0, 0, 0\), thread 32 and 31 more at"
        ):
            run(text, ".reg .pred %p;")

    def test_missing_lane_is_a_deadlock(self):
        text = """mov.u32 %d, 0; setp.eq.u32 %p, %thread, 3; @%p bra other;
            shfl.sync.bfly.b32 %d, %a, 1, 31, -1; bra done;
            other: bar.warp.sync -1; done:"""
        with self.assertRaisesRegex(SimtError, r"deadlock:.*shfl\.sync.*bar\.warp\.sync"):
            run(text, ".reg .pred %p;")

    def test_thread_outside_its_member_mask(self):
        with self.assertRaisesRegex(SimtError, "thread 16.* is not in the member mask"):
            run("shfl.sync.bfly.b32 %d, %a, 1, 31, 0xffff;")


class Control(unittest.TestCase):
    def test_loops_of_different_length(self):
        text = """mov.u32 %d, 0; and.b32 %n, %a, 15; setp.eq.u32 %p, %n, 0; @%p bra done;
            again: add.u32 %d, %d, %n; sub.u32 %n, %n, 1; setp.ne.u32 %p, %n, 0; @%p bra again; done:"""
        found = run(text, ".reg .b32 %n; .reg .pred %p;")
        n = (3 * THREADS + 1) % 16
        np.testing.assert_array_equal(found, n * (n + 1) // 2)

    def test_branch_table(self):
        text = """and.b32 %n, %thread, 3; mov.u32 %d, 0;
            table: .branchtargets zero, one, two, zero;
            brx.idx %n, table;
            one: mov.u32 %d, 11; bra.uni done;
            two: mov.u32 %d, 22; bra.uni done;
            zero: mov.u32 %d, 33; done:"""
        found = run(text, ".reg .b32 %n;")
        np.testing.assert_array_equal(found, np.array([33, 11, 22, 33])[THREADS % 4])

    def test_names_of_inner_scopes(self):
        text = """mov.u32 t, 7000;
            { .reg .b32 t; .reg .pred p; add.u32 t, %a, 1; setp.gt.u32 p, t, 50;
            @p bra far; mov.u32 %d, t; bra near; far: mov.u32 %d, 0; near: }
            { .reg .b32 t; add.u32 t, %d, 5; mov.u32 %d, t; }
            add.u32 %d, %d, t;"""
        found = run(text, ".reg .b32 t;")
        value = 3 * THREADS + 2
        np.testing.assert_array_equal(found, np.where(value > 50, 0, value) + 7005)

    def test_special_registers(self):
        for name, want in (
            ("%tid.x", THREADS % 16), ("%ctaid.x", THREADS // 16), ("%ntid.x", 16), ("%nctaid.x", 4),
            ("%laneid", THREADS % 16), ("%tid.y", 0), ("%lanemask_lt", (1 << THREADS % 16) - 1),
        ):  # fmt: skip
            found = run(f"mov.u32 %d, {name};", block=16)
            np.testing.assert_array_equal(found, np.broadcast_to(want, COUNT), name)

    def test_grid_of_three_dimensions_in_batches(self):
        """More threads than run side by side, in the order x, y, z."""
        text = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry probe(.param .u64 out)
{
.reg .b64 %o; .reg .b32 %x, %y, %z, %nx, %ny, %t, %i;
ld.param.u64 %o, [out]; mov.u32 %x, %ctaid.x; mov.u32 %y, %ctaid.y; mov.u32 %z, %ctaid.z;
mov.u32 %nx, %nctaid.x; mov.u32 %ny, %nctaid.y; mov.u32 %t, %tid.x;
mad.lo.u32 %i, %z, %ny, %y; mad.lo.u32 %i, %i, %nx, %x; mad.lo.u32 %i, %i, 96, %t;
mad.wide.u32 %o, %i, 4, %o;
mad.lo.u32 %i, %z, 100, %y; mad.lo.u32 %i, %i, 100, %x; mad.lo.u32 %i, %i, 100, %t;
st.global.u32 [%o], %i;
ret;
}"""
        arena = Arena()
        out = arena.put(np.zeros(96 * 60 * 2, U32))
        made = engine(text)
        made.launch("probe", (5, 6, 4), 96, 0, struct.pack("<Q", out), arena.memory())
        z, y, x, t = np.meshgrid(*map(np.arange, (4, 6, 5, 96)), indexing="ij")
        want = ((z * 100 + y) * 100 + x) * 100 + t
        np.testing.assert_array_equal(arena.get(out, U32, want.size), want.reshape(-1))

    def test_results_do_not_depend_on_how_many_blocks_run_at_once(self):
        import ptx.engine

        body = """mov.u32 %s, tile; mov.u32 %t, %tid.x; mad.lo.u32 %s, %t, 4, %s; st.shared.u32 [%s], %a;
            bar.sync 0; xor.b32 %t, %t, 1; mov.u32 %s, tile; mad.lo.u32 %s, %t, 4, %s;
            ld.shared.u32 %d, [%s];"""
        declarations = ".reg .b32 %s, %t; .shared .align 4 .b8 tile[128];"
        many = {"a": np.arange(320, dtype=U32)}
        before = ptx.engine._THREADS_AT_ONCE
        try:
            for ptx.engine._THREADS_AT_ONCE in (32, 96, 4096):
                found = run(body, declarations, many, block=32)
                np.testing.assert_array_equal(found, np.arange(320) ^ 1)
        finally:
            ptx.engine._THREADS_AT_ONCE = before


class Text(unittest.TestCase):
    def test_statements_keep_their_lines(self):
        from ptx import source

        text = kernel_text("add.u32 %d, %a,\n  %a; // twice\n/* two\nlines */ sub.u32 %d, %d, 1;",
                           {"a": THREADS}, {"d": U32})  # fmt: skip
        body = source.parse(text).functions["probe"].body
        lines = text.splitlines()
        for statement in body:
            if isinstance(statement, source.Instruction) and statement.opcode[0] in ("add", "sub"):
                self.assertIn(statement.text.split()[0], lines[statement.line - 1])

    def test_what_is_not_ptx(self):
        from ptx import source

        for text in (".entry k() { add.u32 %a, %b", ".visible .entry k()\n{ ret; ", "nonsense;"):
            with self.assertRaisesRegex(SimtError, "PTX"):
                source.parse(text)


if __name__ == "__main__":
    unittest.main()
