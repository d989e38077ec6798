#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
How fast jouletap simulate is: whole processes, from start to exit, with all that is read and written.

usage: bench/simulator/run.py [--build DIR] [--data DIR] [--quick] [--json FILE]

Prints tables in Markdown; --json FILE has every run. DIR of --data is LLMServingSim's tree (default:
JT_LLMSERVINGSIM, else ../shared/data/llmservingsim): without it, a trace of the same size is made up for the first
table, and clusters whose profiles are only there are left out. --quick only shows that everything runs.
"""
import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OWN = os.path.join(ROOT, "data", "simulator")
RATE = 10  # requests a second, which one instance of the examples keeps up with


# ---- traces ----

def length(rng):
    """Tokens of a prompt or an answer: 200 on average, half below 150, a few of 2000."""
    return max(2, min(2048, int(rng.lognormvariate(5.0, 0.8))))


def write_trace(path, n, ids=False):
    rng = random.Random(1)
    t = 0.0
    with open(path, "w") as f:
        for _ in range(n):
            t += rng.expovariate(RATE)
            row = {"input_toks": length(rng), "output_toks": length(rng), "arrival_time_ns": int(t * 1e9)}
            if ids:
                for of, list_of in (("input_toks", "input_tok_ids"), ("output_toks", "output_tok_ids")):
                    row[list_of] = [rng.randrange(128000) for _ in range(row[of])]
            f.write(json.dumps(row) + "\n")
    return path


# ---- runs ----

class Bench:
    def __init__(self, program, data, quick, folder):
        self.program, self.data, self.quick, self.folder = program, data, quick, folder
        self.results = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def trace(self, n, ids=False):
        path = self.path(f"trace-{n}{'-ids' if ids else ''}.jsonl")
        return path if os.path.exists(path) else write_trace(path, n, ids)

    def once(self, args):
        with open(self.path("out"), "wb") as out, open(self.path("err"), "w+b") as err:
            began = time.monotonic()
            child = subprocess.Popen([self.program, "simulate", *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            _, status, used = os.wait4(child.pid, 0)
            wall = time.monotonic() - began
            child.returncode = os.waitstatus_to_exitcode(status)
            err.seek(0)
            if child.returncode:
                sys.exit(f"jouletap simulate {' '.join(args)}:\n{err.read().decode()}")
        return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_kib": used.ru_maxrss}

    def measure(self, name, args, runs):
        runs = 1 if self.quick else runs
        self.once(args)  # files come into the page cache
        got = {"name": name, "runs": [self.once(args) for _ in range(runs)]}
        if "--json" in args:
            with open(self.path("out")) as f:
                told = json.load(f)
            got.update({k: told[k] for k in ("requests", "steps", "generated_tokens", "simulated_s")})
        self.results.append(got)
        return got

    def config(self, name):
        """A cluster of the reference's tree, or one of ours by the same name; None: neither is there."""
        for tree in filter(None, (self.data, OWN)):
            path = os.path.join(tree, "configs", "cluster", name + ".json")
            if os.path.exists(path):
                return ["--cluster-config", path]
        return None


def of(got, figure):
    return statistics.median(r[figure] for r in got["runs"])


def spread(got, figure, digits, unit=1.0):
    values = [r[figure] * unit for r in got["runs"]]
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


# ---- tables ----

def table_300(b):
    """The reference's own bench, with its options: compat, CSV and all it prints."""
    args = ["--model", "compat", "--dtype", "bfloat16", "--max-num-seqs", "128", "--max-num-batched-tokens", "2048",
            "--output", b.path("out.csv")]
    if b.data:
        what = "the reference's bench RTXPRO6000/Llama-3.1-8B"
        args += ["--cluster-config", f"{b.data}/bench/RTXPRO6000/Llama-3.1-8B/config.json",
                 "--dataset", f"{b.data}/workloads/sharegpt-llama-3.1-8b-300-sps10.jsonl",
                 "--profiles", f"{b.data}/profiler", "--model-configs", f"{b.data}/configs/model"]
    else:
        what = "made up, with token ids"
        args += b.config("single_node_single_instance") + ["--dataset", b.trace(300, True)]
    got = b.measure("300", args, 15)
    start = b.measure("one request", args + ["--num-reqs", "1"], 15)
    print(f"\n300 requests ({what}), `--model compat`, CSV written:\n")
    print("| | wall, ms | CPU, ms |\n|---|---|---|")
    print(f"| 300 requests | {spread(got, 'wall_s', 1, 1e3)} | {spread(got, 'cpu_s', 1, 1e3)} |")
    print(f"| of it the first one: start, profile, one prompt | {spread(start, 'wall_s', 1, 1e3)} | "
          f"{spread(start, 'cpu_s', 1, 1e3)} |")


