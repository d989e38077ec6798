#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Runs bench/accuracy and makes docs/accuracy.md, its plots and its table of rows from what it prints.
The words are in report.md, where {name} stands for what is computed here. Equal figures give equal files.

usage: report.py PROGRAM DOCS
"""
import csv
import io
import json
import math
import os
import re
import subprocess
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.hashsalt": "jouletap", "svg.fonttype": "none", "font.size": 9, "font.family": "DejaVu Sans",
    "axes.grid": True, "xtick.major.size": 0, "ytick.major.size": 0,
    "grid.color": "#dddddd", "grid.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "lines.markersize": 4, "path.simplify_threshold": 0.5,
})
import matplotlib.pyplot as plt  # noqa: E402

# Okabe and Ito's colours, which those who see fewer can tell apart; shapes say the same again.
STYLES = {
    "spans": ("#0072B2", "o", "-"),
    "plain": ("#009E73", "s", "-"),
    "counter": ("#E69F00", "^", "--"),
    "average": ("#CC79A7", "v", "--"),
    "zeus": ("#D55E00", "D", ":"),
}
METHODS = list(STYLES)
OURS = ("spans", "plain")
GOALS = {("plain", 0.15): 9, ("plain", 1): 1.2, ("spans", 0.15): 5, ("spans", 1): 0.5}  # %, p95
GOAL_SENSORS = ("a100", "h100", "ada")  # whose counter moves each 100 ms
STRETCH = ("h100", 69.8, 72.0)


def run(program, *args):
    done = subprocess.run([program, *args], stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Rows:
    def __init__(self, rows):
        self.all = rows
        self.sensors = list(dict.fromkeys(r["sensor"] for r in rows))
        self.boards = {r["sensor"]: r["board"] for r in rows}
        self.gains = {r["sensor"]: r["gain"] for r in rows}
        self.loads = list(dict.fromkeys(r["load"] for r in rows))
        self.titles = {r["load"]: r["title"] for r in rows}

    def random(self, sensor, load):
        return [r for r in self.all
                if (r["sensor"], r["load"], r["windows"]) == (sensor, load, "random")]

    def one(self, sensor, load, window_s):
        return next(r for r in self.random(sensor, load) if r["window_s"] == window_s)

    def spans(self, sensor):
        return [r for r in self.all if r["sensor"] == sensor and r["windows"] != "random"]


# ---- plots ----

def smaller(svg):
    """The same picture without comments, indentation and needless digits; markers share their style."""
    svg = re.sub(r"<!--.*?-->|^ +", "", svg, flags=re.MULTILINE)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"\n+", "\n", svg))

    def share(group):
        style = re.search(r' style="[^"]*"', group[0])[0]
        return group[1] + style + ">" + group[2].replace(style, "")

    return re.sub(r'(<g clip-path="[^"]*")>((?:\n<use [^>]*/>)+)', share, svg)


def save(fig, docs, name):
    svg = io.StringIO()
    fig.savefig(svg, metadata={"Date": None, "Creator": None}, facecolor="white", bbox_inches="tight")
    plt.close(fig)
    text = smaller(svg.getvalue())
    assert len(text) < 150e3, (name, len(text))
    with open(os.path.join(docs, "accuracy", name + ".svg"), "w", encoding="utf-8") as f:
        f.write(text)


def seconds(ax):
    ax.set_xscale("log")
    ax.set_xticks([0.05, 0.15, 0.5, 1, 2, 5, 10], ["0.05", "0.15", "0.5", "1", "2", "5", "10"])
    ax.minorticks_off()


def percents(ax):
    ax.set_yscale("log")
    ax.set_ylim(0.02, 400)
    ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.minorticks_off()


def error_panel(ax, rows, sensor, load):
    for m in METHODS:
        colour, marker, line = STYLES[m]
        cells = rows.random(sensor, load)
        ax.plot([r["window_s"] for r in cells], [max(r[m]["gain_out"]["p95"], 0.02) for r in cells],
                color=colour, marker=marker, linestyle=line, linewidth=1.2, label=cells[0][m]["method"])
    if load == "llm" and sensor in GOAL_SENSORS:
        for m in OURS:
            at = [w for method, w in GOALS if method == m]
            ax.plot(at, [GOALS[m, w] for w in at], color=STYLES[m][0], marker="_", markersize=14,
                    markeredgewidth=2.5, linestyle="none", label="goal, " + rows.all[0][m]["method"])
    seconds(ax)
    percents(ax)
    ax.set_title(f"{rows.boards[sensor]}, {rows.titles[load]}", fontsize=9)


def error_plot(docs, rows, name, loads, n_columns):
    panels = [(s, load) for load in loads for s in rows.sensors]
    n_rows = math.ceil(len(panels) / n_columns)
    fig, axes = plt.subplots(n_rows, n_columns, figsize=(13 * n_columns / 4, 2.7 * n_rows + 0.6),
                             sharex=True, sharey=True, squeeze=False)
    for ax, (sensor, load) in zip(axes.flat, panels):
        error_panel(ax, rows, sensor, load)
        ax.label_outer()
    for ax in axes[-1]:
        ax.set_xlabel("length of the window, s")
    for ax in axes[:, 0]:
        ax.set_ylabel("p95 of |error|, %")
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="lower center", ncols=len(labels), bbox_to_anchor=(0.5, 1))
    fig.tight_layout()
    save(fig, docs, name)


def family(load):
    return load.split("-")[0].replace("sawtooth", "ramp")


def bound_plot(docs, rows):
    markers = {"llm": "o", "square": "s", "ramp": "^"}
    fig, axes = plt.subplots(1, len(rows.sensors), figsize=(13, 3.6), sharex=True, sharey=True)
    for ax, sensor in zip(axes, rows.sensors):
        for m in reversed(OURS):
            for f, marker in markers.items():
                cells = [r for r in rows.all if r["sensor"] == sensor and family(r["load"]) == f]
                ax.plot([r[m]["raw"]["p95"] for r in cells], [r[m]["bound"] for r in cells],
                        linestyle="none", marker=marker, markerfacecolor="none", markeredgewidth=0.8,
                        color=STYLES[m][0], label=f"{cells[0][m]['method']}, {f}")
        ax.plot([1, 400], [1, 400], color="black", linewidth=0.8, label="bound = error")
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([1, 3, 10, 30, 100, 300], ["1", "3", "10", "30", "100", "300"])
        ax.minorticks_off()
        ax.set_title(rows.boards[sensor], fontsize=9)
        ax.set_xlabel("p95 of |error|, gain included, %")
    axes[0].set_ylabel("median bound, %")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="lower center", ncols=len(labels), bbox_to_anchor=(0.5, 1))
    fig.tight_layout()
    save(fig, docs, "bound")


def stretch_power(ax, points, requests, t):
    ax.fill_between(t, [p["true_w"] for p in points], color="#bbbbbb", linewidth=0, label="true power")
    ax.plot(t, [p["shown_w"] for p in points], color="black", linewidth=1, drawstyle="steps-post",
            label="instantaneous field")
    ax.set_ylabel("W")
    ax.legend(loc="lower left", ncols=2, bbox_to_anchor=(0, 1))
    top = ax.get_ylim()[1]
    begin_s, end_s = points[0]["t_s"], points[-1]["t_s"]
    for i, q in enumerate(requests):
        y = top * (1.02 + 0.05 * i)
        for phase, colour in ((("begin_s", "first_s"), "#D55E00"), (("first_s", "end_s"), "#56B4E9")):
            a, b = (min(max(q[edge], begin_s), end_s) - begin_s for edge in phase)
            ax.plot([a, b], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
    ax.text(t[-1], top * (1.04 + 0.05 * len(requests)), "reported: prefill (orange), decode (blue)", ha="right")


def stretch_plot(docs, program, rows):
    sensor, begin_s, end_s = STRETCH
    lines = run(program, "--load", "llm", "--sensor", sensor, "--dump", f"{begin_s}:{end_s}")
    points = [x for x in lines if "t_s" in x]
    requests = [x for x in lines if "request" in x]
    t = [p["t_s"] - begin_s for p in points]
    fig, axes = plt.subplots(3, 1, figsize=(10, 8.4), sharex=True, height_ratios=(3, 2.2, 1.6))
    stretch_power(axes[0], points, requests, t)
    axes[1].plot(t, [p["true_j"] for p in points], color="black", linewidth=2.5, alpha=0.35, label="true")
    counter_j = [(p["counter_j"] - points[0]["counter_j"]) / rows.gains[sensor] for p in points]
    colour, _, line = STYLES["counter"]
    axes[1].plot(t, counter_j, color=colour, linewidth=1, linestyle=line, label="the counter, as read")
    for m in reversed(OURS):
        mine = [p[m + "_j"] / rows.gains[sensor] for p in points]
        colour, _, line = STYLES[m]
        name = "E(t) " + rows.all[0][m]["method"]
        axes[1].plot(t, mine, color=colour, linewidth=1, linestyle=line, label=name)
        axes[2].plot(t, [a - p["true_j"] for a, p in zip(mine, points)], color=colour, linewidth=1.2,
                     linestyle=line, label=name)
    axes[1].set_ylabel("J")
    axes[1].legend(loc="upper left")
    axes[2].axhline(0, color="black", linewidth=0.8)
    axes[2].set_ylabel("E(t) - true, J")
    axes[2].set_xlabel("s")
    fig.tight_layout()
    save(fig, docs, "stretch")


# ---- tables ----

def table(head, body):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body])


def length(r):
    return f"{r['window_s']:g} s"


def spread(s):
    return f"{s['median']:.2f} / {s['p95']:.2f} / {s['bias']:+.2f}"


def goals_table(rows):
    body = []
    for (m, window_s), goal in sorted(GOALS.items(), key=lambda g: (g[0][0], g[0][1])):
        p95 = [rows.one(s, "llm", window_s)[m]["gain_out"]["p95"] for s in GOAL_SENSORS]
        body.append([rows.all[0][m]["method"], f"{window_s:g} s", f"{goal:g} %",
                     *(f"{x:.2f} %" + ("" if x <= goal else " (missed)") for x in p95)])
    return table(["jouletap", "window", "goal, p95", *(rows.boards[s] for s in GOAL_SENSORS)], body)


def error_table(rows, cells):
    return table(["sensor", "load or windows", "length", *(cells[0][m]["method"] for m in METHODS)],
                 [[rows.boards[r["sensor"]], r["title"] if r["windows"] == "random" else r["windows"],
                   length(r), *(spread(r[m]["gain_out"]) for m in METHODS)] for r in cells])


def bound_table(rows):
    head = ["sensor", "length"]
    for m in OURS:
        name = rows.all[0][m]["method"]
        head += [f"{name}: error, gain included", "largest", "bound", "held"]
    body = []
    for s in rows.sensors:
        for r in rows.random(s, "llm"):
            body.append([rows.boards[s], length(r)])
            for m in OURS:
                body[-1] += [spread(r[m]["raw"]), f"{r[m]['raw']['largest']:.1f}", f"{r[m]['bound']:.1f}",
                             f"{r[m]['within'] * 100:.2f} %"]
    return table(head, body)


def held(rows, m):
    """The worst cell, and all windows together."""
    worst = min(rows.all, key=lambda r: r[m]["within"])
    n = sum(r["n"] for r in rows.all)
    together = sum(r[m]["within"] * r["n"] for r in rows.all) / n
    return worst, together


def held_words(rows):
    words = []
    for m in OURS:
        worst, together = held(rows, m)
        where = f"{rows.boards[worst['sensor']]}, {worst['title']}, {length(worst)}"
        words.append(f"{rows.all[0][m]['method']} in {together * 100:.2f} % of all windows and, in the worst of "
                     f"{len(rows.all)} cells, in {worst[m]['within'] * 100:.1f} %" +
                     (f" ({where})" if worst[m]["within"] < 1 else ""))
    return "; ".join(words)


def write_csv(docs, rows):
    with open(os.path.join(docs, "accuracy", "rows.csv"), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        figures = ["median", "p95", "bias"]
        out.writerow(["sensor", "load", "windows", "window_s", "n", "method",
                      *(f"{x}_percent" for x in figures), *(f"{x}_gain_out_percent" for x in figures),
                      "bound_percent", "within"])
        for r in rows.all:
            for m in METHODS:
                v = r[m]
                out.writerow([r["sensor"], r["load"], r["windows"], r["window_s"], r["n"], m,
                              *(f"{v[gain][x]:.3g}" for gain in ("raw", "gain_out") for x in figures),
                              *(f"{v[x]:.4g}" if x in v else "" for x in ("bound", "within"))])


def gain_from(rows):
    """The shortest window from which on the gain is more than the rest of the error."""
    known = [w for w in sorted({r["window_s"] for r in rows.all if r["windows"] == "random"})
             if all(rows.one(s, "llm", w)[m]["gain_out"]["p95"] < abs(rows.gains[s] - 1) * 100
                    for s in rows.sensors for m in OURS)]
    return f"{known[0]:g} s"


def ratio(rows, other, mine, window_s):
    """By how much the p95 of one method is that of another, over the sensors with a counter of 100 ms."""
    all_of_them = [rows.one(s, "llm", window_s)[other]["gain_out"]["p95"] /
                   rows.one(s, "llm", window_s)[mine]["gain_out"]["p95"] for s in GOAL_SENSORS]
    return f"{min(all_of_them):.1f} to {max(all_of_them):.1f}"


def words(rows):
    other_loads = [load for load in rows.loads if load != "llm"]
    near = [rows.one(s, load, 0.05) for s in GOAL_SENSORS for load in ("square-90", "square-100", "square-110")]
    return {
        "goals": goals_table(rows),
        "llm": error_table(rows, [r for s in rows.sensors for r in rows.random(s, "llm")]),
        "spans": error_table(rows, [r for s in rows.sensors for r in rows.spans(s)]),
        "bounds": bound_table(rows),
        "others": error_table(rows, [rows.one(s, load, w) for load in other_loads for s in rows.sensors
                                     for w in (0.15, 1)]),
        "held": held_words(rows),
        "n_cells": str(len(rows.all)),
        "spans_gain": ratio(rows, "plain", "spans", 0.15),
        "zeus_ratio": ratio(rows, "zeus", "plain", 1),
        "counter_ratio": ratio(rows, "counter", "plain", 1),
        "gain_from": gain_from(rows),
        "beat": f"{max(rows.one(s, 'square-100', 10)['average']['gain_out']['p95'] for s in ('a100', 'h100')):.0f}",
        "square_p95": f"{max(r['plain']['gain_out']['p95'] for r in near):.0f}",
        "square_bound": f"{min(r['plain']['bound'] for r in near):.0f} to {max(r['plain']['bound'] for r in near):.0f}",
    }


def write_text(docs, rows):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.md"), encoding="utf-8") as f:
        text = f.read()
    for name, value in words(rows).items():
        assert "{" + name + "}" in text, name
        text = text.replace("{" + name + "}", value)
    with open(os.path.join(docs, "accuracy.md"), "w", encoding="utf-8") as f:
        f.write(text)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    program, docs = sys.argv[1:]
    os.makedirs(os.path.join(docs, "accuracy"), exist_ok=True)
    rows = Rows(run(program, "--json"))
    error_plot(docs, rows, "llm", ["llm"], 4)
    error_plot(docs, rows, "square-fast", ["square-20", "square-90", "square-100", "square-110"], 4)
    error_plot(docs, rows, "square-slow", ["square-200", "square-1000", "square-5000"], 4)
    error_plot(docs, rows, "ramp", ["ramp-slow", "ramp-fast", "sawtooth"], 4)
    bound_plot(docs, rows)
    stretch_plot(docs, program, rows)
    write_csv(docs, rows)
    write_text(docs, rows)


main()
