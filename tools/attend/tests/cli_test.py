"""What the command line does with good calls and with wrong words."""

import collections
import json
import struct
import unittest
import xml.etree.ElementTree as xml
import zlib

from support import REAL, Case, f32, npy, read_safetensors, safetensors


class Info(Case):
    def test_text_and_json(self):
        self.assertIn("flash/native/portable", self.attend("info").stdout)
        info = json.loads(self.attend("info", "--json").stdout)
        self.assertIn("flash", [op["name"] for op in info["operators"]])
        for kernel in info["kernels"]:
            self.assertTrue(kernel["available"] or kernel["reason"], kernel)

    def test_isa_in_force(self):
        done = self.attend("info", env={"ATTEND_ISA": "baseline"})
        self.assertIn("(ATTEND_ISA=baseline)", done.stdout)

    def test_markdown_is_the_same_everywhere(self):
        one = self.attend("info", "--markdown").stdout
        self.assertIn("| flash | flash_attn2 |", one)
        self.assertEqual(one, self.attend("info", "--markdown", env={"ATTEND_ISA": "baseline"}).stdout)


class Run(Case):
    def test_values(self):
        # Row 0 sees key 0 alone, row 1 both: 1, (1 + 3) / 2.
        for op in ("vanilla", "flash", "flash_attn2"):
            out = self.folder / "out.safetensors"
            self.attend("run", op, self.two_tokens(), "--causal", "--lse", "--out", out)
            tensors = read_safetensors(out)
            self.assertEqual(struct.unpack("<2f", tensors["out"][2]), (1, 2))
            self.assertEqual(tensors["lse"][1], [1, 1, 2])
            lse = struct.unpack("<2f", tensors["lse"][2])
            self.assertAlmostEqual(lse[0], 0, 6)
            self.assertAlmostEqual(lse[1], 0.6931472, 6)

    def test_weights_scores_and_npy(self):
        self.attend("run", "vanilla", self.two_tokens(), "--causal", "--weights", "--scores", "masked", "--out", self.folder / "o.npy")
        self.assertEqual((self.folder / "o.npy").read_bytes()[-8:], f32([1, 2]))
        self.assertEqual((self.folder / "o.weights.npy").read_bytes()[-16:], f32([1, 0, 0.5, 0.5]))
        self.assertEqual((self.folder / "o.scores.npy").read_bytes()[-16:], f32([0, float("-inf"), 0, 0]))

    def test_words_as_numbers(self):
        # Window of the row alone on top_left: each row sees its own key.
        done = self.attend("run", "flash", self.two_tokens(), "--window-left", 0, "--window-right", 0, "--diagonal", "top_left", "--json")
        out = json.loads(done.stdout)["outputs"]["out"]
        self.assertEqual((out["min"], out["max"]), (1, 3))
        # q_start -1: row 0 stands before every key and sees none, row 1 sees key 0.
        out = json.loads(self.attend("run", "flash", self.two_tokens(), "--causal", "--q-start", "-1", "--json").stdout)["outputs"]["out"]
        self.assertEqual((out["min"], out["max"]), (0, 1))
        # A key that keep hides.
        keep = self.file("keep.npy", npy("|b1", (2,), b"\0\1"))
        out = json.loads(self.attend("run", "flash", self.two_tokens(), "--keep", keep, "--json").stdout)["outputs"]["out"]
        self.assertEqual((out["min"], out["max"]), (3, 3))

    def test_ragged(self):
        shape = [3, 1, 1]
        path = self.file("r.safetensors", safetensors({n: ("F32", shape, f32(x)) for n, x in (("q", [0] * 3), ("k", [0] * 3), ("v", [1, 3, 8]))}))
        out = self.folder / "o.safetensors"
        self.attend("run", "flash", path, "--cu-seqlens-q", "0,2,3", "--cu-seqlens-k", "0,2,3", "--out", out)
        self.assertEqual(struct.unpack("<3f", read_safetensors(out)["out"][2]), (2, 2, 8))

    def test_dtype_kernel_threads(self):
        done = json.loads(self.attend("run", "flash", self.two_tokens(), "--dtype", "bf16", "--kernel", "flash/native/portable", "--threads", 1, "--json").stdout)
        self.assertEqual(done["kernel"], "flash/native/portable")
        self.assertIn("bf16[1, 2, 1, 1]", done["outputs"]["out"]["tensor"])

    def test_attention_map(self):
        picture = self.folder / "map.svg"
        self.attend("run", "vanilla", REAL, "--weights-svg", picture, "--batch", 1, "--head", 3)
        text = picture.read_text()
        root = xml.fromstring(text)
        self.assertNotIn("<script", text)
        words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("key j", words)
        self.assertIn("query i", words)
        self.assertTrue(any("batch 1, head 3" in word and "vanilla/native/" in word for word in words), words)

    def test_refusals(self):
        two = self.two_tokens()
        self.refused("run", "flash", two, "--weights", text="weights")
        self.refused("run", "nonsense", two, text="expected one of vanilla")
        self.refused("run", "paged", two, text="block_table is absent")
        self.refused("run", "flash", two, "--kernel", "flash/native/none", text="expected one of flash/native/")
        self.refused("run", "flash", two, "--device", "cuda", text="cuda")
        self.refused("run", "flash", two, "--device", "toaster", text="expected native, cuda")
        self.refused("run", "flash", two, text="ATTEND_DEVICE is 'toaster'", env={"ATTEND_DEVICE": "toaster"})
        self.refused("run", "flash", two, "--causal", "--block-size", 4, text="block_size is 4")
        self.refused("run", "flash", two, "--q-start", "1,x", text="q_start holds 'x'")
        self.refused("run", "flash", two, "--q-start", "1,,2", text="q_start holds ''")
        self.refused("run", "flash", two, "--q-start", "99999999999999999999", text="q_start holds")
        self.refused("run", "flash", two, "--q-start", "1,2", text="q_start dim 0 is 2, expected 1")
        self.refused("run", "flash", text="q is absent")
        self.refused("run", text="OP")
        self.refused("run", "flash", two, "--nonsense", text="--nonsense")
        self.refused("run", "flash", two, "--window-left", "wide", text="window-left")
        self.refused("run", "flash", two, "--softmax-scale", "nan", text="softmax_scale")
        self.refused("run", "vanilla", two, "--dropout-p", 0.5, "--no-deterministic", text="dropout_seed is absent")
        self.refused("run", "vanilla", two, "--weights-svg", self.folder / "x.svg", "--head", 1, text="--head is 1, expected 0 <= head < 1")

    def test_nothing_half_written(self):
        two = self.two_tokens()
        before = sorted(self.folder.iterdir())
        self.refused("run", "flash", two, "--out", self.folder / "none" / "o.npy", text="cannot be written")
        self.refused("run", "flash", two, "--out", self.folder, text="expected a name in .safetensors or .npy")
        self.refused("run", "flash", two, "--out", "/dev/null", text="expected a name")
        self.refused("run", "flash", two, "--dtype", "bf16", "--out", self.folder / "o.npy", text="npy has no bf16")
        self.refused("run", "flash", two, "--window-left", -2, "--out", self.folder / "o.npy", text="window_left is -2")
        self.assertEqual(sorted(self.folder.iterdir()), before)
        (self.folder / "d.npy").mkdir()
        self.refused("run", "flash", two, "--out", self.folder / "d.npy", text="is a directory")