def row(b, name, args, n, runs):
    got = b.measure(name, ["--json", "--quiet", "--dtype", "bfloat16", "--dataset", b.trace(n), *args], runs)
    own_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # what the child had before it became jouletap
    peak = of(got, "peak_kib")
    print(f"| {name} | {got['steps']:,} | {got['generated_tokens'] / got['steps']:.0f} | {spread(got, 'wall_s', 2)} | "
          f"{n / of(got, 'wall_s'):,.0f} | {of(got, 'cpu_s') / n * 1e6:.1f} | "
          f"{of(got, 'cpu_s') / got['steps'] * 1e6:.2f} | "
          f"{of(got, 'cpu_s') / got['generated_tokens'] * 1e9:.0f} | "
          f"{f'{peak / 1024:.0f}' if peak > 1.2 * own_kib else '–'} |")
    sys.stdout.flush()


HEAD = ("| {} | steps | tokens a step | wall, s | requests/s | CPU a request, µs | a step, µs | a token, ns | peak, MiB |\n"
        "|---|---|---|---|---|---|---|---|---|")


def table_growth(b):
    single = b.config("single_node_single_instance")
    print(f"\nOne instance (Llama-3.1-8B, RTXPRO6000), {RATE} requests a second of 200 + 200 tokens on average:\n")
    print(HEAD.format("requests"))
    for n, runs in ((1000, 9), (10000, 7), (100000, 5), (1000000, 3)):
        if not b.quick or n <= 10000:
            row(b, f"{n:,}", single, n, runs)
    n = 1000 if b.quick else 100000
    row(b, f"{n:,}, CSV written", [*single, "--output", b.path("out.csv")], n, 5)
    power = b.config("single_node_power_instance")
    if power:
        row(b, f"{n:,}, with power", power, n, 5)
        row(b, f"{n:,}, with power and records", [*power, "--records", b.path("records.jsonl")], n, 5)


CLUSTERS = [
    ("one instance", "single_node_single_instance"),
    ("two instances", "single_node_multi_instance"),
    ("prefill and decode instance", "single_node_pd_instance"),
    ("tp 2, four instances", "single_node_4_instance_2TP"),
    ("pp 2", "single_node_pp_instance"),
    ("tp 2, pp 2", "single_node_tp_pp_instance"),
    ("MoE", "single_node_moe_single_instance"),
    ("MoE, dp 2, ep 2", "single_node_moe_dp_ep_instance"),
    ("MoE, dp 2, tp 2", "single_node_moe_dp_tp_instance"),
    ("MoE, dp 2, tp 2, pp 2", "single_node_moe_dp_tp_pp_instance"),
    ("MoE on two nodes, dp 2 across them", "dual_node_moe_dp_ep_intra_inter_instance"),
]


def table_clusters(b):
    n = 1000 if b.quick else 10000
    needs = ["--profiles", f"{b.data}/profiler", "--model-configs", f"{b.data}/configs/model"] if b.data else []
    for model in ("physical", "compat"):
        print(f"\n{n:,} requests on clusters, `--model {model}`:\n")
        print(HEAD.format("cluster"))
        for name, config in CLUSTERS if b.data else CLUSTERS[:2]:
            where = b.config(config)
            if where:
                row(b, name, [*where, *needs, "--model", model], n, 5)


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return (f"{len(os.sched_getaffinity(0))} CPUs ({model}), Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; "
            "median (least–most)")


def main():
    options = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    options.add_argument("--build", default=os.path.join(ROOT, "build-bench"))
    options.add_argument("--data", default=os.environ.get("JT_LLMSERVINGSIM", ROOT + "/../shared/data/llmservingsim"))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json")
    args = options.parse_args()
    program = os.path.join(os.path.abspath(args.build), "jouletap")
    if not os.path.exists(program):
        sys.exit(f"no '{program}': try make bench-simulator")
    data = os.path.abspath(args.data) if os.path.isdir(args.data + "/bench") else None
    with tempfile.TemporaryDirectory() as folder:
        b = Bench(program, data, args.quick, folder)
        print("A quick run: no figure means anything.\n" if args.quick else machine())
        table_300(b)
        table_growth(b)
        table_clusters(b)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(b.results, f, indent=1)


if __name__ == "__main__":
    main()
