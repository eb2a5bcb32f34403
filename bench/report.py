"""The results of compare and collect.py: <date>-<machine>.json, the table .md of it and the plot .png."""

import json
import pathlib
import sys


def keep_best(known, threads, p):
    best = known.setdefault(threads, p)
    for name, value in p.items():
        best[name] = max(best[name], value)


def stem(result, folder):
    words = "".join(c if c.isalnum() else " " for c in result["machine"].lower()).split()
    return pathlib.Path(folder) / "-".join([result["date"], *words])


def resume(result, folder):
    """The result together with what a file of the same day and machine has; its rows stay until they are measured again."""
    path = pathlib.Path(f"{stem(result, folder)}.json")
    if not path.exists():
        return result
    old = json.loads(path.read_text())
    for threads, p in result["peaks"].items():
        keep_best(old["peaks"], threads, p)
    load = [min(result["load"][0], old["load"][0]), max(result["load"][1], old["load"][1])]
    return result | old | {"load": load, "note": result["note"] or old.get("note")}


def write(result, folder):
    path = stem(result, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(f"{path}.json").write_text(json.dumps(result, indent=1) + "\n")
    pathlib.Path(f"{path}.md").write_text(table(result))
    plots = [plot(result, f"{path}.png")] if result["rows"] else []
    if result.get("engine"):
        import engine_report

        plots.append(engine_report.plot(result, f"{path}-engine.png"))
    return " and ".join([f"{path}.json", f"{path}.md", *filter(None, plots)])


def limit(row, peaks):
    """What the machine can do at most of what a row counts: FLOP/s, or bytes/s where memory is what it waits for."""
    p = peaks.get(str(row["threads"]))
    if p is None or row["unit"] == "µs":
        return None
    if row["unit"] == "GB/s":
        return p["read_gbytes"]
    return p["f32_fma_gflops" if row["dtype"] == "fp32" else "bf16_peak_gflops"]


def peers_of(row):
    return {name: side for name, side in row["sides"].items() if not name.startswith("attend")}


def best_peer(row, of="best_s"):
    peers = peers_of(row)
    return min(peers, key=lambda name: peers[name][of]) if peers else None


def sides_of_ratio(seconds):
    """Of names and seconds: attend's sides and the fastest peer."""
    peers = {name: s for name, s in seconds.items() if not name.startswith("attend")}
    return [*(seconds.keys() - peers), *([min(peers, key=peers.get)] if peers else [])]


def settled(sides):
    """Whether those that the ratio is made of had the CPUs to themselves often enough. Of names: (how often, best seconds)."""
    return min(sides[name][0] for name in sides_of_ratio({name: s for name, (_, s) in sides.items()})) >= 3


def label(name, side):
    return f"{name}: {side['way']}" if side.get("way") else name


def table(result):
    lines = [f"# {result['machine']}, {result['date']}", "",
             f"attend {', '.join(result.get('attend', []))}; {result['cpu']}, {result['cpus']} CPUs, load {result['load'][0]} to {result['load'][1]}."]
    lines += [f"- {threads} thread(s): f32 FMA {p['f32_fma_gflops']:.0f} GFLOP/s, bf16 dot product {p['bf16_dot_gflops']:.0f} GFLOP/s, "
              f"read {p['read_gbytes']:.1f} GB/s" for threads, p in result["peaks"].items()]
    if result["rows"]:
        lines += beside_peers(result)
    if result.get("operators"):
        import collect

        lines += collect.table(result["operators"])
    if result.get("engine"):
        import engine_report

        lines += engine_report.table(result["engine"], result["peaks"])
    return "\n".join(lines + (["", result["note"]] if result.get("note") else [])) + "\n"


def beside_peers(result):
    lines = ["", "Best (median) of samples in turn; GFLOP/s without masked work, GB/s of K and V, µs of a tiny call. Limit: the f32 FMA rate, for bf16 the faster of",
             "that and the dot product's, or the read bandwidth. Ratio: the time of the case's fastest peer over attend's, above 1 attend is",
             "faster; heads first: attend on memory [batch, heads, seqlen, dim]. How it was measured: `bench/compare --help`, bench/README.md.", "",
             "| case | dtype | threads | attend | of limit | fastest peer | its share | ratio | heads first |", "|---|---|---|---|---|---|---|---|---|"]
    for r in result["rows"]:
        top, attend, peer = limit(r, result["peaks"]), r["sides"]["attend"], best_peer(r)
        share = lambda side: f"{side['rate_best'] / top:.0%}" if top else ""
        mark = "" if settled({n: (s["undisturbed_samples"], s["best_s"]) for n, s in r["sides"].items()}) else " *"
        ratio = lambda of: f"{r[f'{of}_best']:.2f} ({r[f'{of}_median']:.2f})" if peer else ""
        lines.append(f"| {r['case']}{mark} | {r['dtype']} | {r['threads']} | {attend['rate_best']:.1f} ({attend['rate_median']:.1f}) {r['unit']} | {share(attend)} | "
                     f"{label(peer, r['sides'][peer]) if peer else 'none'} | {share(r['sides'][peer]) if peer else ''} | {ratio('ratio')} | {ratio('ratio_heads_first')} |")
    ran = sorted({s["ran"] for r in result["rows"] for n, s in r["sides"].items() if n.startswith("attend")})
    peers = sorted({f"{n}: {s['ran']}" for r in result["rows"] for n, s in peers_of(r).items()})
    lines += ["", "attend ran " + ", ".join(ran) + ". " + "; ".join(peers) + ".",
              "\\* attend or the fastest peer never had the CPUs to itself in three samples: the figures say little of an idle machine."]
    return lines + beside_refusals(result["rows"])


def beside_refusals(rows):
    """Who was left out of which cases, in its own words."""
    said = {}
    for r in rows:
        for peer, words in r.get("refused", {}).items():
            said.setdefault((peer, words), {}).setdefault(f"{r['case']} {r['dtype']}")
    lines = [f"- {peer}, {', '.join(cases) if len(cases) < len({(r['case'], r['dtype']) for r in rows}) else 'every case'}: {words[:400]}"
             for (peer, words), cases in sorted(said.items())]
    return ["", "Left out:", *lines] if lines else []


def drawing():
    """What draws plots; None, and words, without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        print("report: no plot, this Python has no matplotlib (pip install matplotlib)", file=sys.stderr)
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def colors_of(pyplot, peers):
    return dict(zip(["attend", *peers], ["black", *pyplot.get_cmap("tab10").colors * 3]))


def save(pyplot, figure, colors, path):
    """With a legend below; returns where it was written."""
    figure.legend([pyplot.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()], list(colors), loc="outside lower center",
                  ncols=len(colors), fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def plot(result, path):
    """Shares of the limit, a panel for each dtype and number of threads: of a case attend, then its peers from the fastest on."""
    if (pyplot := drawing()) is None:
        return None
    panels = sorted({(r["threads"], r["dtype"]) for r in result["rows"]})
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(11, 2.6 * len(panels)), squeeze=False, layout="constrained")
    colors = colors_of(pyplot, sorted({n for r in result["rows"] for n in peers_of(r)}))
    width = 0.86 / len(colors)
    for axis, (threads, dtype) in zip(axes[:, 0], panels):
        rows = [r for r in result["rows"] if (r["threads"], r["dtype"]) == (threads, dtype) and limit(r, result["peaks"])]
        for x, r in enumerate(rows):
            sides, top = r["sides"], limit(r, result["peaks"])
            shown = ["attend", *sorted(peers_of(r), key=lambda name: sides[name]["best_s"])]
            places = [x + (i - (len(shown) - 1) / 2) * width for i in range(len(shown))]
            axis.bar(places, [100 * sides[n]["rate_best"] / top for n in shown], 0.92 * width, color=[colors[n] for n in shown])
        axis.set_xticks(range(len(rows)), [r["case"] for r in rows], fontsize=8)
        axis.set_ylabel("% of the limit")
        axis.set_ylim(0, 100)
        axis.grid(axis="y", alpha=0.3)
        axis.set_title(f"{dtype}, {threads} thread(s)", fontsize=10)
    figure.suptitle(f"{result['machine']}, {result['date']}: share of the FMA peak, of the read bandwidth where K and V stream", fontsize=10)
    return save(pyplot, figure, colors, path)
