"""The server as a driver sees it: a process, a line in, a line out, an arena that both map."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

from ptx_probe import kernel_text

ROOT = Path(__file__).resolve().parent.parent
BASE = 0x7F0000000000
BODY = "mad.lo.u32 %d, %a, %a, 1;"


class Server(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        text = kernel_text(BODY, {"a": np.zeros(1, np.uint32)}, {"d": np.uint32})
        (self.folder / "square.sm_80.ptx").write_text(text.replace("probe", "attend_square"))
        self.arena = self.folder / "arena"
        self.arena.write_bytes(bytes(1 << 16))
        self.process = self.start("sm_80")

    def start(self, engine):
        command = [sys.executable, str(ROOT / "serve.py"), "--engine", engine]
        process = subprocess.Popen(
            [*command, "--images", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def end():
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()
            process.wait()

        self.addCleanup(end)
        return process

    def ask(self, **changes):
        params = np.array([BASE + 0x1000, BASE + 0x2000], np.uint64).tobytes().hex()
        request = {
            "arena": str(self.arena),
            "base": BASE,
            "bytes": 1 << 16,
            "allocations": [[BASE + 0x2000, 256], [BASE + 0x1000, 256]],
            "kernel": "attend_square",
            "grid": [2, 1, 1],
            "block": 32,
            "shared": 0,
            "params": params,
        }
        print(json.dumps(request | changes), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def test_launches_one_after_another(self):
        words = np.memmap(self.arena, np.uint32, "r+")
        for start in (5, 1000):
            words[0x400:0x440] = np.arange(start, start + 64)
            found = self.ask()
            self.assertTrue(found["ok"], found)
            self.assertGreater(found["steps"], 5)
            self.assertGreater(found["seconds"], 0)
            want = np.arange(start, start + 64, dtype=np.uint32) ** 2 + 1
            np.testing.assert_array_equal(words[0x800:0x840], want)

    def test_a_failed_launch_is_an_answer_and_the_server_lives_on(self):
        found = self.ask(grid=[3, 1, 1])
        self.assertFalse(found["ok"])
        self.assertRegex(
            found["error"], r"^attend_square, block \(2, 0, 0\), thread 0, PTX line \d+: outside"
        )
        self.assertIn("expected an arena", self.ask(bytes=1 << 30)["error"])
        self.assertIn("no image", self.ask(kernel="attend_cube")["error"])
        self.assertTrue(self.ask()["ok"])

    def test_unknown_engine(self):
        process = self.start("sm_12")
        self.assertEqual(process.wait(), 1)
        self.assertIn("serve: engine is sm_12, expected one of sm_80", process.stderr.read())

    def test_the_driver_may_close_the_pipe(self):
        self.process.stdin.close()
        self.assertEqual(self.process.wait(), 0)


if __name__ == "__main__":
    unittest.main()
