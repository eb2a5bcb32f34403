"""The part of results/ that engine measures: a table and a plot."""

import re

import report

HEADER = ("| batch | dtype | threads | side | first token, ms | prefill/s | decode/s | of bandwidth | prefill shares | decode shares | attend over it,"
          " decode | agrees |")
PARTS = ("products", "operators", "rest")


def title(row):
    return f"{row['model']}, prompts of {row['prompt']}, responses of {row['tokens']}"


def read_share(side, row, peaks):
    """Of the machine's read bandwidth: what a step must read, by the time that it took."""
    peak = peaks.get(str(row["threads"]))
    return side["decode"]["bytes_per_s"] / 1e9 / peak["read_gbytes"] if peak else None


def agrees(side, row):
    if side["agrees"] is None:
        return f"{side['first_tokens_as_alone']} of {side['alone']} as alone" if side.get("alone") else ""
    return f"{side['agrees']['first']} of {row['batch']}, {side['agrees']['leading']:.1f}"


def rate(part):
    """Of the best sample, and of the median one."""
    return f"{part['tokens_per_s']:.1f} ({part['tokens_per_s'] * part['best_s'] / part['median_s']:.1f})"


def shares(part):
    return " / ".join(f"{part['shares'][name]:.0%}" for name in PARTS) if "shares" in part else ""


def line(row, name, peaks):
    side, of_bandwidth = row["sides"][name], read_share(row["sides"][name], row, peaks)
    ratio = row["sides"]["attend"]["decode"]["tokens_per_s"] / side["decode"]["tokens_per_s"]
    cells = [row["batch"], row["dtype"], row["threads"], name + ("" if side["undisturbed_samples"] else " *"), f"{1e3 * side['first_token_s']:.1f}",
             rate(side["prefill"]), rate(side["decode"]), "" if of_bandwidth is None else f"{of_bandwidth:.0%}", shares(side["prefill"]),
             shares(side["decode"]), "" if name == "attend" else f"{ratio:.2f}", agrees(side, row)]
    return f"| {' | '.join(map(str, cells))} |"


def table(rows, peaks):
    lines = ["", "## The whole engine", "", "Tokens/s of the best sample (of the median one), prompts and single tokens apart. Bandwidth: the weights once and the keys",
             "and values of every request, as attend holds them, by the time of a decoding step, of the measured read bandwidth. Shares: of the",
             "time in matrix products / attention operators / everything else. Agrees: requests whose first token is attend's, and tokens up to the",
             "first that differs, the mean; attend: first tokens that are those of the request alone. How it was measured: `bench/engine --help`."]
    for group in dict.fromkeys(map(title, rows)):
        lines += ["", f"### {group}", "", HEADER, re.sub("[^|]+", "---", HEADER)]
        lines += [line(row, name, peaks) for row in rows if title(row) == group for name in row["sides"]]
    ran = sorted({f"{name}: {side['ran']}" for row in rows for name, side in row["sides"].items()})
    said = sorted({(name, words) for row in rows for name, words in row["refused"].items()})
    of = lambda name, words: ", ".join(f"batch {r['batch']} {r['dtype']} threads {r['threads']}" for r in rows if r["refused"].get(name) == words)
    return [*lines, "", "; ".join(ran) + ".",
            "\\* had no sample in which its threads had the CPUs to themselves: the figures say little of an idle machine.",
            *(["", "Left out:"] if said else []), *[f"- {name}, {of(name, words)}: {words[:400]}" for name, words in said]]


def plot(result, path):
    """Tokens/s of prefill, and of decode for each request; a row of panels for each checkpoint, dtype and number of threads."""
    if (pyplot := report.drawing()) is None:
        return None
    rows = result["engine"]
    panels = list(dict.fromkeys((title(r), r["dtype"], r["threads"]) for r in rows))
    figure, axes = pyplot.subplots(len(panels), 2, figsize=(11, 2.6 * len(panels)), squeeze=False, layout="constrained")
    colors = report.colors_of(pyplot, sorted({n for r in rows for n in report.peers_of(r)}))
    width = 0.86 / len(colors)
    height = {"prefill": lambda side, r: side["prefill"]["tokens_per_s"], "decode": lambda side, r: side["decode"]["tokens_per_s"] / r["batch"]}
    for pair, panel in zip(axes, panels):
        shown = [r for r in rows if (title(r), r["dtype"], r["threads"]) == panel]
        for axis, part in zip(pair, ("prefill", "decode")):
            for i, name in enumerate(colors):
                place = (i - (len(colors) - 1) / 2) * width
                at = [(x + place, height[part](r["sides"][name], r)) for x, r in enumerate(shown) if name in r["sides"]]
                if at:
                    axis.bar(*zip(*at), 0.92 * width, color=colors[name])
            if part == "decode":  # what one read of weights, keys and values a step allows at most
                for x, r in enumerate(shown):
                    if peak := result["peaks"].get(str(r["threads"])):
                        axis.hlines(peak["read_gbytes"] * 1e9 / r["bytes_of_step"], x - 0.45, x + 0.45, color="grey", linestyle="dashed")
            axis.set_xticks(range(len(shown)), [f"batch {r['batch']}" for r in shown], fontsize=8)
            axis.set_ylabel("tokens/s" if part == "prefill" else "tokens/s of a request")
            axis.grid(axis="y", alpha=0.3)
            axis.set_title(f"{part}: {panel[0]}\n{panel[1]}, {panel[2]} thread(s)", fontsize=8)
    figure.suptitle(f"{result['machine']}, {result['date']}: whole engine; dashed: the read bandwidth's limit of decoding", fontsize=10)
    return report.save(pyplot, figure, colors, path)
