"""Files that are cut short, contradict themselves or mean harm: one clear line each, and never a wrong number."""

import json
import struct
import unittest

from support import Case, f32, npy, safetensors

SHAPE = [1, 2, 1, 1]


class Safetensors(Case):
    def entry(self, dtype="F32", shape=SHAPE, offsets=(0, 8), **more):
        return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets), **more}

    def header(self, header, data=b"\0" * 8, text=""):
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = self.file("bad.safetensors", safetensors({}, header=raw, tail=data))
        return self.refused("run", "flash", path, text=text)

    def test_missing_and_unreadable(self):
        self.refused("run", "flash", self.folder / "none.safetensors", text="no such file")
        self.refused("run", "flash", self.folder, text="expected a name in .safetensors or .npy")
        (self.folder / "d.safetensors").mkdir()
        self.refused("run", "flash", self.folder / "d.safetensors", text="is a directory")
        self.refused("run", "flash", self.file("x.npz", b""), text="expected a name in .safetensors or .npy")

    def test_cut_short_anywhere(self):
        whole = self.two_tokens().read_bytes()
        for size in (0, 7, 8, 9, 60, len(whole) - 9, len(whole) - 1):
            self.refused("run", "flash", self.file("cut.safetensors", whole[:size]), text="cut.safetensors: ")
        self.refused("run", "flash", self.file("long.safetensors", whole + b"\0"), text="data has 25 bytes, expected the 24")

    def test_header_length(self):
        for length in (2**64 - 1, 2**63, 10**6):
            path = self.file("l.safetensors", safetensors({}, header=b"{}", length=length))
            self.refused("run", "flash", path, text=f"header length is {length}")

    def test_header_json(self):
        for raw in (b"", b"x", b"[1]", b'{"q"', b'{"q": 1}', b"{}\0{}", b'{"\xff": 1}', b"null", b'"q"'):
            self.header(raw, b"", text="bad.safetensors: ")
        self.header(b'{"q":' + b"[" * 200000 + b"]" * 200000 + b"}", b"", text="nested too deep")
        self.header(b'{"q":' * 100000, b"", text="nested too deep")

    def test_duplicate_names(self):
        one = json.dumps(self.entry())
        self.header(f'{{"q": {one}, "q": {one}}}'.encode(), text="'q' stands twice")
        self.header(b'{"q": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', text="'dtype' stands twice")

    def test_offsets(self):
        self.header({"q": self.entry(offsets=(0, 16))}, text="data_offsets are [0, 16]")
        self.header({"q": self.entry(offsets=(8, 0))}, text="data_offsets are [8, 0]")
        self.header({"q": self.entry(offsets=(0, 2**64 - 1))}, text="data_offsets are")
        self.header({"q": self.entry(offsets=(-8, 0))}, text="expected a list of whole numbers")
        self.header({"q": self.entry(offsets=(0.5, 8))}, text="expected a list of whole numbers")
        self.header({"q": self.entry(offsets=(0,))}, text="data_offsets")
        self.header({"q": self.entry(offsets=(0, 4))}, text="size is 4 bytes, expected 8")
        self.header({"q": self.entry(shape=[2**40, 2**40])}, text="more bytes than 63 bits count")
        self.header({"q": self.entry(shape=[2**64 - 1])}, text="more bytes than 63 bits count")
        self.header({"q": self.entry(shape="2")}, text="expected a list of whole numbers")

    def test_overlap_and_gap(self):
        self.header({"q": self.entry(), "k": self.entry()}, text="tensors overlap at byte 0")
        self.header({"q": self.entry(), "k": self.entry(offsets=(4, 12))}, b"\0" * 12, text="tensors overlap at byte 4")
        self.header({"q": self.entry(offsets=(8, 16))}, b"\0" * 16, text="leave a gap at byte 0")

    def test_fields(self):
        self.header({"q": {"dtype": "F32", "shape": [2]}}, text="data_offsets is absent")
        self.header({"q": self.entry(dtype="F33")}, text="dtype is F33")
        self.header({"q": self.entry(dtype=7)}, text="dtype is")
        self.header({"q": self.entry(more=1)}, text="more fields")
        self.header({"__metadata__": {"a": 1}, "q": self.entry()}, text="__metadata__")

    def test_names(self):
        done = self.refused("run", "flash", "--q", f"{self.two_tokens()}:query", text="'query'")
        self.assertIn("expected one of k, q, v", done)
        path = self.file("evil.safetensors", safetensors({"\x1b[31mq\n": ("F32", [2], f32([0, 0]))}))
        self.assertNotIn("\x1b", self.refused("run", "flash", path, text="expected one of ?[31mq?"))

    def test_elements(self):
        two = self.two_tokens(bias=("F64", [2], b"\0" * 16))
        self.refused("run", "flash", two, text="'bias' dtype is F64")
        two = self.two_tokens(keep=("BOOL", [2], b"\0\7"))
        self.refused("run", "flash", two, text="element 1 is 7, expected 0 or 1")
        wide = {n: ("F32", [1] * 6, f32([0])) for n in "qkv"}
        self.refused("run", "flash", self.file("w.safetensors", safetensors(wide)), text="rank is 6")
        bad = {"q": ("F32", [2], f32([0, 0])), "k": ("F32", [2], f32([0, 0])), "v": ("F32", [2], f32([0, 0]))}
        self.refused("run", "flash", self.file("r.safetensors", safetensors(bad)), text="q rank is 1, expected 4")
        fp8 = {n: ("F8_E4M3", SHAPE, b"\x38\x40") for n in "qkv"}  # 1, 2
        path = self.file("f8.safetensors", safetensors(fp8))
        self.refused("run", "flash", path, text="q dtype is f8_e4m3")
        out = json.loads(self.attend("run", "flash", path, "--dtype", "f32", "--causal", "--json").stdout)["outputs"]["out"]
        self.assertEqual(out["min"], 1)

    def test_padding_mask_that_may_be_two_things(self):
        tensors = {n: ("F32", [2, 2, 1, 1], f32([0] * 4)) for n in "qkv"}
        path = self.file("k.safetensors", safetensors({**tensors, "keep": ("BOOL", [2, 2], b"\1\0\1\1")}))
        self.refused("run", "flash", path, text="may be [seqlen_q, seqlen_k] or [batch, seqlen_k]")