class Check(Case):
    def test_real_activations(self):
        done = json.loads(self.attend("check", REAL, "--json").stdout)
        self.assertTrue(done["ok"])
        ran = [r for r in done["results"] if "refused" not in r]
        self.assertEqual({(r["input"], r["dtype"]) for r in ran}, {(i, d) for i in ("layer0.", "layer5.") for d in ("f32", "bf16", "f16")})
        self.assertLessEqual({"vanilla/native/eigen", "flash/native/portable"}, {r["kernel"] for r in ran})
        for r in ran:
            self.assertLessEqual(r["expected"]["max_error"], r["expected"]["allowed_error"])
        self.assertIn("0 failed", self.attend("check", "--input", REAL, "--prefix", "layer5.").stdout)

    def test_wrong_expectation_fails(self):
        wrong = self.two_tokens(out=("F32", [1, 2, 1, 1], f32([1, 2.001])))
        done = self.attend("check", wrong, "--causal", status=1)
        self.assertIn("FAILED", done.stdout)
        right = self.two_tokens(out=("F32", [1, 2, 1, 1], f32([1, 2])))
        self.assertNotIn("FAILED", self.attend("check", right, "--causal").stdout)
        other = self.file("e.npy", npy("<f4", (1, 2, 1, 1), f32([2, 2])))
        self.attend("check", right, "--causal", "--expected", other, status=1)
        self.refused("check", right, "--expected", self.file("s.npy", npy("<f4", (2,), f32([2, 2]))), text="expected shape is f32[2]")

    def test_refused_rows_say_why(self):
        done = self.attend("check", self.two_tokens(), env={"ATTEND_ISA": "baseline"})
        if "flash/native/avx2" in done.stdout:
            self.assertRegex(done.stdout, r"flash/native/avx2 +refused: .+")
        self.attend("check", self.two_tokens(), "--kernel", "flash/native/none", status=1)

    def test_a_call_of_one_operator(self):
        done = self.attend("check", self.two_tokens(), "--dropout-p", 0.5, "--seed", 7, "--no-deterministic").stdout
        self.assertRegex(done, r"vanilla/native/eigen .* ok")
        self.assertRegex(done, r"flash.* refused: ")


