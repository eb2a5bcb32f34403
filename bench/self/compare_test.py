"""compare_test.py COMPARE WORKER: the script times what answers the protocol, leaves out what refuses, and refuses in words."""

import json
import pathlib
import subprocess
import sys
import tempfile

REFUSES = """
import sys
for _ in sys.stdin:
    print('{"ok": false, "error": "only on Sundays"}', flush=True)
"""


def run(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def main(compare, worker):
    with tempfile.TemporaryDirectory() as folder:
        shop = pathlib.Path(folder) / "shop.py"
        shop.write_text(REFUSES)
        done = run(compare, "--worker", worker, "--cases", "tiny16,tiny8h16", "--dtypes", "fp32,bf16", "--threads", "1", "--samples", "3", "--out", folder,
                   "--machine", "A Machine", "--exec", f"twin={worker}", "--exec", f"shop={sys.executable} {shop}")
        assert done.returncode == 0, done.stderr
        (path,) = pathlib.Path(folder).glob("*-a-machine.json")
        rows = json.loads(path.read_text())["rows"]
        assert [(r["case"], r["dtype"]) for r in rows] == [(c, d) for c in ("tiny16", "tiny8h16") for d in ("bf16", "fp32")], rows
        for row in rows:
            assert set(row["sides"]) == {"attend", "attend, heads first", "twin"}, row
            assert row["refused"] == {"shop": "only on Sundays"}, row
            assert all(side["best_s"] > 0 and side["calls"] >= 3 for side in row["sides"].values()), row
            best = {name: side["best_s"] for name, side in row["sides"].items()}
            assert row["ratio_best"] == best["twin"] / best["attend"], row
        table = path.with_suffix(".md").read_text()
        assert "| tiny8h16 | bf16 | 1 |" in table and "| twin |" in table, table
    for words, expected in (
        (["--cases", "prefill3"], "--cases names 'prefill3'"),
        (["--peer", "vllm"], "--peer names 'vllm', expected torch, or --peers-script"),
        (["--exec", "vllm"], "--exec is 'vllm', expected NAME=VALUE"),
    ):
        done = run(compare, "--worker", worker, *words)
        assert done.returncode != 0 and expected in done.stderr, done.stderr


main(*sys.argv[1:])