class Npy(Case):
    def run_v(self, v, *words):
        """The largest and least output where every row sees one mean of v's two tokens."""
        q = self.file("q.npy", npy("<f4", (1, 2, 1, 1), f32([0, 0])))
        done = self.attend("run", "flash", "--q", q, "--k", q, "--v", v, "--causal", "--json", *words)
        out = json.loads(done.stdout)["outputs"]["out"]
        return out["min"], out["max"]

    def test_versions_orders_and_halves(self):
        for version in (1, 2, 3):
            self.assertEqual(self.run_v(self.file("v.npy", npy("<f4", (1, 2, 1, 1), f32([1, 3]), version))), (1, 2))
        self.assertEqual(self.run_v(self.file("v.npy", npy(">f4", (1, 2, 1, 1), struct.pack(">2f", 1, 3)))), (1, 2))
        half = self.file("v.npy", npy("<f2", (1, 2, 1, 1), struct.pack("<2e", 1, 3)))
        self.assertEqual(self.run_v(half, "--dtype", "f32"), (1, 2))
        brain = self.file("v.npy", npy("|V2", (1, 2, 1, 1), b"\x80\x3f\x40\x40"))  # 1, 3
        self.assertEqual(self.run_v(brain, "--dtype", "bf16"), (1, 2))
        self.refused("run", "flash", "--q", brain, text="pass --dtype bf16")

    def test_fortran_order(self):
        # [[1, 10], [3, 30]] as tokens x v_dim, stored by columns.
        v = self.file("v.npy", npy("<f4", (1, 2, 1, 2), f32([1, 3, 10, 30]), fortran=True))
        self.assertEqual(self.run_v(v), (1, 20))

    def test_refusals(self):
        shape, data = (1, 2, 1, 1), f32([0, 0])
        for raw, text in (
            (b"", "start is not that of an .npy file"),
            (b"PK\3\4" + b"\0" * 40, "start is not that of an .npy file"),
            (npy("<f4", shape, data)[:30], "header length is"),
            (npy("<f4", shape, data[:-1]), "data has 7 bytes, expected 8"),
            (npy("<f4", shape, data + b"\0"), "data has 9 bytes, expected 8"),
            (npy("<f4", shape, data, version=1).replace(b"NUMPY\1", b"NUMPY\4"), "version is 4.0"),
            (npy("|O", shape, data), "dtype is object"),
            (npy("<f8", shape, data), "float64"),
            (npy("<c8", shape, data), "dtype is <c8"),
            (npy("|f4", shape, data), "dtype is |f4"),
            (npy("f4", shape, data), "dtype is f4"),
            (npy("", shape, data, header="{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "structure of fields"),
            (npy("", shape, data, header="{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"), "'descr' twice"),
            (npy("", shape, data, header="{'descr': '<f4', 'shape': (2,)}"), "lacks"),
            (npy("", shape, data, header="{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}"), "malformed"),
            (npy("", shape, data, header="__import__('os').system('true')"), "malformed"),
            (npy("", shape, data, header="{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), "malformed"),
            (npy("", shape, data, header="{'descr': '<f4', 'fortran_order': False, 'shape': (2**9,)}"), "malformed"),
            (npy("<f4", (2**62, 2**62), data), "more bytes than 63 bits count"),
            (npy("<f4", (2**40,), data), "data has 8 bytes"),
        ):
            with self.subTest(text=text):
                self.refused("run", "flash", "--q", self.file("bad.npy", raw), text=text)
        good = self.file("q.npy", npy("<f4", shape, data))
        self.refused("run", "flash", good, text="is one tensor")
        self.refused("run", "flash", "--q", f"{good}:q", text="kind of file is unknown")


if __name__ == "__main__":
    unittest.main()
