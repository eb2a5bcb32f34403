"""peer_test.py PEER: the fastest right way of a library is timed, wrong ones are refused, at first and later. The library is a stand-in."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

STAND_IN = """
import time
import numpy as np
from peers.case import Way

VERSION = "stand-in 1"
calls = 0


def right(case, pause=0.0, factor=1.0, spoilt_after=10**9):
    def call(n):
        global calls
        calls += 1
        time.sleep(pause)
        return n

    def read(_):
        k, v = (np.repeat(x, case.group, 1) for x in (case.k, case.v))
        scores = case.q @ k.transpose(0, 1, 3, 2) * np.float32(case.scale)
        if case.causal:
            after = np.arange(case.keys) - np.arange(case.rows)[:, None] > case.keys - case.rows
            scores[..., after] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out = weights / weights.sum(-1, keepdims=True) @ v
        return out * (factor if calls < spoilt_after else 2.0)

    return Way(call, read)


def refusing(case):
    case.refuse_unless(case.rows == 1, "one row")
    return right(case)


WAYS = {
    "slow": lambda case: right(case, pause=0.02),
    "quick": lambda case: right(case, pause=0.001, spoilt_after=SPOILT_AFTER),
    "wrong": lambda case: right(case, factor=1.03),
    "transposed": lambda case: Way(lambda n: n, lambda _: case.q.transpose(0, 2, 1, 3)),
    "refusing": refusing,
}
"""
UNABLE = """
VERSION = "stand-in 2"


def able(case):
    case.refuse_unless(False, "other cases")


def unable(case):
    raise RuntimeError("no such type")


WAYS = {"able": able, "unable": unable}
"""
SHAPE = [2, 4, 2, 5, 9, 16, 16]
LATENT = [1, 8, 1, 1, 24, 20, 16]


def ask(peer, folder, name, *questions):
    lines = "".join(json.dumps(q) + "\n" for q in questions)
    done = subprocess.run([sys.executable, peer, name], input=lines, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": folder})
    return [json.loads(line) for line in done.stdout.splitlines()]


def prep(shape, dtype, causal=1):
    return {"cmd": "prep", "shape": shape, "causal": causal, "dtype": dtype, "threads": 1, "copies": 2}


def main(peer):
    time = {"cmd": "time", "calls": 3}
    with tempfile.TemporaryDirectory() as folder:
        where = pathlib.Path(folder) / "peers"
        where.mkdir()
        (where / "sound.py").write_text(STAND_IN.replace("SPOILT_AFTER", "10**9"))
        (where / "unable.py").write_text(UNABLE)
        (where / "unfit.py").write_text(UNABLE.replace('raise RuntimeError("no such type")', 'case.refuse_unless(False, "nothing")'))
        (where / "spoilt.py").write_text(STAND_IN.replace("SPOILT_AFTER", "60"))
        for dtype in ("fp32", "bf16"):
            first, timed, latent = ask(peer, folder, "sound", prep(SHAPE, dtype), time, prep(LATENT, dtype, 0))
            assert first["ok"] and first["way"] == "quick" and first["version"] == "stand-in 1" and first["max_err"] < 1e-5, first
            assert set(first["ways"]) == {"slow", "quick"}, first
            assert first["refused_ways"]["refusing"] == "takes one row only", first
            assert first["refused_ways"]["wrong"].startswith("out is off by 0.03 of a row, expected no more than "), first
            assert first["refused_ways"]["transposed"].startswith("out has shape (2, 5, 4, 16)"), first
            assert len(timed["secs"]) == len(timed["cpu"]) == 3 and min(timed["secs"]) > 0.001, timed
            assert latent["ok"] and "refusing" in latent["ways"] and latent["max_err"] < 1e-5, latent
        prepared, *timed = ask(peer, folder, "spoilt", prep(SHAPE, "fp32"), *[time] * 20)
        assert prepared["ok"] and timed[-1] == {"ok": False, "error": "out is off by 1 of a row, expected no more than 0.0001"}, timed[-1]
        for name, error in (("unable", "unable: no such type"), ("unfit", "able: takes other cases only; unable: takes nothing only")):
            (answer,) = ask(peer, folder, name, prep(SHAPE, "fp32"))
            assert answer == {"ok": False, "error": error}, answer
        (missing,) = ask(peer, folder, "nobody", prep(SHAPE, "fp32"))
        assert missing == {"ok": False, "error": "No module named 'peers.nobody'; tools/setup compare --peer nobody installs it"}, missing


main(*sys.argv[1:])
