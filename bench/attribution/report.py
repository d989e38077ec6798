#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Runs bench/attribution, writes docs/attribution/rows.csv and the tables of docs/attribution.md: what stands between
<!-- NAME --> and <!-- end -->. Equal figures give equal files. Servers that were not run, because their
profiles are not there, keep their rows.

usage: report.py PROGRAM DOCS [DIR of the reference simulator's data]
"""
import csv
import io
import os
import re
import subprocess
import sys

POLICIES = ["output tokens", "output tokens, each 15 s", "input and output tokens", "`equal`", "`tokens`",
            "`roofline` without a model", "`roofline`", "`roofline`, in a gateway", "tokens of each step, told",
            "roofline of each step, told"]
WIDE = ["output tokens", "output tokens, each 15 s", "`tokens`", "`roofline`", "`roofline`, in a gateway"]
TRUTHS = ("time", "roofline")


class Rows:
    def __init__(self, rows):
        self.all = rows
        self.at = {(r["server"], r["workload"], r["load"], r["truth"], r["method"]): r for r in rows}
        self.servers = list(dict.fromkeys(r["server"] for r in rows))
        self.cases = list(dict.fromkeys((r["workload"], r["load"]) for r in rows))

    def get(self, server, case, truth, method, what="weighted_pct"):
        return float(self.at[(server, *case, truth, method)][what])


def number(v):
    return f"{v:.0f}" if v >= 9.95 else f"{v:.1f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def named(case):
    return ", ".join(case)


def weighted(rows, truth):
    server = rows.servers[0]
    return table(["policy, told of"] + [named(c) for c in rows.cases],
                 [[m] + [number(rows.get(server, c, truth, m)) for c in rows.cases] for m in POLICIES])


def spread(rows, truth):
    def cell(case, method):
        return " / ".join(number(rows.get(rows.servers[0], case, truth, method, w)) for w in ("median_pct", "p95_pct"))

    return table(["median / p95"] + WIDE, [[named(c)] + [cell(c, m) for m in WIDE] for c in rows.cases])


def others(rows):
    def cell(server, case, method):
        return " / ".join(number(rows.get(server, case, t, method)) for t in TRUTHS)

    return table(["time / roofline joules"] + WIDE,
                 [[s + ": " + named(c)] + [cell(s, c, m) for m in WIDE] for s in rows.servers[1:] for c in rows.cases])


def known(rows):
    def row(case):
        s = rows.servers[0]
        return ([named(case), number(float(rows.at[(s, *case, "", "sequences in a batch")]["weighted_pct"]))] +
                [f"{rows.get(s, case, t, 'standard error of the truth'):.2f} %" for t in TRUTHS] +
                [f"{rows.get(s, case, t, 'marginal joules, part of all'):.0f} %" for t in TRUTHS])

    return table(["", "sequences in a batch", "standard error, time", "roofline", "marginal, time", "roofline"],
                 [row(c) for c in rows.cases])


def goal(rows):
    """Beside the splits by tokens; but for overload."""
    cells = [(s, c, t) for s in rows.servers for c in rows.cases for t in TRUTHS if c[1] != "overload"]

    def beside(method, other):
        ratios = [rows.get(*cell, method) / rows.get(*cell, other) for cell in cells]
        return f"{sum(r <= 0.5 for r in ratios)} (largest ratio {max(ratios):.2f})"

    return (f"There are {len(cells)} cells of servers, workloads, kinds of joules, and loads that the server keeps up with. `roofline` is at "
            f"most half as far off as the split by output tokens in {beside(POLICIES[6], POLICIES[0])}, and than the one each 15 s in "
            f"{beside(POLICIES[6], POLICIES[1])}; in a gateway in {beside(POLICIES[7], POLICIES[0])} and "
            f"{beside(POLICIES[7], POLICIES[1])}.")


def figures(rows):
    return {"goal": goal(rows), "weighted-time": weighted(rows, "time"), "weighted-roofline": weighted(rows, "roofline"),
            "spread": spread(rows, "time"), "others": others(rows), "known": known(rows)}


def measure(program, data, path):
    command = [program] + (["--data", data] if data else [])
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    new = list(csv.DictReader(io.StringIO(text)))
    ran = {r["server"] for r in new}
    if os.path.exists(path):
        with open(path, encoding="utf-8", newline="") as f:
            new += [r for r in csv.DictReader(f) if r["server"] not in ran]
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.DictWriter(f, new[0].keys(), lineterminator="\n")
        out.writeheader()
        out.writerows(new)
    return Rows(new)


def main():
    program, docs = sys.argv[1:3]
    os.makedirs(os.path.join(docs, "attribution"), exist_ok=True)
    rows = measure(program, sys.argv[3] if len(sys.argv) > 3 else None, os.path.join(docs, "attribution", "rows.csv"))
    page = os.path.join(docs, "attribution.md")
    with open(page, encoding="utf-8") as f:
        text = f.read()
    for name, made in figures(rows).items():
        text, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, made=made: m[1] + made + "\n" + m[2],
                          text, flags=re.DOTALL)
        assert n == 1, name
    with open(page, "w", encoding="utf-8") as f:
        f.write(text)


main()
