"""compare_test.py COMPARE WORKER: the script times what answers the protocol in turn, leaves out what refuses, dies or answers wrong,
and refuses in words. Peers here are stand-ins."""

import json
import pathlib
import stat
import subprocess
import sys
import tempfile

# A peer that is slower than attend can be, and notes when it was timed. Its words: name, log, what becomes of it.
STAND_IN = """
import json, pathlib, sys
name, log, fate = sys.argv[1:4]
timed = 0
for line in sys.stdin:
    words = json.loads(line)
    if words["cmd"] == "prep":
        answer = {"ok": True, "second_call_s": 1.0, "version": name + " 1.2", "way": "paged", "ways": {"paged": 1.0}, "max_err": 0.0}
        if fate == "refuses":
            answer = {"ok": False, "error": "only on Sundays"}
    else:
        timed += 1
        pathlib.Path(log).open("a").write(name + " ")
        if fate == "dies":
            sys.exit("some line\\nout of paper")
        answer = {"secs": [2.0 if fate == "slow" else 1.0], "cpu": [], "cpus": 1.0}
        if fate == "errs" and timed == 2:
            answer = {"ok": False, "error": "out is off by 0.5"}
    print(json.dumps(answer), flush=True)
"""


def run(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def times_in_turn(compare, worker, folder):
    script, log = folder / "stand_in.py", folder / "log"
    script.write_text(STAND_IN)
    words = [compare, "--worker", worker, "--cases", "tiny16,tiny8h16", "--dtypes", "fp32,bf16", "--threads", "1", "--samples", "3", "--out",
             str(folder), "--machine", "A Machine"]
    for name, fate in (("slow", "slow"), ("quick", "well"), ("shop", "refuses"), ("errs", "errs"), ("dies", "dies")):
        words += ["--exec", f"{name}={sys.executable} {script} {name} {log} {fate}"]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*-a-machine.json")
    rows = json.loads(path.read_text())["rows"]
    assert [(r["case"], r["dtype"]) for r in rows] == [(c, d) for c in ("tiny16", "tiny8h16") for d in ("bf16", "fp32")], rows
    for row in rows:
        assert set(row["sides"]) == {"attend", "attend, heads first", "slow", "quick"}, row
        assert row["refused"] == {"shop": "only on Sundays", "errs": "out is off by 0.5", "dies": "exit status 1: out of paper"}, row
        assert all(side["best_s"] > 0 and side["calls"] >= 3 for side in row["sides"].values()), row
        assert row["sides"]["quick"]["ways"] == {"paged": 1.0}, row
        assert row["ratio_best"] == 1.0 / row["sides"]["attend"]["best_s"], row
    a_case = "slow quick errs dies slow quick errs slow quick "
    assert log.read_text() == a_case * 4, log.read_text()
    table = path.with_suffix(".md").read_text()
    assert "| tiny8h16 | bf16 | 1 |" in table and "| quick: paged |" in table, table
    assert "quick: quick 1.2; slow: slow 1.2." in table, table
    assert "- dies, every case: exit status 1: out of paper\n" in table, table


def takes_the_peers_of_the_folder(compare, worker, folder):
    """An interpreter that has not what a peer needs is told apart from a name that is none."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = vllm ] && exec {worker}\nexec {sys.executable} -S -E "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    done = run(compare, "--worker", worker, "--peer", "vllm,zentorch", "--python", f"vllm={python}", "--python", f"zentorch={python}", "--cases", "tiny16",
               "--dtypes", "fp32", "--threads", "1", "--samples", "1", "--most", "1")
    assert done.returncode == 0, done.stderr
    assert "| tiny16 * | fp32 | 1 |" in done.stdout and "| vllm |" in done.stdout, done.stdout
    assert "- zentorch, every case: No module named '" in done.stdout, done.stdout
    assert "tools/setup compare --peer zentorch installs it" in done.stdout, done.stdout


def main(compare, worker):
    with tempfile.TemporaryDirectory() as folder:
        times_in_turn(compare, worker, pathlib.Path(folder))
        takes_the_peers_of_the_folder(compare, worker, pathlib.Path(folder))
    for words, expected in (
        (["--cases", "prefill3"], "--cases names 'prefill3'"),
        (["--peer", "case"], "--peer names 'case', expected all or some of ggml, "),
        (["--exec", "vllm"], "--exec is 'vllm', expected NAME=VALUE"),
        (["--exec", "shop=/no/shop open"], "the command of shop is '/no/shop open', expected a program to begin it"),
    ):
        done = run(compare, "--worker", worker, *words)
        assert done.returncode != 0 and expected in done.stderr, done.stderr


main(*sys.argv[1:])
