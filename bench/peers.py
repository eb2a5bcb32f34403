#!/usr/bin/env python3
"""attend beside PyTorch's scaled_dot_product_attention on the bench's prefill cases.

    peers.py --worker build/release/bench/bin/bench_worker [--machine NAME] [--out bench/results]

Needs torch and numpy. Each side has a process of its own, told over a pipe to time a few calls; samples of all
sides alternate, each after a call that is not timed and a pause in which the other side's threads go to sleep.
Sides: attend on its own memory order [batch, seqlen, heads, dim]; attend on PyTorch's, [batch, heads, seqlen, dim];
torch with enable_gqa; torch with K and V repeated for all heads beforehand, which is not timed (grouped heads only).
Torch's figure is its faster one. With one thread a call's time is the CPU time of its process, which leaves out what
other jobs took of the core; with more it is the wall's, and samples go on until three had the CPUs to themselves, or
--most samples are taken. Results are checked on both sides before anything is timed.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time

CASES = {  # batch, heads, kv_heads, seqlen_q, seqlen_k, head_dim, v_dim, causal (bottom right): tests/support/bench_cases.cc
    "prefill512": (1, 32, 8, 512, 512, 128, 128, 1),
    "prefill2k": (1, 32, 8, 2048, 2048, 128, 128, 1),
    "prefill4k_mha64": (1, 16, 16, 4096, 4096, 64, 64, 1),
    "encoder128": (4, 12, 12, 128, 128, 64, 64, 0),
    "chunk256_4k": (1, 32, 8, 256, 4096, 128, 128, 1),
}


def flop(shape):
    batch, heads, _, rows, keys, dim, v_dim, causal = shape
    pairs = sum(keys - rows + i + 1 for i in range(rows)) if causal else rows * keys
    return 2.0 * batch * heads * (dim + v_dim) * pairs


class TorchSide:
    """Answers bench/worker's protocol with PyTorch."""

    def prep(self, words):
        import torch

        torch.set_num_threads(words["threads"])
        batch, heads, kv_heads, rows, keys, dim, v_dim = words["shape"]
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[words["dtype"]]
        gen = torch.Generator().manual_seed(1)
        q, k, v = (
            torch.randn(batch, h, n, d, generator=gen).to(dtype)
            for h, n, d in ((heads, rows, dim), (kv_heads, keys, dim), (kv_heads, keys, v_dim))
        )
        options = {}
        visible = torch.ones(rows, keys, dtype=torch.bool).tril(keys - rows)
        if words["causal"] and rows == keys:
            options["is_causal"] = True
        elif words["causal"]:
            options["attn_mask"] = torch.zeros(rows, keys, dtype=dtype).masked_fill(~visible, float("-inf"))
        group = heads // kv_heads
        wide_k, wide_v = (x.repeat_interleave(group, 1) if group > 1 else x for x in (k, v))
        if words["repeat"]:
            k, v = wide_k, wide_v
        elif group > 1:
            options["enable_gqa"] = True

        def call():
            with torch.inference_mode():
                return torch.nn.functional.scaled_dot_product_attention(q, k, v, **options)

        self.call = call
        out = call().double()
        error, some = 0.0, torch.linspace(0, rows - 1, min(rows, 16)).long()
        for h in {0, heads - 1}:
            scores = q[:, h, some].double() @ wide_k[:, h].double().transpose(-1, -2) / dim**0.5
            if words["causal"]:
                scores = scores.masked_fill(~visible[some], float("-inf"))
            gold = scores.softmax(-1) @ wide_v[:, h].double()
            error = max(error, (out[:, h, some] - gold).abs().max().item())
        if not error < (1e-4 if words["dtype"] == "fp32" else 3e-2):
            raise RuntimeError(f"torch is off by {error}")
        begin = time.perf_counter()
        call()
        return {"ok": True, "max_err": error, "second_call_s": time.perf_counter() - begin,
                "kernel": f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}"}

    def time(self, words):
        self.call()
        wall, cpu = [], []
        begin = time.perf_counter(), time.process_time()
        for _ in range(words["calls"]):
            t, u = time.perf_counter(), time.process_time()
            self.call()
            wall.append(time.perf_counter() - t)
            cpu.append(time.process_time() - u)
        return {"secs": wall, "cpu": cpu, "cpus": (time.process_time() - begin[1]) / (time.perf_counter() - begin[0])}

    def serve(self):
        for line in sys.stdin:
            words = json.loads(line)
            if words["cmd"] == "quit":
                return
            try:
                answer = getattr(self, words["cmd"])(words)
            except Exception as e:
                answer = {"ok": False, "error": f"{type(e).__name__}: {e}"}
            print(json.dumps(answer), flush=True)


