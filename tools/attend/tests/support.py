"""Files written byte by byte, and the command line run on them. Standard library only."""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

CLI = os.environ.get("ATTEND_CLI")
DATA = pathlib.Path(os.environ.get("ATTEND_TEST_DATA", pathlib.Path(__file__).resolve().parents[3] / "tests/data"))
REAL = DATA / "minilm_attention.safetensors"


def f32(values):
    return struct.pack(f"<{len(values)}f", *values)


def safetensors(tensors, header=None, length=None, tail=b""):
    """tensors: {name: (dtype, shape, bytes)}; header and length replace what follows from them."""
    entries, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(entries).encode() if header is None else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data + tail


def npy(descr, shape, raw, version=1, fortran=False, header=None):
    text = header or f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
    text = text.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + raw


def read_safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    return {
        name: (e["dtype"], e["shape"], raw[8 + n + e["data_offsets"][0] : 8 + n + e["data_offsets"][1]])
        for name, e in json.loads(raw[8 : 8 + n]).items()
        if name != "__metadata__"
    }


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, raw):
        path = self.folder / name
        path.write_bytes(raw)
        return path

    def attend(self, *words, status=0, env=None):
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LD_LIBRARY_PATH") or "SAN_OPTIONS" in k}
        done = subprocess.run([CLI, *map(str, words)], capture_output=True, text=True, timeout=120, env={**clean, **(env or {})})
        self.assertEqual(done.returncode, status, f"{words}\n{done.stdout}\n{done.stderr}")
        return done

    def refused(self, *words, text, env=None):
        """One line on stderr that begins with the command, nothing on stdout, status 2."""
        done = self.attend(*words, status=2, env=env)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith(f"attend {words[0]}: "), done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def two_tokens(self, **more):
        """q, k, v of two tokens, one head, dim 1: q = 0, so that a row's output is the mean of the v it sees."""
        shape = [1, 2, 1, 1]
        tensors = {"q": ("F32", shape, f32([0, 0])), "k": ("F32", shape, f32([1, 2])), "v": ("F32", shape, f32([1, 3]))}
        return self.file("two.safetensors", safetensors({**tensors, **more}))