class Mask(Case):
    def picture(self, *words):
        return json.loads(self.attend("mask", *words, "--json").stdout)["cells"]

    def test_pictures_of_the_contract(self):
        sizes = ("--seqlen-q", 3, "--seqlen-k", 5)
        self.assertEqual(self.picture(*sizes, "--causal"), ["111..", "1111.", "11111"])
        self.assertEqual(self.picture(*sizes, "--causal", "--diagonal", "top_left"), ["1....", "11...", "111.."])
        self.assertEqual(self.picture(*sizes, "--block-size", 2), ["1111.", "1111.", "11111"])
        self.assertEqual(self.picture(*sizes, "--window-left", 1, "--window-right", 0), [".11..", "..11.", "...11"])
        self.assertEqual(self.picture(*sizes, "--hole-starts", 1, "--hole-ends", 4), ["1...1"] * 3)
        self.assertEqual(self.picture(*sizes, "--causal", "--prefix-lens", 4), ["1111.", "1111.", "11111"])
        self.assertEqual(self.picture(*sizes, "--q-segment-ids", "0,1,-1", "--kv-segment-ids", "0,0,1,1,-1"), ["11...", "..11.", "....."])
        self.assertEqual(self.picture(*sizes, "--causal", "--q-start", "0,2", "--batch", 1), ["111..", "1111.", "11111"])
        self.assertEqual(self.picture("--cu-seqlens-q", "0,1,3", "--cu-seqlens-k", "0,2,5", "--causal", "--batch", 1), ["11.", "111"])

    def test_text_marks_rows_without_keys(self):
        text = self.attend("mask", "--seqlen-q", 3, "--seqlen-k", 2, "--causal").stdout
        self.assertIn(" 0  . .   no key\n 1  1 .\n 2  1 1\n", text)

    def test_large_masks_are_tiled(self):
        cells = self.picture("--seqlen-q", 128, "--seqlen-k", 128, "--causal", "--tile-q", 64, "--tile-k", 64)
        self.assertEqual(cells, ["+.", "1+"])

    def test_svg_and_png(self):
        svg, png = self.folder / "m.svg", self.folder / "m.png"
        self.attend("mask", "--seqlen-q", 9, "--seqlen-k", 9, "--causal", "--svg", svg, "--png", png, "--quiet")
        xml.fromstring(svg.read_text())
        raw = png.read_bytes()
        self.assertEqual(raw[:8], b"\x89PNG\r\n\x1a\n")
        at, chunks = 8, {}
        while at < len(raw):
            size = struct.unpack(">I", raw[at : at + 4])[0]
            kind, data = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]
            self.assertEqual(struct.unpack(">I", raw[at + 8 + size : at + 12 + size])[0], zlib.crc32(kind + data))
            chunks[kind] = chunks.get(kind, b"") + data
            at += 12 + size
        width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
        colors = self.png_colors(zlib.decompress(chunks[b"IDAT"]), width, height)
        visible = sum(colors[color] for color in colors if color == (49, 104, 170))
        hidden = sum(colors[color] for color in colors if color == (236, 239, 243))
        self.assertTrue(visible > 0, "no pixel has the colour of a visible pair")
        self.assertAlmostEqual(visible / (visible + hidden), 45 / 81, delta=0.05)  # 45 of 9 x 9 pairs, less the dots on them

    def png_colors(self, raw, width, height):
        """How many pixels of a decompressed 8-bit RGB PNG have which colour (PNG specification, 9: filters)."""
        self.assertEqual(len(raw), height * (3 * width + 1))
        above, colors = bytearray(3 * width), collections.Counter()
        for y in range(height):
            kind, row = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1 :][: 3 * width])
            for x in range(3 * width):
                left, up, corner = (row[x - 3] if x > 2 else 0), above[x], (above[x - 3] if x > 2 else 0)
                nearest = min((left, up, corner), key=lambda v: abs(left + up - corner - v))  # Paeth; ties in order
                row[x] = (row[x] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255
            colors.update(zip(row[0::3], row[1::3], row[2::3]))
            above = row
        return colors

    def test_refusals(self):
        self.refused("mask", text="--seqlen-q")
        sizes = ("--seqlen-q", 3, "--seqlen-k", 5)
        self.refused("mask", *sizes, "--batch", 1, text="--batch is 1, expected 0 <= batch < 1")
        self.refused("mask", *sizes, "--prefix-lens", 2, text="prefix_lens is given")
        self.refused("mask", *sizes, "--hole-starts", 2, text="hole_ends is absent")
        self.refused("mask", "--seqlen-q", 10**9, "--seqlen-k", 10**9, text="expected at most 2^30 pairs")
        self.refused("mask", *sizes, "--png", self.folder, text="is a directory")
        self.refused("mask", *sizes, "--png", "/dev/full", text="is not a regular file")


class Bench(Case):
    def test_short(self):
        done = json.loads(self.attend("bench", "--case", "tiny16", "--seconds", 0.01, "--json").stdout)
        timed = [r for r in done["results"] if "seconds" in r]
        self.assertTrue(timed)
        self.assertTrue(all(r["ok"] and r["gflops"] > 0 for r in timed))
        self.refused("bench", "--case", "nonsense", text="expected part of one of")


class Usage(Case):
    def test_help_and_no_command(self):
        for command in ("info", "run", "check", "mask", "bench"):
            self.assertIn("--json", self.attend(command, "--help").stdout)
        self.assertIn("attend: ", self.attend(status=2).stderr)
        self.assertIn("attend: ", self.attend("nonsense", status=2).stderr)


if __name__ == "__main__":
    unittest.main()
