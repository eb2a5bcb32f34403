"""Words of paged, decode, splash, append, gdn and merge as flags and files, check without a call, splash's plan, and
what is refused of each."""

import json
import struct
import unittest
import xml.etree.ElementTree as xml

from support import Case, f32, npy, read_safetensors, safetensors


def floats(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


class Operators(Case):
    def run_op(self, op, tensors, *words, status=0):
        """The tensors that `run` writes."""
        path, out = self.file("in.safetensors", safetensors(tensors)), self.folder / "out.safetensors"
        self.attend("run", op, path, "--out", out, "--repeat", 2, *words, status=status)
        return read_safetensors(out)


class Pages(Operators):
    # Two pages of two keys; scores are 0, so that a row's output is the mean of the v that it sees.
    PAGES = {
        "q": ("F32", [1, 1, 1, 1], f32([0])),
        "k": ("F32", [2, 2, 1, 1], f32([0] * 4)),
        "v": ("F32", [2, 2, 1, 1], f32([1, 2, 4, 8])),
    }

    def test_block_table(self):
        self.assertEqual(floats(self.run_op("paged", self.PAGES, "--block-table", "1,0", "--seqused-k", 3)["out"]), struct.unpack("<f", f32([13 / 3])))
        self.assertEqual(floats(self.run_op("paged", self.PAGES, "--block-table", "0,-1", "--seqused-k", 1)["out"]), (1,))

    def test_tables_of_requests_stand_apart(self):
        two = {**self.PAGES, "q": ("F32", [2, 1, 1, 1], f32([0, 0]))}
        self.assertEqual(floats(self.run_op("paged", two, "--block-table", "1;0", "--seqused-k", "2,1")["out"]), (6, 1))

    def test_csr(self):
        out = self.run_op("paged", self.PAGES, "--kv-indptr", "0,1", "--kv-indices", "1", "--kv-last-page-len", 2)
        self.assertEqual(floats(out["out"]), (6,))

    def test_own_rows_are_stored(self):
        new = {**self.PAGES, "k_new": ("F32", [1, 1, 1], f32([0])), "v_new": ("F32", [1, 1, 1], f32([16]))}
        out = self.run_op("paged", new, "--block-table", "0", "--context-lens", 1, "--slot-mapping", 1)
        self.assertEqual(floats(out["out"]), (8.5,))
        self.assertEqual(floats(out["v"]), (1, 16, 4, 8))

    def test_caches_of_one_byte(self):
        small = {**self.PAGES, "v": ("F8_E4M3", [2, 2, 1, 1], b"\x38\x40\x38\x38"), "k": ("I8", [2, 2, 1, 1], b"\0" * 4)}  # v: 1, 2
        out = self.run_op("paged", small, "--block-table", "0", "--seqused-k", 2, "--v-descale", 4, "--dtype", "bf16")
        self.assertEqual(out["out"][0], "BF16")
        self.assertEqual(out["out"][2], b"\xc0\x40")  # 6

    def test_refusals(self):
        path = self.file("in.safetensors", safetensors(self.PAGES))
        table = ("--block-table", "1,0")
        self.refused("run", "paged", path, text="block_table is absent, expected a page table")
        self.refused("run", "paged", path, "--block-table", "2,0", "--seqused-k", 3, text="block_table[0][0] is 2")
        self.refused("run", "paged", path, "--block-table", "1,x", "--seqused-k", 3, text="block_table holds 'x'")
        self.refused("run", "paged", path, "--block-table", "1,0;1", "--seqused-k", 3, text="rows of different lengths")
        self.refused("run", "paged", path, *table, "--seqused-k", 5, text="seqused_k")
        self.refused("run", "paged", path, *table, "--seqused-k", 3, "--diagonal", "top_left", text="top_left")
        self.refused("run", "paged", path, *table, "--seqused-k", 3, "--k-descale", 2, text="k_descale")
        self.refused("run", "paged", path, *table, "--seqused-k", 3, "--slot-mapping", 0, text="slot_mapping")
        self.refused("run", "flash", path, *table, text="block_table")


class Decode(Operators):
    CACHE = {
        "q": ("F32", [2, 1, 1, 1], f32([0, 0])),
        "k": ("F32", [2, 3, 1, 1], f32([0] * 6)),
        "v": ("F32", [2, 3, 1, 1], f32([1, 2, 4, 8, 16, 32])),
    }

    def test_ranges(self):
        self.assertEqual(floats(self.run_op("decode", self.CACHE, "--start", "1,0", "--end", "3,1")["out"]), (3, 8))
        self.assertEqual(floats(self.run_op("decode", self.CACHE, "--end", "2")["out"]), (1.5, 12))

    def test_refusals(self):
        path = self.file("in.safetensors", safetensors(self.CACHE))
        self.refused("run", "decode", path, "--end", "4,1", text="end[0] is 4")
        self.refused("run", "decode", path, "--end", "1", "--seqused-k", "1", text="end and seqused_k")
        self.refused("run", "flash", path, "--start", "1", text="start")
        self.refused("run", "decode", self.two_tokens(), text="expected 1 query row")


class Append(Operators):
    ROWS = {
        "k": ("F32", [2, 2, 1, 1], f32([0] * 4)),
        "v": ("I8", [2, 2, 1, 1], b"\0" * 4),
        "k_new": ("F32", [2, 1, 1], f32([5, 7])),
        "v_new": ("F32", [2, 1, 1], f32([3, 1000])),
    }

    def test_rows_go_to_their_slots(self):
        out = self.run_op("append", self.ROWS, "--slot-mapping", "2,1", "--v-descale", 0.5)
        self.assertEqual(floats(out["k"]), (0, 7, 5, 0))
        self.assertEqual(out["v"][2], struct.pack("4b", 0, 127, 6, 0))
        self.assertEqual(set(out), {"k", "v"})

    def test_refusals(self):
        path = self.file("in.safetensors", safetensors(self.ROWS))
        self.refused("run", "append", path, text="slot_mapping")
        self.refused("run", "append", path, "--slot-mapping", "4,0", text="slot_mapping[0] is 4")
        self.refused("run", "append", path, "--slot-mapping", "1,1", text="slot_mapping")
        self.refused("run", "append", path, "--slot-mapping", "0,1", "--causal", text="causal is given")
        self.refused("run", "append", path, "--slot-mapping", "0,1", "--lse", text="--lse is given")
        self.refused("run", "append", path, "--slot-mapping", "0,1", "--out-dtype", "f32", text="append has no out")
        self.refused("run", "append", text="k is absent, expected --k FILE")


class Gdn(Operators):
    def tokens(self, **more):
        """One head, two tokens: k = 1, so that a state of one number is what the rule says by hand."""
        one = ("F32", [1, 2, 1, 1], f32([1, 1]))
        gate = lambda values: ("F32", [1, 2, 1], f32(values))
        return {"q": one, "k": one, "v": ("F32", [1, 2, 1, 1], f32([2, 8])), "g": gate([0, 0]), "beta": gate([1, 0.5]), **more}

    def test_rule_by_hand(self):
        # S = 2, then S = 2 + 0.5 (8 - 2) = 5.
        out = self.run_op("gdn", self.tokens())
        self.assertEqual(floats(out["out"]), (2, 5))
        self.assertEqual(floats(out["final_state"]), (5,))

    def test_a_state_goes_in_and_stays(self):
        # 0.5 (8 - ...) from 10: beta 1 replaces it by 2; repeated runs change nothing.
        state = ("F32", [1, 1, 1, 1], f32([10]))
        out = self.run_op("gdn", self.tokens(state=state, beta=("F32", [1, 2, 1], f32([0.5, 0]))), "--softmax-scale", 2)
        self.assertEqual(floats(out["out"]), (12, 12))  # 10 + 0.5 (2 - 10) = 6
        self.assertEqual(floats(out["final_state"]), (6,))

    def test_refusals(self):
        path = self.file("in.safetensors", safetensors(self.tokens()))
        self.refused("run", "gdn", path, "--causal", text="gdn: causal is given, expected words of this operator: q, k, v")
        self.refused("run", "gdn", path, "--lse", text="--lse is given")
        self.refused("run", "gdn", path, "--chunk-size", 0, text="chunk_size is 0")
        self.refused("run", "gdn", path, "--chunk-size", 2**40, text="chunk_size is 1099511627776")
        self.refused("run", "gdn", self.file("b.safetensors", safetensors(self.tokens(g=("F32", [1, 2, 1], f32([0, 1]))))), text="g")
        self.refused("run", "gdn", path, "--weights-svg", self.folder / "x.svg", text="weights")
        self.refused("run", "flash", path, "--beta", path, text="beta is given, expected words of this operator")


class Merge(Operators):
    def parts(self, lse_b):
        part = lambda x: ("F32", [1, 1, 1, 1], f32([x]))
        lse = lambda x: ("F32", [1, 1, 1], f32([x]))
        return {"out_a": part(1), "lse_a": lse(0), "out_b": part(3), "lse_b": lse(lse_b)}

    def test_joined(self):
        out = self.run_op("merge", self.parts(0), "--lse")
        self.assertEqual(floats(out["out"]), (2,))
        self.assertAlmostEqual(floats(out["lse"])[0], 0.6931472, 6)
        self.assertEqual(floats(self.run_op("merge", self.parts(float("-inf")))["out"]), (1,))

    def test_refusals(self):
        self.refused("run", "merge", text="out_a is absent, expected --out-a FILE")
        path = self.file("in.safetensors", safetensors(self.parts(0)))
        self.refused("run", "merge", path, "--softcap", 2, text="merge: softcap is given")
        self.refused("run", "merge", path, "--weights", text="--weights is given")


class Splash(Operators):
    def test_block_mask(self):
        blocks = self.file("m.npy", npy("|b1", (2, 2), b"\1\0\0\1"))
        out = self.folder / "o.safetensors"
        self.attend("run", "splash", self.two_tokens(), "--block-mask", blocks, "--block-mask-q", 1, "--block-mask-k", 1, "--out", out)
        self.assertEqual(floats(read_safetensors(out)["out"]), (1, 3))

    def test_falling_back_is_told(self):
        done = json.loads(self.attend("run", "splash", self.two_tokens(), "--json").stdout)
        self.assertTrue(done["kernel"].startswith("vanilla/native/"))
        self.assertIn("neither causal nor sparse", done["note"])


class Plan(Case):
    def plan(self, *words):
        return json.loads(self.attend("mask", "--plan", *words, "--json").stdout)["plan"]

    def test_tiles(self):
        sizes = ("--seqlen-q", 96, "--seqlen-k", 96, "--tile-q", 32, "--tile-k", 32)
        plan = self.plan(*sizes, "--causal")
        self.assertEqual(plan["tiles"], ["+..", "1+.", "11+"])
        self.assertEqual((plan["full"], plan["partial"], plan["skip"]), (3, 3, 3))
        self.assertAlmostEqual(plan["executed"], 6 / 9)
        self.assertEqual(self.plan(*sizes, "--causal", "--window-left", 31)["tiles"], ["+..", "++.", ".++"])
        self.assertEqual(self.plan(*sizes, "--hole-starts", 32, "--hole-ends", 64)["tiles"], ["1.1"] * 3)
        ids = ",".join(["0"] * 32 + ["1"] * 64)
        self.assertEqual(self.plan(*sizes, "--q-segment-ids", ids, "--kv-segment-ids", ids)["tiles"], ["1..", ".11", ".11"])
        keep = self.file("k.npy", npy("|b1", (96,), b"\1" * 40 + b"\0" * 56))
        self.assertEqual(self.plan(*sizes, "--keep", keep)["tiles"], ["1+."] * 3)

    def test_block_masks_ragged_and_the_last_tile(self):
        blocks = self.file("m.npy", npy("|b1", (2, 2), b"\1\0\1\1"))
        words = ("--block-mask", blocks, "--block-mask-q", 32, "--block-mask-k", 32)
        plan = self.plan("--seqlen-q", 33, "--seqlen-k", 64, *words)
        self.assertEqual((plan["tile"], plan["tiles"]), ([32, 32], ["1.", "11"]))
        ragged = ("--cu-seqlens-q", "0,8,24", "--cu-seqlens-k", "0,8,24", "--causal", "--tile-q", 8, "--tile-k", 8, "--batch", 1)
        self.assertEqual(self.plan(*ragged)["tiles"], ["+.", "1+"])

    def test_block_mask_hides_pairs(self):
        blocks = self.file("m.npy", npy("|b1", (1, 2), b"\0\1"))
        done = self.attend("mask", "--seqlen-q", 2, "--seqlen-k", 4, "--block-mask", blocks, "--block-mask-q", 2, "--block-mask-k", 2, "--json")
        self.assertEqual(json.loads(done.stdout)["cells"], ["..11"] * 2)

    def test_text_and_pictures(self):
        svg, png = self.folder / "p.svg", self.folder / "p.png"
        text = self.attend("mask", "--plan", "--seqlen-q", 64, "--seqlen-k", 64, "--causal", "--tile-q", 32, "--tile-k", 32, "--svg", svg, "--png", png).stdout
        self.assertIn("plan of 32 x 32 tiles: 1 full, 2 partial, 1 skipped, 75 % executed", text)
        self.assertIn(" 0  + .\n32  1 +\n", text)
        words = [node.text for node in xml.fromstring(svg.read_text()).iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("partial tile", words)
        self.assertEqual(png.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_calls_that_splash_hands_on(self):
        self.assertIn("vanilla", self.plan("--seqlen-q", 4, "--seqlen-k", 4)["note"])
        self.assertEqual(self.plan("--seqlen-q", 4, "--seqlen-k", 4, "--causal")["note"], "")

    def test_refusals(self):
        sizes = ("--seqlen-q", 4, "--seqlen-k", 4)
        blocks = self.file("m.npy", npy("|b1", (3, 3), b"\1" * 9))
        self.refused("mask", *sizes, "--block-mask", blocks, text="block_mask_q is 0, expected 1 or more")
        self.refused("mask", *sizes, "--block-mask", blocks, "--block-mask-q", 2, "--block-mask-k", 2, text="block_mask")
        self.refused("mask", *sizes, "--block-mask-q", 2, text="block_mask is absent")
        self.refused("mask", *sizes, "--plan", "--tile-q", 0, text="--tile-q")


class CheckRows(Case):
    def test_each_operator_has_lines(self):
        ops = "paged,splash,decode,append,merge"
        done = json.loads(self.attend("check", "--op", ops, "--case", "_f32_", "--json").stdout)
        self.assertTrue(done["ok"])
        names = {row["kernel"] for row in done["rows"]}
        for op in ops.split(","):
            self.assertIn(f"{op}/native/portable", names)
        for row in done["rows"]:
            self.assertEqual(row["failed"], 0, row)
            self.assertTrue("unavailable" in row or row["ran"] + row["refused"] > 0, row)
            self.assertLessEqual(row["worst_share"], 1, row)
        text = self.attend("check", "--op", "merge", "--kernel", "merge/native/portable").stdout
        self.assertRegex(text, r"merge/native/portable +\d+ +0 +0 +[\d.]+ % +merge_")
        self.assertIn("0 failed", text)

    def test_gdn(self):
        done = json.loads(self.attend("check", "--op", "gdn", "--kernel", "gdn/native/portable", "--case", "chunk16", "--json").stdout)
        self.assertGreater(done["rows"][0]["ran"], 0)
        self.assertEqual(done["rows"][0]["failed"], 0)

    def test_nothing_ran(self):
        self.assertIn("No kernel took a case", self.attend("check", "--op", "decode", "--case", "no_such_case", status=1).stdout)
        self.attend("check", "--op", "decode", "--kernel", "decode/native/none", status=1)

    def test_refusals(self):
        self.refused("check", "--op", "nonsense", text="expected one of vanilla")
        self.refused("check", "--tier", "tiny", text="--tier")
        self.refused("check", "--causal", text="q is absent")
        self.refused("check", self.two_tokens(), "--case", "tiny", text="--case is given, expected it without a call")


class Bench(Case):
    def test_operators(self):
        for op, case in (("paged", "tiny8h16_paged"), ("decode", "tiny8h16_decode"), ("splash", "tiny8h64")):
            done = json.loads(self.attend("bench", "--op", op, "--case", case, "--seconds", 0, "--json").stdout)
            timed = [r for r in done["results"] if "refused" not in r]
            self.assertTrue(timed and all(r["ok"] and r["kernel"].startswith(op) for r in timed), done)
        self.refused("bench", "--op", "gdn", text="the program gdn_bench measures it")


if __name__ == "__main__":
    unittest.main()