class Side:
    """One process and the times of its calls."""

    def __init__(self, name, command, threads, **words):
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), ATTEND_NUM_THREADS=str(threads))
        self.name, self.words, self.threads = name, words, threads
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.seconds, self.undisturbed = [], 0

    def ask(self, **words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"ok": False, "error": f"exit status {self.process.wait()}"}
        if not answer.get("ok", True):
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def prep(self, shape, dtype):
        self.facts = self.ask(cmd="prep", shape=shape[:7], causal=shape[7], dtype=dtype, threads=self.threads, copies=1, **self.words)
        self.calls = max(1, min(500, int(0.1 / max(self.facts["second_call_s"], 1e-6))))

    def sample(self):
        time.sleep(0.03)
        answer = self.ask(cmd="time", calls=self.calls)
        self.seconds += answer["cpu" if self.threads == 1 else "secs"]
        self.undisturbed += self.threads == 1 or answer["cpus"] > 0.9 * self.threads

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def best(self):
        return min(self.seconds)

    def median(self):
        return sorted(self.seconds)[len(self.seconds) // 2]


def compare(name, dtype, threads, args):
    shape = CASES[name]
    torch = [sys.executable, __file__, "--torch-side"]
    sides = [Side("attend", [args.worker], threads), Side("attend, heads first", [args.worker], threads, heads_first=True),
             Side("torch", torch, threads, repeat=False)]
    if shape[1] != shape[2]:
        sides.append(Side("torch, repeated", torch, threads, repeat=True))
    for side in sides:
        side.prep(shape, dtype)
    for taken in range(args.most):
        if taken >= args.samples and min(side.undisturbed for side in sides) >= 3:
            break
        for side in sides:
            side.sample()
    for side in sides:
        side.close()
    row = {"case": name, "dtype": dtype, "threads": threads, "sides": {}}
    for side in sides:
        row["sides"][side.name] = {"best_s": side.best(), "median_s": side.median(), "calls": len(side.seconds),
                                   "undisturbed_samples": side.undisturbed, "ran": side.facts["kernel"], "max_err": side.facts["max_err"],
                                   "gflops_best": flop(shape) / side.best() / 1e9, "gflops_median": flop(shape) / side.median() / 1e9}
    for of in ("best_s", "median_s"):
        rival = min(s[of] for n, s in row["sides"].items() if n.startswith("torch"))
        row["ratio_" + of[:-2]] = rival / row["sides"]["attend"][of]
        row["ratio_heads_first_" + of[:-2]] = rival / row["sides"]["attend, heads first"][of]
    return row


def measure_peaks(program, known):
    for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
        p = json.loads(line)
        keep_best(known, str(p["threads"]), p)


def keep_best(known, threads, p):
    best = known.setdefault(threads, p)
    for name, value in p.items():
        best[name] = max(best[name], value)


def key(row):
    return row["threads"], list(CASES).index(row["case"]), row["dtype"]


def share_of_peak(row, peaks):
    p = peaks.get(str(row["threads"]))
    return row["sides"]["attend"]["gflops_best"] / p["f32_fma_gflops" if row["dtype"] == "fp32" else "bf16_peak_gflops"] if p else None


def table(result):
    beside = f"attend {', '.join(result['attend'])} beside {result['torch']}" if result["rows"] else "attend"
    lines = [f"# {result['machine']}, {result['date']}", "",
             f"{beside}; {result['cpu']}, {result['cpus']} CPUs, load {result['load'][0]} to {result['load'][1]}.",
             "GFLOP/s without masked work, best (median). Ratio: PyTorch's time over attend's, above 1 attend is faster; heads first:",
             "attend on PyTorch's memory order. Peak: the f32 FMA rate, or for bf16 the faster of that and the dot product's. How it was",
             "measured: `bench/peers.py --help` and bench/README.md.", ""]
    for threads, p in result["peaks"].items():
        lines.append(f"- {threads} thread(s): f32 FMA {p['f32_fma_gflops']:.0f} GFLOP/s, bf16 dot product {p['bf16_dot_gflops']:.0f} GFLOP/s, "
                     f"read {p['read_gbytes']:.1f} GB/s")
    if not result["rows"]:
        return "\n".join(lines + operators(result)) + "\n"
    lines += ["", "| case | dtype | threads | attend | of peak | PyTorch | ratio | heads first |", "|---|---|---|---|---|---|---|---|"]
    for r in result["rows"]:
        torch = [s for n, s in r["sides"].items() if n.startswith("torch")]
        pair = lambda best, median, digits: f"{best:.{digits}f} ({median:.{digits}f})"
        share = share_of_peak(r, result["peaks"])
        mark = "" if min(s["undisturbed_samples"] for s in r["sides"].values()) >= 3 else " *"
        lines.append(" | ".join([f"| {r['case']}{mark}", r["dtype"], str(r["threads"]),
                                 pair(r["sides"]["attend"]["gflops_best"], r["sides"]["attend"]["gflops_median"], 1),
                                 f"{share:.0%}" if share else "", pair(max(s["gflops_best"] for s in torch), max(s["gflops_median"] for s in torch), 1),
                                 pair(r["ratio_best"], r["ratio_median"], 2),
                                 pair(r["ratio_heads_first_best"], r["ratio_heads_first_median"], 2) + " |"]))
    ran = sorted({s["ran"] for r in result["rows"] for n, s in r["sides"].items() if n.startswith("attend")})
    lines += ["", "attend ran " + ", ".join(ran) + ".",
              "\\* some side never had the CPUs to itself in three samples: its figures say little of an idle machine."]
    return "\n".join(lines + operators(result)) + "\n"


def operators(result):
    """The rows of collect.py and the note."""
    import collect

    lines = collect.table(result["operators"]) if result.get("operators") else []
    return lines + ["", result["note"]] if result.get("note") else lines


def stem(result, folder):
    words = "".join(c if c.isalnum() else " " for c in result["machine"].lower()).split()
    return pathlib.Path(folder) / "-".join([result["date"], *words])


def write(result, folder):
    path = stem(result, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(f"{path}.json").write_text(json.dumps(result, indent=1) + "\n")
    pathlib.Path(f"{path}.md").write_text(table(result))
    return f"{path}.json and {path}.md"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", help="the program bench_worker; machine_peak is looked for beside it")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--threads", default=f"1,{len(os.sched_getaffinity(0))}")
    parser.add_argument("--samples", type=int, default=7)
    parser.add_argument("--most", type=int, default=21)
    parser.add_argument("--machine", help="the machine's name in the results; default: what the CPU calls itself")
    parser.add_argument("--note", help="a sentence for the end of the table")
    parser.add_argument("--out", help="folder for <date>-<machine>.json and .md, in which rows of the same day stay until measured "
                        "again; default: the table alone is printed")
    parser.add_argument("--torch-side", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch_side:
        return TorchSide().serve()
    if not args.worker:
        parser.error("--worker is not given, expected the path of bench_worker (build/release/bench/bin/bench_worker)")
    peak_program = str(pathlib.Path(args.worker).with_name("machine_peak"))
    peaks, rows = {}, []
    measure_peaks(peak_program, peaks)
    cpu = next(iter(peaks.values()))["cpu"]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    result = {"machine": args.machine or cpu, "cpu": cpu, "cpus": os.cpu_count(), "date": datetime.date.today().isoformat(),
              "load": [round(os.getloadavg()[0], 1)] * 2, "peaks": peaks, "rows": rows, "note": args.note}
    if args.out and pathlib.Path(f"{stem(result, args.out)}.json").exists():
        old = json.loads(pathlib.Path(f"{stem(result, args.out)}.json").read_text())
        rows += old["rows"]
        result["operators"] = old.get("operators", [])
        result["note"] = args.note or old.get("note")
        result["load"] = [f(*result["load"], *old["load"]) for f in (min, max)]
        for threads, p in old["peaks"].items():
            keep_best(peaks, threads, p)
    for threads in dict.fromkeys(map(int, args.threads.split(","))):
        for name in args.cases.split(","):
            for dtype in args.dtypes.split(","):
                row = compare(name, dtype, threads, args)
                row["attend"] = commit.stdout.strip()
                rows[:] = sorted([r for r in rows if key(r) != key(row)] + [row], key=key)
                result["attend"] = sorted({r["attend"] for r in rows})
                result["torch"] = row["sides"]["torch"]["ran"]
                result["load"] = [f(*result["load"], round(os.getloadavg()[0], 1)) for f in (min, max)]
                print(f"{name} {dtype} threads {threads}: ratio {row['ratio_best']:.2f} ({row['ratio_median']:.2f}), heads first "
                      f"{row['ratio_heads_first_best']:.2f}", file=sys.stderr, flush=True)
                if args.out:
                    write(result, args.out)
        measure_peaks(peak_program, peaks)
    print(table(result))
    if args.out:
        print("wrote", write(result, args.out))


if __name__ == "__main__":
    main()
