"""worker_test.py WORKER: the worker answers each line of its protocol, and bad lines in words."""

import json
import subprocess
import sys

LINES = [
    ({"cmd": "time", "calls": 1}, lambda a: a["ok"] is False and "prep" in a["error"]),
    (
        {"cmd": "prep", "shape": [1, 8, 2, 16, 16, 64, 64], "causal": 1, "dtype": "bf16", "threads": 1, "copies": 2},
        lambda a: a["ok"] and a["kernel"].startswith("flash/native/") and 0 < a["max_err"] <= a["allowed_err"],
    ),
    ({"cmd": "time", "calls": 3}, lambda a: len(a["secs"]) == len(a["cpu"]) == 3 and min(a["secs"]) > 0),
    (
        {"cmd": "prep", "shape": [1, 8, 2, 16, 16, 64, 64], "dtype": "fp32", "kernel": "flash/native/portable", "heads_first": True},
        lambda a: a["ok"] and a["kernel"] == "flash/native/portable",
    ),
    ({"cmd": "time", "calls": 1}, lambda a: len(a["secs"]) == 1),
    ({"cmd": "prep", "shape": [1, 8], "dtype": "fp32"}, lambda a: a["ok"] is False and "shape has 2 numbers" in a["error"]),
    ({"cmd": "prep", "shape": [1, 3, 2, 4, 4, 8, 8], "dtype": "fp32"}, lambda a: a["ok"] is False and "heads" in a["error"]),
    (
        {"cmd": "prep", "op": "paged", "shape": [2, 8, 2, 1, 33, 64, 64], "dtype": "bf16", "page_size": 8, "kv_dtype": "fp8_e4m3"},
        lambda a: a["ok"] and a["kernel"].startswith("paged/native/"),
    ),
    ({"cmd": "time", "calls": 1}, lambda a: len(a["secs"]) == 1),
    ({"cmd": "prep", "op": "decode", "shape": [2, 8, 2, 1, 33, 64, 64], "dtype": "fp32"}, lambda a: a["kernel"].startswith("decode/native/")),
    (
        {"cmd": "prep", "op": "splash", "shape": [1, 2, 2, 70, 70, 64, 64], "dtype": "fp32", "block_mask": 16},
        lambda a: a["kernel"].startswith("splash/native/"),
    ),
    (
        {"cmd": "prep", "shape": [1, 2, 2, 4, 4, 8, 8], "dtype": "fp32", "kv_dtype": "int8"},
        lambda a: a["ok"] is False and "kv_dtype is given, expected it with paged or decode" in a["error"],
    ),
    (
        {"cmd": "prep", "op": "paged", "shape": [1, 2, 2, 4, 4, 8, 8], "dtype": "fp32", "kv_dtype": "int4"},
        lambda a: a["ok"] is False and "kv_dtype is 'int4'" in a["error"],
    ),
    ({"cmd": "prep", "op": "paged", "shape": [1, 2, 2, 4, 4, 8, 8], "dtype": "fp32", "page_size": 0}, lambda a: a["ok"] is False and "page_size is 0" in a["error"]),
    ({"cmd": "prep", "shape": [1, 2, 2, 4, 4, 8, 8], "dtype": "int8"}, lambda a: a["ok"] is False and "dtype is 'int8'" in a["error"]),
    ({"cmd": "prep", "op": "gdn", "shape": [1, 2, 2, 4, 4, 8, 8], "dtype": "fp32"}, lambda a: a["ok"] is False and "gdn" in a["error"]),
    ({"cmd": "dance"}, lambda a: a["ok"] is False and "'dance'" in a["error"]),
]

worker = subprocess.run(
    [sys.argv[1]],
    input="".join(json.dumps(line) + "\n" for line, _ in LINES) + '{"cmd":"quit"}\nnot reached\n',
    capture_output=True,
    text=True,
    timeout=60,
)
answers = [json.loads(line) for line in worker.stdout.splitlines()]
assert worker.returncode == 0, worker
assert len(answers) == len(LINES), worker
for (line, expected), answer in zip(LINES, answers):
    assert expected(answer), (line, answer)
