"""engine_test.py ENGINE ENGINE_BENCH RANDOM_CHECKPOINT: the script times attend's engine and what answers the protocol in turn, counts how far
tokens agree, leaves out what refuses, dies, changes its mind or computes another model. Peers here are stand-ins on the smallest checkpoint."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

# A peer that asks the program itself and falsifies what it says, but for the times. Its words: name, log, fate, program.
STAND_IN = """
import json, pathlib, subprocess, sys
name, log, fate, program = sys.argv[1:5]
attend = subprocess.Popen([program, "--answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
timed = 0
for line in sys.stdin:
    words = json.loads(line)
    attend.stdin.write(line)
    attend.stdin.flush()
    answer = json.loads(attend.stdout.readline())
    said = answer["responses"]
    if words["cmd"] == "prep":
        answer = {"ok": True, "version": name + " 1.2", "responses": said}
        if fate == "refuses":
            answer = {"ok": False, "error": "only on Sundays"}
        if fate == "short":
            said[0].pop()
    else:
        timed += 1
        pathlib.Path(log).open("a").write(name + " ")
        if fate == "dies":
            sys.exit("some line\\nout of paper")
        seconds = {"prefill": {"seconds": 1.0 + timed}, "decode": {"seconds": 10.0 - timed}}
        answer = {"first_token": 1.0, "cpus": 1.0, "responses": said, **seconds}
        if fate == "changes" and timed == 2:
            said[1][2] ^= 1
    if fate == "late":
        said[0][3] ^= 1
    if fate == "other":
        for response in said:
            response[0] ^= 1
    print(json.dumps(answer), flush=True)
"""


def run(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def takes_turns(engine, program, model, folder):
    script, log = folder / "stand_in.py", folder / "log"
    script.write_text(STAND_IN)
    words = [engine, "--model", str(model), "--bench", program, "--batches", "2,1", "--prompt", "5", "--tokens", "4", "--samples", "2", "--threads",
             "1", "--out", str(folder), "--machine", "A Machine"]
    fates = ("well", "late", "refuses", "short", "changes", "other", "dies")
    for fate in fates:
        words += ["--exec", f"{fate}={sys.executable} {script} {fate} {log} {fate} {program}"]
    done = run(*words, "--dtypes", "f32")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*-a-machine.json")
    one, two = json.loads(path.read_text())["engine"]
    assert (one["batch"], two["batch"]) == (1, 2), (one, two)
    assert set(two["sides"]) == {"attend", "well", "late"}, two
    assert two["refused"] == {
        "refuses": "only on Sundays",
        "short": "responses have [3, 4] tokens, expected [4, 4]",
        "changes": "says other tokens than in the call before",
        "other": "says other tokens than attend from the first on, in every response",
        "dies": "exit status 1: out of paper",
    }, two["refused"]
    assert two["sides"]["well"]["agrees"] == {"first": 2, "leading": 4.0}, two
    assert two["sides"]["late"]["agrees"] == {"first": 2, "leading": 3.5}, two
    attend, well = two["sides"]["attend"], two["sides"]["well"]
    assert well["prefill"] == {"best_s": 2.0, "median_s": 3.0, "tokens_per_s": 5.0}, well
    assert well["decode"]["best_s"] == 8.0 and well["decode"]["tokens_per_s"] == 0.75, well
    # sizes that are not padded: the head, 2 layers; keys and values of 2 requests, 7 of each in the mean
    weights, keys = 128 * 64 + 2 * (64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 64), 2 * 2 * 32 * 2 * 7
    assert two["bytes_of_step"] == 4 * (weights + keys), (two["bytes_of_step"], 4 * weights, 4 * keys)
    assert well["decode"]["bytes_per_s"] == two["bytes_of_step"] * 3 / 8.0, well
    assert attend["alone"] == attend["first_tokens_as_alone"] == 2, attend
    for part in ("prefill", "decode"):
        shares = attend[part]["shares"]
        assert min(shares.values()) > 0 and abs(sum(shares.values()) - 1) < 1e-9, shares
    assert log.read_text().startswith("well late changes dies well late changes well late "), log.read_text()
    table = path.with_suffix(".md").read_text()
    assert "| 2 | f32 | 1 | late" in table and "| 2 of 2, 3.5 |" in table, table
    assert "- dies, batch 1 f32 threads 1, batch 2 f32 threads 1: exit status 1: out of paper\n" in table, table
    assert "attend: attend, " in table and "well: well 1.2" in table, table

    other = [engine, "--model", str(model), "--bench", program, "--batches", "2", "--prompt", "5", "--tokens", "4", "--samples", "1", "--threads", "1"]
    stand_in = f"other={sys.executable} {script} other {log} other {program}"
    done = run(*other, "--dtypes", "bf16", "--out", str(folder), "--machine", "A Machine", "--exec", stand_in)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["engine"]
    assert [(r["dtype"], r["batch"]) for r in rows] == [("bf16", 2), ("f32", 1), ("f32", 2)], rows
    assert rows[0]["sides"]["other"]["agrees"] == {"first": 0, "leading": 0.0}, rows[0]


def asks_the_peers_of_the_folder(engine, program, model, folder):
    """engine_peer.py calls a library's model, here a stand-in that counts up; a package that is missing is told by name."""
    script = pathlib.Path(engine).with_name("engine_peer.py")
    (folder / "engine_peers").mkdir()
    (folder / "engine_peers" / "counts.py").write_text(
        'VERSION = "counts 3"\nclass Model:\n    def __init__(self, *words):\n        self.words = words\n'
        "    def prefill(self, prompts):\n        return [p[-1] + 1 for p in prompts]\n"
        "    def step(self, tokens):\n        return [t + 1 for t in tokens]\n    def ids(self, tokens):\n        return tokens\n")
    questions = [{"cmd": "prep", "model": str(model), "dtype": "f32", "threads": 1, "prompts": [[1, 2], [3, 4]], "tokens": 3}, {"cmd": "time"}]
    for name in ("counts", "nobody"):
        done = subprocess.run([sys.executable, str(script), name], input="".join(json.dumps(q) + "\n" for q in questions), capture_output=True, text=True,
                              env=os.environ | {"PYTHONPATH": str(folder)})
        prepared, timed = map(json.loads, done.stdout.splitlines())
        if name == "counts":
            assert prepared == {"ok": True, "version": "counts 3", "responses": [[3, 4, 5], [5, 6, 7]]}, prepared
            assert timed["responses"] == prepared["responses"] and timed["decode"]["steps"] == 2, timed
            assert timed["first_token"] == timed["prefill"]["seconds"] > 0 and timed["decode"]["seconds"] > 0, timed
        else:
            expected = "No module named 'engine_peers.nobody'; tools/setup compare --peer nobody installs it"
            assert prepared == {"ok": False, "error": expected}, prepared
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    done = run(engine, "--model", str(model), "--bench", program, "--batches", "1", "--prompt", "2", "--tokens", "2", "--samples", "1", "--threads", "1",
               "--dtypes", "f32", "--peer", "transformers", "--python", f"transformers={python}")
    assert done.returncode == 0, done.stderr
    assert "- transformers, batch 1 f32 threads 1: No module named '" in done.stdout, done.stdout


def main(engine, program, random_checkpoint):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "model"
        sizes = {"vocab-size": 128, "hidden-size": 64, "num-hidden-layers": 2, "num-attention-heads": 2, "num-key-value-heads": 1, "head-dim": 32,
                 "intermediate-size": 64}
        written = run(random_checkpoint, str(model), *[word for name, size in sizes.items() for word in (f"--{name}", str(size))])
        assert written.returncode == 0, written.stderr
        takes_turns(engine, program, model, folder)
        asks_the_peers_of_the_folder(engine, program, model, folder)
        done = run(engine, "--model", str(folder), "--bench", program)
        assert done.returncode != 0 and f"--model is {folder}, expected a folder with a config.json" in done.stderr, done.stderr


main(*sys.argv[1:])
