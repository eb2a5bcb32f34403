#!/usr/bin/env python3
"""What the bench programs measured, as a table of results/.

    decode_bench --benchmark_format=json > decode.json
    collect.py --machine "AMD Zen5" --peaks peaks.jsonl --load 9.1 18.5 --out bench/results decode.json paged.json ...

Rows go into <date>-<machine>.json and .md beside those of compare, in place of rows of the same name. peaks.jsonl is what
machine_peak printed. Shares of peaks are those that the programs counted, with the peaks of their own run.
"""

import argparse
import datetime
import json
import os
import pathlib

import report


def rows_of(path):
    """Rows of one program, and the names of those that failed."""
    rows, failed = [], []
    for b in json.loads(pathlib.Path(path).read_text())["benchmarks"]:
        if b.get("error_occurred"):
            failed.append(f"{b['name']}: {b['error_message']}")
            continue
        name, _, threads = b["name"].rpartition("/threads:")
        *kernel, case = name.split("/", 3)  # operator/backend/implementation
        kernel = "/".join(kernel)
        keys = ("best_us", "median_us", "FLOP/s", "FLOP/s_median", "bytes/s", "bytes/s_median", "of_fma_peak", "of_read_peak")
        rows.append({"kernel": kernel, "case": case, "threads": int(threads), **{k: b[k] for k in keys if k in b}})
    return rows, failed


def table(rows):
    """Rows of calls that multiply by their share of the FMA peak, of calls that stream by that of the read bandwidth."""
    lines = ["", "## Every operator", "", "Times best (median). GFLOP/s, GB/s and shares of the measured peaks are those of the best sample.", "",
             "| kernel | case | threads | µs | GFLOP/s | of FMA peak | GB/s | of read peak |", "|---|---|---|---|---|---|---|---|"]
    number = lambda row, key, scale, digits: f"{row[key] / scale:.{digits}f}" if key in row else ""
    share = lambda row, key: f"{row[key]:.0%}" if key in row else ""
    for r in rows:
        lines.append(f"| {r['kernel']} | {r['case']} | {r['threads']} | {r['best_us']:.1f} ({r['median_us']:.1f}) | {number(r, 'FLOP/s', 1e9, 1)} | "
                     f"{share(r, 'of_fma_peak')} | {number(r, 'bytes/s', 1e9, 2)} | {share(r, 'of_read_peak')} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="what programs printed with --benchmark_format=json")
    parser.add_argument("--machine", required=True)
    parser.add_argument("--peaks", required=True, help="what machine_peak printed")
    parser.add_argument("--load", nargs=2, type=float, default=[os.getloadavg()[0]] * 2, help="least and most while the programs ran")
    parser.add_argument("--note", help="a sentence for the end of the table")
    parser.add_argument("--out", default=str(pathlib.Path(__file__).parent / "results"))
    args = parser.parse_args()
    peaks = {}
    for line in pathlib.Path(args.peaks).read_text().splitlines():
        p = json.loads(line)
        report.keep_best(peaks, str(p["threads"]), p)
    cpu = next(iter(peaks.values()))["cpu"]
    result = {"machine": args.machine, "cpu": cpu, "cpus": os.cpu_count(), "date": datetime.date.today().isoformat(), "load": args.load,
              "peaks": peaks, "rows": [], "note": args.note}
    result = report.resume(result, args.out)
    result.setdefault("operators", [])
    for file in args.files:
        rows, failed = rows_of(file)
        if failed:
            raise SystemExit("\n".join(failed))
        names = {(r["kernel"], r["case"], r["threads"]) for r in rows}
        result["operators"] = [r for r in result["operators"] if (r["kernel"], r["case"], r["threads"]) not in names] + rows
    print("wrote", report.write(result, args.out))


if __name__ == "__main__":
    main()
